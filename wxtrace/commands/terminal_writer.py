"""Lines on their way to a terminal, held back for a moment where one of them is still being found out."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from typing import List, NamedTuple, Optional, TextIO, Union

from wxtrace.printable import printable

__all__ = ["Page"]

_WIDEST, _NARROWEST = 110, 50
"""Columns, whatever the terminal has."""
HELD_SECONDS = 1.0
"""An unwinder that has just been started needs a tenth of that."""


class _Gap(NamedTuple):
    key: int
    until: float
    otherwise: List[str]


class Page:
    """Everything is written in order: a gap that is not filled holds what stands behind it, too.

    `log` is the name of a file that the user chose for it. What that does not take goes to stderr, and is said there.
    """

    def __init__(self, stream: TextIO, log: Optional[str] = None) -> None:
        self._stream = stream
        self._log = log
        self._terminal = stream.fileno() if stream.isatty() else None
        self._lines: List[Union[str, _Gap]] = []

    @property
    def on_terminal(self) -> bool:
        """Whether somebody reads this on a screen of limited width."""
        return self._terminal is not None

    def wrapped(self, text: str, indent: int) -> List[str]:
        """The lines of a text, at least one, with room for `indent` columns before each."""
        columns = _WIDEST
        if self._terminal is not None:
            try:
                columns = max(min(os.get_terminal_size(self._terminal).columns, _WIDEST), _NARROWEST)
            except OSError:
                pass
        return textwrap.wrap(text, columns - indent, break_long_words=False, break_on_hyphens=False) or [""]

    def line(self, text: str) -> None:
        """One more line, or some."""
        self._lines.append(text)

    def gap(self, key: int, otherwise: List[str]) -> None:
        """Room for lines that come later; `HELD_SECONDS` from now it is given up for these."""
        self._lines.append(_Gap(key, time.monotonic() + HELD_SECONDS, otherwise))

    def fill(self, key: int, lines: List[str]) -> bool:
        """Put lines into a gap; False when it is there no more."""
        for place, line in enumerate(self._lines):
            if isinstance(line, _Gap) and line.key == key:
                self._lines[place : place + 1] = lines
                return True
        return False

    @property
    def held_for(self) -> Optional[float]:
        """Seconds until what is held has to be written; None when nothing is held."""
        ends = [line.until for line in self._lines if isinstance(line, _Gap)]
        return max(max(ends) - time.monotonic(), 0.0) if ends else None

    def write(self, everything: bool = False) -> None:
        """Write the lines in one piece, unless a gap is to be waited for; `everything`: it is not."""
        if not self._lines or (self.held_for and not everything):
            return
        known = [[line] if isinstance(line, str) else line.otherwise for line in self._lines]
        text = "".join(line + "\n" for lines in known for line in lines)
        self._lines.clear()
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:
            if self._log is not None:
                name, self._log, self._stream = printable(self._log), None, sys.stderr
                why = error.strerror if isinstance(error, OSError) else error
                said = "wxtrace: cannot write %s any more (%s): what is missing there follows" % (name, why)
                self._lines += [said, text[:-1]]
                self.write()
