"""Facts to JSON values and back, typed by their own annotations.

What comes back from a file is hostile: every value is checked against the record's annotation, and the first
fault is a `RecordError` that names the place. Text keeps bytes that are no UTF-8 as lone surrogates (PEP 383),
which `json` writes as `\\udcXX` and reads back exactly.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Callable, Dict, List, Tuple, Type, Union, get_type_hints

from wxtrace.decoders.procmaps import MapLine
from wxtrace.errors import RecordError
from wxtrace.frozen import Frozen
from wxtrace.model import facts

__all__ = ["fact_from_json", "fact_to_json"]

_KINDS: Dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        facts.Dropped,
        facts.FilterCode,
        facts.FilterInstalled,
        facts.FiltersSeen,
        facts.Lost,
        facts.Mapped,
        facts.Mismatch,
        facts.ModeChanged,
        facts.Named,
        facts.Note,
        facts.Probe,
        facts.Resynced,
        facts.RunEnded,
        facts.RunStarted,
        facts.Seeded,
        facts.SignalStop,
        facts.StackRead,
        facts.StackSampled,
        facts.TaskExited,
        facts.TaskStarted,
        facts.Unloading,
        facts.Verified,
    )
}


def fact_to_json(fact: Any) -> List[Any]:
    """`[kind, {field: value}]`, without the fields that hold their default."""
    return [type(fact).__name__, _plain(fact)]


def fact_from_json(value: Any) -> Any:
    """The fact behind `fact_to_json`'s value. Raises RecordError, naming the first field that does not fit."""
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)):
        raise RecordError("a record is not a [kind, fields] pair")
    kind = _KINDS.get(value[0])
    if kind is None:
        raise RecordError("a record of unknown kind %r" % value[0][:40])
    return _reader(kind)(value[1], value[0])


_SCALARS = frozenset({int, str, bool, type(None)})


def _plain(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    fields, defaults = value.__dict__, value.field_defaults
    return {
        name: _plain(fields[name])
        for name in value.field_names
        if name not in defaults or fields[name] != defaults[name]
    }


Reader = Callable[[Any, str], Any]


@cache
def _reader(annotation: Any) -> Reader:
    origin = getattr(annotation, "__origin__", None)
    arguments: Tuple[Any, ...] = getattr(annotation, "__args__", ())
    if origin is Union:
        inner = _reader(next(kind for kind in arguments if kind is not type(None)))
        return lambda value, where: None if value is None else inner(value, where)
    if origin is list:
        return _list_reader(_reader(arguments[0]))
    if origin is tuple:
        items = _list_reader(_reader(arguments[0]))
        return lambda value, where: tuple(items(value, where))
    if origin is dict:
        return _dict_reader(_reader(arguments[1]))
    if annotation is MapLine:
        return _map_line_reader()
    if annotation is facts.Host:
        return _host_reader()
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        return _frozen_reader(annotation)
    if isinstance(annotation, type) and issubclass(annotation, tuple):
        return _namedtuple_reader(annotation)
    return _scalar_reader(annotation)


def _wrong(where: str, expected: str) -> RecordError:
    return RecordError("%s: expected %s" % (where, expected))


def _scalar_reader(kind: Type[Any]) -> Reader:
    def read(value: Any, where: str) -> Any:
        if type(value) is not kind:
            raise _wrong(where, {"int": "a number", "str": "text", "bool": "true or false"}[kind.__name__])
        # The end of a range may be the end of all addresses, one more than 64 bits hold.
        if kind is int and not -(1 << 63) <= value <= 1 << 64:
            raise _wrong(where, "a number of at most 64 bits")
        return value

    return read


def _list_reader(item: Reader) -> Reader:
    def read(value: Any, where: str) -> List[Any]:
        if not isinstance(value, list):
            raise _wrong(where, "a list")
        return [item(entry, where) for entry in value]

    return read


def _dict_reader(item: Reader) -> Reader:
    def read(value: Any, where: str) -> Dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(where, "an object")
        return {key: item(entry, where) for key, entry in value.items()}

    return read


def _frozen_reader(kind: Type[Frozen]) -> Reader:
    hints = get_type_hints(kind)
    readers = {name: _reader(hints[name]) for name in kind.field_names}
    required = readers.keys() - kind.field_defaults.keys()

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, "an object")
        missing = required - value.keys()
        if missing:
            raise _wrong("%s.%s" % (where, min(missing)), "a value")
        # A field of a newer minor version is not ours to know.
        return kind(
            **{name: readers[name](entry, "%s.%s" % (where, name)) for name, entry in value.items() if name in readers}
        )

    return read


def _namedtuple_reader(kind: Type[Any]) -> Reader:
    readers = [_reader(hint) for hint in get_type_hints(kind).values()]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list) or len(value) != len(readers):
            raise _wrong(where, "a list of %d values" % len(readers))
        return kind(*[reader(entry, where) for reader, entry in zip(readers, value)])

    return read


def _host_reader() -> Reader:
    values = _frozen_reader(facts.Host)

    def read(value: Any, where: str) -> facts.Host:
        host: facts.Host = values(value, where)
        if host.page_size < 1 or host.page_size & (host.page_size - 1):
            raise _wrong(where + ".page_size", "a power of two")
        return host

    return read


_PERMS = re.compile("[r-][w-][x-][sp]")


def _map_line_reader() -> Reader:
    values = _namedtuple_reader(MapLine)

    def read(value: Any, where: str) -> MapLine:
        line: MapLine = values(value, where)
        if not (0 <= line.start < line.end and _PERMS.fullmatch(line.perms)):
            raise _wrong(where, "a line of /proc/PID/maps")
        return line

    return read
