"""A terminal of type linux, in a process of its own: bytes come in, the rows that changed go out.

Run as `python -m wxtrace.tui.emulator ROWS COLUMNS`. What a program writes can make the library (pyte) raise, or run
for long: it loses a sequence here, or this process, and never the program or the screen.

    in    as emulator_wire.py says
    out   one JSON object a line: {"rows": {row: [[text, colours], ...]}, "cursor": [row, column, shown]}
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
import time
from typing import Any, Dict, List, Tuple

import pyte

from wxtrace.tui.emulator_wire import HEAD, SIZE, WINDOW

__all__ = ["Terminal", "colours_of", "runs_of"]

_EVERY = 0.03
"""Seconds between two updates while more comes in."""
_MOST_MEMORY = 1 << 30
_FLAGS = (("bold", "b"), ("italics", "i"), ("underscore", "u"), ("strikethrough", "s"), ("reverse", "r"))


class Terminal:
    """The screen, and what of it was told already."""

    def __init__(self, rows: int, columns: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._cursor: Tuple[int, int, bool] = (-1, -1, True)

    def feed(self, data: bytes) -> None:
        """What the program wrote. A sequence that the library cannot take is left out."""
        try:
            self._stream.feed(data)
        except Exception:
            # Its parser is a generator, which has ended with the exception.
            self._stream.attach(self._screen)

    def resize(self, rows: int, columns: int) -> None:
        """Another size; everything is told anew."""
        self._screen.resize(rows, columns)
        self._screen.dirty.update(range(rows))

    def update(self) -> Dict[str, Any]:
        """What changed; empty when nothing did."""
        screen = self._screen
        cursor = (
            min(screen.cursor.y, screen.lines - 1),
            min(screen.cursor.x, screen.columns),
            not screen.cursor.hidden,
        )
        changed = {
            str(row): runs_of(screen.buffer[row], screen.columns) for row in sorted(screen.dirty) if row < screen.lines
        }
        screen.dirty.clear()
        if not changed and cursor == self._cursor:
            return {}
        self._cursor = cursor
        return {"rows": changed, "cursor": list(cursor)}


def runs_of(line: Any, columns: int) -> List[List[str]]:
    """The text of one row, cut where colours change."""
    runs: List[List[str]] = []
    for column in range(columns):
        char = line[column]
        colours = colours_of(char)
        if runs and runs[-1][1] == colours:
            runs[-1][0] += char.data
        else:
            runs.append([char.data, colours])
    return runs


def colours_of(char: Any) -> str:
    """`red default bu`: foreground, background, and letters for bold, italic, underlined, struck, reverse."""
    letters = "".join(letter for name, letter in _FLAGS if getattr(char, name))
    return "%s %s %s" % (char.fg, char.bg, letters) if (char.fg, char.bg, letters) != ("default", "default", "") else ""


def main() -> int:
    """Until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    terminal = Terminal(int(sys.argv[1]), int(sys.argv[2]))
    waiting = b""
    told = 0.0
    while True:
        more = bool(select.select([0], [], [], _EVERY)[0])
        if more:
            data = os.read(0, 1 << 16)
            if not data:
                return 0
            waiting = _take(terminal, waiting + data)
        if not more or time.monotonic() - told > _EVERY:
            update = terminal.update()
            told = time.monotonic()
            if update:
                os.write(1, json.dumps(update).encode("ascii") + b"\n")
            elif not more:
                select.select([0], [], [])


def _take(terminal: Terminal, data: bytes) -> bytes:
    at = 0
    while len(data) - at >= HEAD.size:
        kind, length = HEAD.unpack_from(data, at)
        if len(data) - at < HEAD.size + length:
            break
        body = data[at + HEAD.size : at + HEAD.size + length]
        at += HEAD.size + length
        if kind == WINDOW:
            terminal.resize(*SIZE.unpack(body))
        else:
            terminal.feed(body)
    return data[at:]


if __name__ == "__main__":
    sys.exit(main())
