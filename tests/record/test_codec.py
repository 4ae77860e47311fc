"""Facts to JSON and back: exact for what we write, an error that names the place for what we never would."""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, Tuple, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.errors import RecordError
from wxtrace.frozen import Frozen
from wxtrace.model import facts
from wxtrace.record.codec import fact_from_json, fact_to_json

KINDS = [kind for kind in get_args(facts.Fact) if kind is not facts.Call]
"""Calls have a layout of their own in the journal."""

numbers = st.integers(-(2**63), 2**64 - 1)
texts = st.binary(max_size=12).map(os.fsdecode)
map_lines = st.builds(
    lambda low, size, perms, offset, dev, inode, path: MapLine(low, low + size, perms, offset, dev, inode, path),
    st.integers(0, 2**63),
    st.integers(1, 2**62),
    st.tuples(*(st.sampled_from(pair) for pair in ("r-", "w-", "x-", "sp"))).map("".join),
    st.integers(0, 2**64 - 1),
    texts,
    st.integers(0, 2**64 - 1),
    texts,
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Everything an annotation allows."""
    simple = {int: numbers, str: texts, bool: st.booleans(), type(None): st.none(), MapLine: map_lines}
    if kind in simple:
        return simple[kind]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Union:
        return st.one_of([values(argument) for argument in arguments])
    if origin in (list, tuple):
        items = st.lists(values(arguments[0]), max_size=3)
        return items if origin is list else items.map(tuple)
    if origin is dict:
        return st.dictionaries(texts, values(arguments[1]), max_size=3)
    hints = get_type_hints(kind)
    names = kind.field_names if issubclass(kind, Frozen) else hints
    special = {(facts.Host, "page_size"): st.integers(0, 20).map(lambda bits: 1 << bits)}
    return st.builds(kind, **{name: special.get((kind, name), values(hints[name])) for name in names})


any_fact = st.one_of([values(kind) for kind in KINDS])
any_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=8), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=12,
)


def through_json(fact: Any) -> Any:
    return fact_from_json(json.loads(json.dumps(fact_to_json(fact))))


def places(value: Any, path: Tuple[Any, ...] = ()) -> List[Tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for key, item in inner for place in places(item, (*path, key))]


def with_other(value: Any, path: Tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_other(value[path[0]], path[1:], other)
    return copy


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_every_kind_comes_back_exactly(kind: Any, data: st.DataObject) -> None:
    fact = data.draw(values(kind))
    assert through_json(fact) == fact


@settings(max_examples=40)
@given(any_fact)
def test_what_is_written_is_ascii(fact: Any) -> None:
    json.dumps(fact_to_json(fact)).encode("ascii")


def test_bytes_that_are_no_utf8_come_back_exactly() -> None:
    note = facts.Note("path", os.fsdecode(b"/tmp/\xff\xed\xa0\x80\xf0\x9f\x98\x80\x80"))
    assert os.fsencode(through_json(note).text) == b"/tmp/\xff\xed\xa0\x80\xf0\x9f\x98\x80\x80"


def test_fields_at_their_default_are_not_written() -> None:
    assert fact_to_json(facts.Probe(7)) == ["Probe", {"tid": 7}]


def test_false_and_zero_are_not_none() -> None:
    host = facts.Host("6.18", "x86_64", 4096, selinux_enforcing=False, mdwe=0)
    started = facts.RunStarted("1", host, [], "/", "2024-01-01T00:00:00Z", "full", False, 0)
    assert through_json(started) == started


def test_a_tuple_comes_back_as_a_tuple() -> None:
    probe = facts.Probe(1, vmas=[Vma(MapLine(0, 4096, "rw-p", 0, "00:00", 0, ""), ("rd", "wr"), 0, 0, 0)])
    assert through_json(probe).vmas[0].flags == ("rd", "wr")


def test_a_range_may_end_where_all_addresses_end() -> None:
    whole = facts.Resynced(1, 1, 0, 2**64, [], "calls overlapped")
    assert through_json(whole) == whole


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert fact_from_json(["RunEnded", {"t_ns": 5, "mood": "fine"}]) == facts.RunEnded(5)


GOOD_LINE = [0, 4096, "rw-p", 0, "00:00", 0, ""]


@pytest.mark.parametrize(
    "value, place",
    [
        (["RunEnded", {}], "RunEnded.t_ns"),
        (["RunEnded", {"t_ns": "5"}], "RunEnded.t_ns: expected a number"),
        (["RunEnded", {"t_ns": True}], "RunEnded.t_ns: expected a number"),
        (["RunEnded", {"t_ns": 5.0}], "RunEnded.t_ns: expected a number"),
        (["RunEnded", {"t_ns": None}], "RunEnded.t_ns: expected a number"),
        (["RunEnded", {"t_ns": 2**64 + 1}], "at most 64 bits"),
        (["RunEnded", {"t_ns": -(2**63) - 1}], "at most 64 bits"),
        (["Note", {"kind": 1, "text": ""}], "Note.kind: expected text"),
        (["Mapped", {"tid": 1, "lines": {}}], "Mapped.lines: expected a list"),
        (["Mapped", {"tid": 1, "lines": [GOOD_LINE[:6]]}], "Mapped.lines: expected a list of 7 values"),
        (["Probe", {"tid": 1, "status": []}], "Probe.status: expected an object"),
        (["Probe", {"tid": 1, "descriptor": {}}], "Probe.descriptor.link"),
        (["Probe", {"tid": 1, "vmas_complete": 1}], "Probe.vmas_complete: expected true or false"),
        (["RunEnded", []], "RunEnded: expected an object"),
        (["Call", {}], "unknown kind 'Call'"),
        (["RunEnded"], "pair"),
        ({"RunEnded": 5}, "pair"),
        ([[], {}], "pair"),
        (None, "pair"),
    ],
)
def test_the_error_names_the_place(value: Any, place: str) -> None:
    with pytest.raises(RecordError, match=place):
        fact_from_json(value)


@pytest.mark.parametrize(
    "index, other",
    [(0, -4096), (0, 4096), (1, 0), (2, "rwz-"), (2, "rw-"), (2, ""), (2, "rw-p ")],
)
def test_a_maps_line_that_cannot_be(index: int, other: Any) -> None:
    line: List[Any] = list(GOOD_LINE)
    line[index] = other
    with pytest.raises(RecordError, match=r"Mapped\.lines: expected a line of /proc/PID/maps"):
        fact_from_json(["Mapped", {"tid": 1, "lines": [line]}])


@given(any_json)
def test_any_json_is_a_fact_or_a_record_error(value: Any) -> None:
    try:
        fact_from_json(value)
    except RecordError:
        pass


@given(st.sampled_from([kind.__name__ for kind in KINDS]), st.dictionaries(st.text(max_size=8), any_json, max_size=4))
def test_any_fields_are_a_fact_or_a_record_error(kind: str, fields: Dict[str, Any]) -> None:
    try:
        fact_from_json([kind, fields])
    except RecordError:
        pass


@given(fact=any_fact, other=any_json, data=st.data())
def test_one_wrong_value_anywhere_is_a_fact_or_a_record_error(fact: Any, other: Any, data: st.DataObject) -> None:
    """And what is taken for a fact is one: it comes back as itself."""
    value = fact_to_json(fact)
    changed = with_other(value, data.draw(st.sampled_from(places(value))), other)
    try:
        taken = fact_from_json(changed)
    except RecordError:
        return
    assert through_json(taken) == taken
