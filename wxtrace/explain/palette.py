"""Colours by what they mean, for terminals that want some."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["Palette", "palette_for"]


class Palette:
    """ANSI colours by meaning, or nothing at all."""

    def __init__(self, on: bool) -> None:
        self.refused = "\033[1;31m" if on else ""
        self.heading = "\033[1m" if on else ""
        self.quiet = "\033[2m" if on else ""
        self.fix = "\033[32m" if on else ""
        self.warn = "\033[33m" if on else ""
        self.end = "\033[0m" if on else ""


def palette_for(stream: TextIO) -> Palette:
    """Colours only on a terminal, and never where NO_COLOR is set (no-color.org) or TERM is dumb."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Palette(wanted and stream.isatty())
