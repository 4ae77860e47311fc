"""The argument parser of every command: a wrong argument is one sentence and status 125, as all our failures are."""

from __future__ import annotations

import argparse
from typing import NoReturn

from wxtrace.errors import UsageError

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """argparse, but with our own way to fail."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("%s; see %s --help" % (message, self.prog))
