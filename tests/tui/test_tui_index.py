"""The index: every event is at hand, and the map as it was at any of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

import pytest

from tui.records import ANON_AT, PAGE, RX, Recorded, append, index_of
from wxtrace.errors import RecordError
from wxtrace.model.event import Event
from wxtrace.model.replay import Replay
from wxtrace.record import journal as journal_format
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui import index as index_module
from wxtrace.tui.index import Index

NEW = 0x7F2000000000


@pytest.fixture(autouse=True)
def many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short journal has some."""
    monkeypatch.setattr(index_module, "_CHECKPOINT_BYTES", 300)


def perms(replay: Replay, address: int, space: int = 1) -> Optional[str]:
    found = next(state.space for state in replay.spaces if state.space.id == space)
    piece = found.at(address)
    return piece.perms if piece is not None else None


def test_every_event_is_told_again_as_it_was_told_first(refused: Recorded, journal: Path) -> None:
    index = index_of(journal)

    again = [index.event(n) for n in range(len(index), 0, -1)]

    assert again == refused.events[::-1]


def test_the_map_is_shown_as_it_was_at_each_event(refused: Recorded, tmp_path: Path) -> None:
    told = Recorded()
    seen: List[Optional[str]] = [None]
    for i in range(200):
        told.call("mprotect", ANON_AT + i % 4 * PAGE, PAGE, (1, 3, 5, 7)[i % 3])
        seen.append(told.perms(100, ANON_AT))
    index = index_of(told.write(tmp_path / "flips.journal"))

    first = told.named("mprotect")[0].n
    for n in (150, 3, 199, 200, 1, 77, 76):
        assert perms(index.moment(first - 1 + n), ANON_AT) == seen[n]


def test_a_forked_space_has_its_own_past(tmp_path: Path) -> None:
    told = Recorded()
    told.start(200, space=2, how="fork", parent=100)
    forked = told.last.n
    told.call("mprotect", ANON_AT, PAGE, RX, tid=200)
    for _ in range(30):
        told.call("munmap", NEW, PAGE)
    index = index_of(told.write(tmp_path / "fork.journal"))

    assert perms(index.moment(forked), ANON_AT, 2) == "rw-p"
    assert perms(index.moment(forked + 1), ANON_AT, 2) == "r-xp"
    assert perms(index.moment(forked + 1), ANON_AT, 1) == "rw-p"


def test_amendments_and_alarms_are_known_by_number(refused: Recorded, journal: Path) -> None:
    index = index_of(journal)

    alarms = [event.n for event in refused.events if event.outcome == "refused"]
    assert list(index.columns.alarms) == alarms
    assert {index.amendments[n].aftermath for n in alarms} == {"exited"}


def test_a_growing_journal_is_read_on(refused: Recorded, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "live.journal", os.O_RDWR | os.O_CREAT)
    writer = append(fd, refused.facts[:9])
    index = Index(JournalBytes(str(tmp_path / "live.journal")), follow=True)
    index.advance(1)
    before = len(index)

    for fact in refused.facts[9:]:
        writer.call(fact) if type(fact).__name__ == "Call" else writer.fact(fact)
    writer.flush()
    index.advance(1)

    assert 0 < before < len(index) == len(refused.events)
    assert index.complete
    assert [index.event(n) for n in (before, before + 1)] == refused.events[before - 1 : before + 1]
    os.close(fd)


def test_a_cut_journal_opens_up_to_there_and_says_so(refused: Recorded, journal: Path) -> None:
    os.truncate(journal, journal.stat().st_size - 20)

    index = index_of(journal)

    assert 0 < len(index) < len(refused.events)
    assert index.complete
    assert index.replay.lost is not None
    assert "in the middle of a frame" in index.replay.lost


def test_a_damaged_journal_says_where(refused: Recorded, journal: Path) -> None:
    data = bytearray(journal.read_bytes())
    data[-30] ^= 1
    journal.write_bytes(data)

    assert "a checksum differs" in (index_of(journal).replay.lost or "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "is neither a wxtrace journal nor a timeline"),
        (b"hello" * 99, "is neither a wxtrace journal nor a timeline"),
        (b"", "is neither a wxtrace journal nor a timeline"),
        (journal_format.MAGIC, "holds no run"),
    ],
)
def test_what_is_no_journal_is_refused_in_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(content)

    with pytest.raises(RecordError, match=words):
        index_of(tmp_path / "x")


def test_a_journal_that_changed_under_our_eyes_is_no_traceback(refused: Recorded, journal: Path) -> None:
    index = index_of(journal)
    os.truncate(journal, 20)

    with pytest.raises(RecordError, match="changed under our eyes"):
        index.event(5)
    with pytest.raises(RecordError, match="changed under our eyes"):
        index.call(5)


def test_an_event_beyond_the_last_is_none(journal: Path) -> None:
    with pytest.raises(IndexError):
        index_of(journal).event(1000)


def test_the_end_may_bring_a_late_event(tmp_path: Path) -> None:
    told = Recorded()
    told.call("mprotect", ANON_AT, PAGE, RX, result=None)
    index = index_of(told.write(tmp_path / "late.journal"))

    last = index.event(len(index))

    assert isinstance(last, Event)
    assert last.outcome == "unfinished"
