"""`wxtrace schema`: the contract other programs may rely on."""

from __future__ import annotations

from typing import List

from wxtrace.commands.arguments import Parser
from wxtrace.commands.output import write_out
from wxtrace.record.timeline import schema_text

__all__ = ["run"]


def run(arguments: List[str]) -> int:
    """Print the JSON Schema of the timeline."""
    Parser(prog="wxtrace schema", description="Print the JSON Schema of the timeline (wxtrace-timeline/1).").parse_args(
        arguments
    )
    write_out(schema_text())
    return 0
