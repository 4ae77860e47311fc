"""What `y` copies: a call, or a diagnosis as text for an issue."""

from __future__ import annotations

from typing import List, Sequence

from wxtrace.commands.markdown import code_block, code_span, inert
from wxtrace.printable import printable
from wxtrace.tui.lines import Line

__all__ = ["issue_text"]

_LABEL = 9


def issue_text(lines: Sequence[Line], command: str, tool: str) -> str:
    """The why pane in Markdown: a code block, in which nothing is markup, and where it was seen."""
    body: List[str] = []
    for line in lines:
        label, text = line.text[:_LABEL].strip(), line.text[_LABEL:].rstrip()
        if label or not body:
            body.append("%-9s%s" % (label, text))
        else:
            body[-1] += " " + text.strip() if not text.startswith("$ ") else "\n" + " " * _LABEL + text
    return "%s\n\nSeen in %s with wxtrace %s.\n" % (
        code_block("\n".join(body)),
        code_span(printable(command, 2000)),
        inert(printable(tool)),
    )
