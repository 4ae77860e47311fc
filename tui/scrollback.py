"""What a program wrote, as plain lines: every escape sequence is left out, carriage returns overwrite.

The base that always works. It keeps no screen: programs that draw one are for the emulator, or a second terminal.
"""

from __future__ import annotations

import codecs
import re
from typing import List

from wxtrace.printable import printable

__all__ = ["Scrollback"]

_MOST_LINES = 10_000
_MOST_COLUMNS = 2_000
_TAB = 8
# ECMA-48: CSI, then strings (OSC, DCS, SOS, PM, APC) to their terminator, then two-character sequences.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-Z\\^-~]"
    r"|[\x00-\x07\x0b\x0e-\x1a\x1c-\x1f]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]*)?$")
_PARTS = re.compile(r"[\n\r\t\b\x0c]|[^\n\r\t\b\x0c]+")


class Scrollback:
    """The last lines of a stream of bytes; the one that is being written is the last."""

    def __init__(self) -> None:
        self.lines: List[str] = [""]
        self.dropped = 0
        """Lines that are kept no more."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._column = 0

    def feed(self, data: bytes) -> None:
        """More of the stream, cut anywhere."""
        text = self._rest + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = text[unfinished.start() :] if unfinished else ""
        if unfinished:
            text = text[: unfinished.start()]
        text = _ESCAPES.sub("", text).replace("\r\n", "\n")
        for part in _PARTS.findall(text):
            self._write(part)
        if len(self.lines) > _MOST_LINES:
            surplus = len(self.lines) - _MOST_LINES
            del self.lines[:surplus]
            self.dropped += surplus

    def _write(self, part: str) -> None:
        if part in ("\n", "\x0c"):
            self.lines.append("")
            self._column = 0
        elif part == "\r":
            self._column = 0
        elif part == "\b":
            self._column = max(self._column - 1, 0)
        else:
            if part == "\t":
                part = " " * (_TAB - self._column % _TAB)
            line = self.lines[-1]
            part = printable(part, _MOST_COLUMNS)
            line = line.ljust(self._column)
            self.lines[-1] = (line[: self._column] + part + line[self._column + len(part) :])[:_MOST_COLUMNS]
            self._column = min(self._column + len(part), _MOST_COLUMNS)
