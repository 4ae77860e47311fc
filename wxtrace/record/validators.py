"""Typed decoding of foreign JSON: what a value has to be, and where the first one stands that is not.

A check takes a decoded value and gives what it stands for. Checks are put together from smaller ones; the place of a
fault is only worked out when there is one.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, List, Tuple, Type

from wxtrace.model.enumerations import Word
from wxtrace.printable import printable

__all__ = [
    "Check",
    "Fault",
    "boolean",
    "count",
    "each",
    "hexadecimal",
    "mapping",
    "maybe",
    "member",
    "number",
    "one_of",
    "optional",
    "record",
    "scalar",
    "text",
]

Check = Callable[[Any], Any]

_MISSING = object()


class Fault(Exception):
    """A value, or that `part` of it, is not what was `expected`; `path` leads to it from the outermost."""

    def __init__(self, expected: str, part: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self._path: List[str] = [part]

    def inside(self, part: str) -> None:
        """It lies in this part of the value that is being checked."""
        self._path.insert(0, part)

    @property
    def path(self) -> str:
        """`.touched[0].start`"""
        return "".join(self._path)


def number(value: Any) -> int:
    """A signed or unsigned integer of at most 64 bits."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 64:
        raise Fault("a whole number of at most 64 bits")
    return value


def count(value: Any) -> int:
    """An integer from 0, of at most 63 bits."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise Fault("a whole number from 0")
    return value


def text(value: Any) -> str:
    """Any text."""
    if type(value) is not str:
        raise Fault("text")
    return value


def boolean(value: Any) -> bool:
    """true or false."""
    if type(value) is not bool:
        raise Fault("true or false")
    return value


def scalar(value: Any) -> Any:
    """Text, a whole number, true, false or null; a list of text, too (arguments of a program)."""
    if value is None or type(value) in (str, bool):
        return value
    if type(value) is list:
        return each(text)(value)
    return number(value)


def hexadecimal(value: Any) -> int:
    """An address as text, `0x7f…`; the end of a range may be the end of all addresses."""
    if type(value) is str and value[:2] == "0x" and 2 < len(value) <= 19:
        try:
            address = int(value, 16)
        except ValueError:
            address = -1
        if 0 <= address <= 1 << 64:
            return address
    raise Fault("an address of at most 64 bits, such as 0x7f00")


def one_of(words: FrozenSet[str]) -> Check:
    """One of these words."""

    def check(value: Any) -> Any:
        if type(value) is not str or value not in words:
            raise Fault("one of " + ", ".join(sorted(words)[:20]))
        return value

    return check


def member(words: Type[Word]) -> Check:
    """One word of an enumeration, as its member."""
    known = {str(word): word for word in words}
    is_one = one_of(frozenset(known))
    return lambda value: known[is_one(value)]


def maybe(inner: Check) -> Check:
    """null, or what `inner` takes."""

    def check(value: Any) -> Any:
        return None if value is None else inner(value)

    return check


def optional(inner: Check, default: Any = None) -> Check:
    """What `inner` takes, or `default` where the member is left out."""

    def check(value: Any) -> Any:
        return default if value is _MISSING else inner(value)

    return check


def each(inner: Check) -> Check:
    """An array of what `inner` takes."""

    def check(value: Any) -> List[Any]:
        if type(value) is not list:
            raise Fault("an array")
        taken: List[Any] = []
        try:
            for item in value:
                taken.append(inner(item))
        except Fault as fault:
            fault.inside("[%d]" % len(taken))
            raise
        return taken

    return check


def mapping(inner: Check) -> Check:
    """An object with any keys, each with what `inner` takes."""

    def check(value: Any) -> Dict[str, Any]:
        if type(value) is not dict:
            raise Fault("an object")
        taken = {}
        for key, item in value.items():
            try:
                taken[key] = inner(item)
            except Fault as fault:
                fault.inside("." + printable(key, 40))
                raise
        return taken

    return check


def record(make: Callable[..., Any], **checks: Check) -> Check:
    """An object with these members; others are passed over. `make` gets what they stand for, in this order."""
    parts: Tuple[Tuple[str, Check], ...] = tuple(checks.items())

    def check(value: Any) -> Any:
        if type(value) is not dict:
            raise Fault("an object")
        get = value.get
        taken: List[Any] = []
        try:
            for name, inner in parts:
                taken.append(inner(get(name, _MISSING)))
        except Fault as fault:
            fault.inside("." + parts[len(taken)][0])
            raise
        return make(*taken)

    return check
