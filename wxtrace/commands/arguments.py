"""The argument parser of every command: a wrong argument is one sentence and status 125, as all our failures are."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from wxtrace.commands.output import write_out
from wxtrace.errors import UsageError

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """argparse, but with our own way to fail."""

    def print_help(self, file: Any = None) -> None:
        """To standard output. Raises OutputError."""
        write_out(self.format_help())

    def error(self, message: str) -> NoReturn:
        raise UsageError("%s; see %s --help" % (message, self.prog))
