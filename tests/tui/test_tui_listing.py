"""The rows of the event list: folding, filters, search."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import pytest

from tui.records import ANON_AT, PAGE, RW, RX, R, Recorded, index_of
from tui.screen_kit import NEW
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui.filters import ALL, Filter, address_in, search_matcher
from wxtrace.tui.index import Index
from wxtrace.tui.listing import Listing


def rows(listing: Listing) -> List[Tuple[int, int]]:
    return [listing[i][:2] for i in range(len(listing))]


def listed(index: Index, **wanted: Any) -> List[str]:
    listing = Listing(index.columns, Filter(**wanted), fold=False)
    listing.extend()
    return [index.columns.kind_of(listing[i].first).name for i in range(len(listing))]


def test_repetitions_are_one_row_with_a_count(tmp_path: Path) -> None:
    told = Recorded()
    for _ in range(9):
        told.call("mprotect", ANON_AT, PAGE, RW)
    index = index_of(told.write(tmp_path / "j"))
    listing = Listing(index.columns)
    listing.extend()

    assert rows(listing) == [(1, 1), (2, 9)]
    assert list(listing.members(1)) == list(range(2, 11))


def test_two_kinds_that_take_turns_are_one_row(refused: Recorded, journal: Path) -> None:
    index = index_of(journal)
    listing = Listing(index.columns)
    listing.extend()
    first = refused.named("mprotect")[0].n

    assert listing[listing.row_of(first)] == (first, 10, 2)


def test_folding_does_not_depend_on_how_the_events_came(refused: Recorded, journal: Path) -> None:
    whole, piecewise = Index(JournalBytes(str(journal))), Index(JournalBytes(str(journal)))
    whole.advance(10)
    at_once, in_steps = Listing(whole.columns), Listing(piecewise.columns)
    at_once.extend()
    while piecewise.advance(0):
        in_steps.extend()

    assert rows(at_once) == rows(in_steps)


def test_refused_calls_of_two_causes_are_never_one_row(journal: Path) -> None:
    index = index_of(journal)
    listing = Listing(index.columns)
    listing.extend()

    assert [listing[listing.row_of(n)].first for n in index.columns.alarms] == list(index.columns.alarms)


def test_an_unfolded_row_shows_each_event(tmp_path: Path) -> None:
    told = Recorded()
    for _ in range(3):
        told.call("mprotect", ANON_AT, PAGE, RW)
    told.call("munmap", ANON_AT, PAGE)
    listing = Listing(index_of(told.write(tmp_path / "j")).columns)
    listing.extend()

    listing.unfold(1)

    assert rows(listing) == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]
    assert listing.row_of(4) == 3


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"refused": True}, ["mprotect", "mprotect"]),
        ({"call": "UNMAP"}, ["munmap"]),
        ({"process": "nobody"}, []),
        ({"process": "100", "call": "exit"}, ["exit"]),
        ({"region": (ANON_AT, ANON_AT + 1)}, ["mprotect", "mprotect"]),
        ({"region": (NEW + PAGE, NEW + PAGE + 1)}, ["mmap", "munmap"]),
        ({"path": "/srv/nothing"}, []),
    ],
)
def test_a_filter_lists_what_meets_every_condition(journal: Path, wanted: Any, names: List[str]) -> None:
    assert listed(index_of(journal), **wanted) == names


def test_what_became_executable_is_listed_but_not_programs_that_are_loaded(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW, prot=RX)
    told.map_anonymous(NEW + PAGE, prot=R)
    told.call("mprotect", NEW + PAGE, PAGE, RX)
    told.call("mprotect", NEW + PAGE, PAGE, RX)
    index = index_of(told.write(tmp_path / "j"))

    assert listed(index, gains_exec=True) == ["mmap", "mprotect"]
    assert len(index.columns.gains) == 2


def test_a_filter_is_said_in_words() -> None:
    assert Filter(True, call="brk", region=(0x1000, 0x1001)).words() == "refused · call brk · region 1000"
    assert ALL.words() == ""


@pytest.mark.parametrize(
    ("text", "address"),
    [("0x7f00", 0x7F00), ("7f31a0000000", 0x7F31A0000000), ("brk", None), ("dead", None), ("f" * 20, None), ("", None)],
)
def test_an_address_is_told_from_a_word(text: str, address: int) -> None:
    assert address_in(text) == address


@pytest.mark.parametrize(
    ("text", "name"), [("munm", "munmap"), ("EACCES", "mprotect"), (hex(NEW + PAGE), "mmap"), ("jit", "exec")]
)
def test_a_search_finds_calls_errors_addresses_and_processes(journal: Path, text: str, name: str) -> None:
    index = index_of(journal)
    matches = search_matcher(text, index.columns)

    found = next(n for n in range(1, len(index) + 1) if matches(n))

    assert index.columns.kind_of(found).name == name
