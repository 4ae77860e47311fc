"""A JSON object that may be larger than memory, member by member, its long arrays element by element.

The values are decoded by the standard library; this file only moves a window over the file. A streaming parser in
pure Python (ijson) takes thirty times as long, and bounds neither depth nor the length of one string or number:
here the window bounds them, and the decoder's own limit the depth.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any, FrozenSet, Iterator, NoReturn, Tuple

from wxtrace.errors import RecordError
from wxtrace.record.journalbytes import Readable

__all__ = ["MOST_VALUE", "decode", "members"]

MOST_VALUE = 4 << 20
"""Characters of one member, or of one element of a streamed array; a longer one is refused."""

_CHUNK = 1 << 20
_LONGEST_INTEGER = 25
_space = re.compile(r"[ \t\n\r]*").match


def members(file: Readable, name: str, streamed: FrozenSet[str]) -> Iterator[Tuple[str, Any]]:
    """Every (key, value) of the object in `file`, in its order; of the keys in `streamed` an iterator over the array.

    What is left of that iterator is passed over. Raises RecordError, which tells where, on the first fault.
    """
    window = _Window(file, name)
    seen = set()
    window.expect("{")
    if not window.comes("}"):
        while True:
            key = window.value()
            if not isinstance(key, str):
                window.fail("a key is not text")
            if key in seen:
                window.fail("%s stands there twice" % json.dumps(key[:40]))
            seen.add(key)
            window.expect(":")
            if key in streamed:
                elements = window.elements()
                yield key, elements
                for _ in elements:
                    pass
            else:
                yield key, window.value()
            if window.comes("}"):
                break
            window.expect(",")
    if window.next():
        window.fail("more follows its end")


class _Window:
    """The part of the text that is in memory."""

    def __init__(self, file: Readable, name: str) -> None:
        self._file = file
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        # Characters in front of the window.
        self._passed = 0
        self._ended = False
        self._scan = _DECODER.raw_decode

    def next(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            match = _space(self._text, self._at)
            self._at = match.end() if match is not None else self._at
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def comes(self, character: str) -> bool:
        """Whether this is next; then it is passed over."""
        if self.next() != character:
            return False
        self._at += 1
        return True

    def expect(self, character: str) -> None:
        """Pass over it. Raises RecordError when something else is there."""
        if not self.comes(character):
            self.fail("expected %s" % character if self.next() else "it ends in the middle")

    def value(self) -> Any:
        """The next value, whole."""
        self.next()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
                # A number goes on, perhaps, where the window ends.
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > MOST_VALUE:
                    self.fail("one value of more than %d characters" % MOST_VALUE)
                if not self._more():
                    self._at = error.pos
                    # What is wrong with a text that nothing closes is that there is no more of it.
                    cut = error.pos >= len(self._text) or error.msg.startswith("Unterminated string")
                    self.fail("it ends in the middle" if cut else error.msg)
            except RecursionError:
                self.fail("values are nested too deeply")
            except ValueError as error:
                self.fail(str(error))

    def elements(self) -> Iterator[Any]:
        """Every element of the array that is next."""
        self.expect("[")
        if self.comes("]"):
            return
        while True:
            yield self.value()
            if self.comes("]"):
                return
            self.expect(",")

    def fail(self, what: str) -> NoReturn:
        """Raise RecordError with the place."""
        raise RecordError("%s: %s, at character %d" % (self._name, what, self._passed + self._at))

    def _more(self) -> bool:
        if self._ended:
            return False
        data = self._file.read(_CHUNK)
        try:
            text = self._decoder.decode(data, not data)
        except UnicodeDecodeError:
            self._at = len(self._text)
            self.fail("it is not UTF-8 text")
        if not data:
            # The window stays where it is: what was found in it is told by its place.
            self._ended = True
            return False
        self._passed += self._at
        self._text = self._text[self._at :] + text
        self._at = 0
        return True


def decode(text: str) -> Any:
    """One value of foreign JSON. Raises ValueError or RecursionError."""
    return _DECODER.decode(text)


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError("a number of %d digits" % len(digits))
    return int(digits)


def _constant(word: str) -> NoReturn:
    raise ValueError("%s is no number" % word)


# Python before 3.11 would take hours for a number of a million digits.
_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_constant)
