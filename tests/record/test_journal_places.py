"""A journal read again from any place that a reader was at before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from wxtrace.errors import RecordError
from wxtrace.model.facts import Call, Named
from wxtrace.record.journal import JournalReader, JournalWriter, Place, call_at
from wxtrace.record.journalbytes import JournalBytes

FACTS: List[Any] = [
    Call(1, 10, 0, 9, (0, 4096, 3, 0x22, (1 << 64) - 1, 0), 0x7F31A0000000),
    Named(1, "one"),
    Call(1, 20, 1, 125, (1, 2, 3, 4, 5, 6), None, 2),
    Call(1, 30, 0, 12, (0, 0, 0, 0, 0, 0), (1 << 64) - 4096),
    Named(1, "two"),
]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """In frames of two facts."""
    fd = os.open(tmp_path / "j", os.O_RDWR | os.O_CREAT)
    writer = JournalWriter(fd)
    for i, fact in enumerate(FACTS):
        writer.call(fact) if isinstance(fact, Call) else writer.fact(fact)
        if i % 2:
            writer.flush()
    writer.flush()
    os.close(fd)
    return tmp_path / "j"


def placed(path: Path) -> List[Tuple[Place, Any]]:
    with open(path, "rb") as file:
        return list(JournalReader(file, "j").placed())


def test_reading_goes_on_from_every_place(journal: Path) -> None:
    places = [place for place, _ in placed(journal)]

    for i, place in enumerate(places):
        with open(journal, "rb") as file:
            assert list(JournalReader(file, "j", place).placed()) == placed(journal)[i:]


def test_a_call_is_read_where_it_stands(journal: Path) -> None:
    record = JournalBytes(str(journal))
    for place, fact in placed(journal):
        if isinstance(fact, Call):
            assert call_at(record, place.entry) == fact


@pytest.mark.parametrize("entry", [0, 1 << 40])
def test_where_no_call_stands_is_an_error(journal: Path, entry: int) -> None:
    with pytest.raises(RecordError, match="has changed under our eyes"):
        call_at(JournalBytes(str(journal)), entry)


def test_a_place_beyond_the_end_has_nothing(journal: Path) -> None:
    with open(journal, "rb") as file:
        assert list(JournalReader(file, "j", Place(1 << 30, 1 << 31)).placed()) == []


def test_a_record_reads_the_same_in_a_file_and_in_memory(journal: Path, tmp_path: Path) -> None:
    """At each byte where its file may end, and the rest come otherwise."""
    whole = journal.read_bytes()
    for end in range(len(whole) + 1):
        (tmp_path / "cut").write_bytes(whole[:end])
        record = JournalBytes(str(tmp_path / "cut"))
        reader = JournalReader(record.cursor(), "j")
        found = list(reader.available())
        record.extend(whole[end : end + 30], end)
        found += reader.available()
        record.extend(whole[end + 30 :], end)
        found += reader.available()
        record.close()
        assert found == FACTS


def test_a_reader_goes_on_in_the_file_that_a_record_was_moved_to(journal: Path, tmp_path: Path) -> None:
    whole = journal.read_bytes()
    for end in range(len(whole) + 1):
        (tmp_path / "cut").write_bytes(whole[:end])
        record = JournalBytes(str(tmp_path / "cut"))
        reader = JournalReader(record.cursor(), "j")
        found = list(reader.available())
        record.move(str(journal))
        found += reader.available()
        record.close()
        assert found == FACTS
