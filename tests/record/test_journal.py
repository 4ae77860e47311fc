"""The journal: what goes in comes out, and a journal that was cut or damaged opens up to there."""

from __future__ import annotations

import io
import json
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.errors import RecordError
from wxtrace.model import facts, objects
from wxtrace.model.facts import Call, Lost
from wxtrace.model.frames import Frame
from wxtrace.model.restrictions import Ancestor, Listener
from wxtrace.record import journal
from wxtrace.record.journal import MAGIC, JournalReader, JournalWriter, call_at, plain_head
from wxtrace.record.journalbytes import JournalBytes

LINE = MapLine(0x7F31A0000000, 0x7F31A0002000, "r-xp", 0x2000, "fe:01", 1311, "/opt/caf\udce9/lib (deleted)")
HOST = facts.Host("6.18.4", "x86_64", 4096, ["capability", "selinux"], True, {"deny_execmem": False})
MPROTECT = Call(4711, 1_000, 0, 10, (0x7F31A0000000, 4096, 5, 0, 0, 0), -13, facts.BY_KERNEL)
MMAP = Call(4711, 900, 0, 9, (0, 4096, 3, 0x22, 2**64 - 1, 0), 0x7F31A0000000)

ONE_OF_EACH: List[Any] = [
    facts.RunStarted("0.1", HOST, ["./jit", "--fast"], "/srv", "2024-05-01T12:00:00Z", "accelerated", True),
    facts.TaskStarted(4711, 5, 4711, 1, "launch"),
    facts.Seeded(4711, 6, 4711, 1, "exec", facts.Image("/srv/jit", ["./jit"], "jit", "x86_64"), [LINE], 1, 2, 0),
    MMAP,
    facts.Mapped(4711, [LINE]),
    facts.Probe(4711, "jit", vmas=[Vma(LINE, ("rd", "ex"), 0, 0, 0)], descriptor=objects.Descriptor("/srv/jit", 2)),
    facts.Resynced(4711, 1, 0, 4096, [LINE], "mprotect failed"),
    MPROTECT,
    facts.SignalStop(4711, 7, 11, 2, 0x7F31A0000000, None, 1, 2, None, LINE),
    facts.ModeChanged(4711, "full", "seccomp"),
    facts.Named(4711, "mytool.exe"),
    facts.Verified(3),
    facts.Mismatch(4711, 8, "mremap", ["a"], ["b"]),
    facts.Note("seccomp", "inherited filters", 4711),
    facts.Dropped(12),
    facts.FilterCode(1, "060000000000ff7f"),
    facts.FilterInstalled(100, 1),
    facts.FiltersSeen(100, [1], "", [Ancestor(1, "systemd", 0)], "/system.slice/jit.service", [Listener(7, "runc")]),
    facts.Unloading(4711, objects.Library("/srv/lib.so", None, True), "2.41"),
    facts.StackSampled(4711, 1_000),
    facts.StackRead(4711, 1_000, [Frame("/opt/caf\udce9/lib", 0x11F0, "jit_compile"), Frame("[anon]", 16)]),
    facts.TaskExited(4711, 9, signal=11),
    Lost("disk full"),
    facts.RunEnded(10),
]

words = st.integers(0, 2**64 - 1)
calls = st.builds(
    Call,
    tid=st.integers(0, 2**31 - 1),
    t_ns=words,
    abi=st.integers(0, 1),
    number=st.integers(0, 0xFFFF),
    args=st.tuples(words, words, words, words, words, words),
    result=st.one_of(st.none(), st.integers(-4095, -1), st.integers(-(2**63), 2**64 - 1)),
    decided=st.integers(0, 2),
)


def add(writer: JournalWriter, fact: Any) -> None:
    if isinstance(fact, Call):
        writer.call(fact)
    else:
        writer.fact(fact)


def written(batches: Sequence[Sequence[Any]]) -> Tuple[bytes, List[int]]:
    """The journal of these batches, and where each frame ends in it (first the magic)."""
    with tempfile.TemporaryFile() as file:
        writer = JournalWriter(file.fileno())
        ends = [len(MAGIC)]
        for batch in batches:
            for fact in batch:
                add(writer, fact)
            writer.flush()
            ends.append(os.lseek(file.fileno(), 0, os.SEEK_CUR))
        file.seek(0)
        return file.read(), ends


def read(data: bytes) -> List[Any]:
    return list(JournalReader(io.BytesIO(data), "run.wxt").all())


def frame(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def json_entry(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode("ascii")
    return b"J" + struct.pack("<I", len(text)) + text


# Round trips

VERSION_1 = Path(__file__).parent / "journals" / "version_1.journal"
"""With calls of both ABIs, written by the last wxtrace that made such journals."""
CALLS_OF_VERSION_1 = [
    MMAP._replace(decided=facts.BY_KERNEL),
    Call(4711, 950, 1, 125, (0x400000, 4096, 7, 0, 0, 0), -13, facts.BY_KERNEL),
    Call(4711, 955, 0, 11, (0x7F31A0000000, 4096, 0, 0, 0, 0), 0, facts.BY_KERNEL),
    Call(4711, 960, 1, 192, (0, 4096, 3, 0x22, 0xFFFFFFFF, 0), 0xF7000000, facts.BY_KERNEL),
    Call(4711, 970, 0, 10, (0x7F31A0000000, 4096, 5, 0, 0, 0), None),
    Call(4711, 980, 0, 25, (0, 0, 0, 0, 0, 0), 2**64 - 8192, facts.BY_FILTER),
]


def test_a_journal_of_version_1_is_read_as_it_was_meant() -> None:
    found = read(VERSION_1.read_bytes())

    assert [fact for fact in found if isinstance(fact, Call)] == CALLS_OF_VERSION_1
    assert found[0].argv == ["./jit"] and found[-1] == facts.RunEnded(1000) and len(found) == 11


def test_a_call_of_a_journal_of_version_1_is_found_again_at_its_place() -> None:
    with VERSION_1.open("rb") as file:
        placed = list(JournalReader(file, "run.wxt").placed())
    source = JournalBytes(str(VERSION_1))

    assert [call_at(source, place.entry) for place, fact in placed if isinstance(fact, Call)] == CALLS_OF_VERSION_1


@pytest.mark.parametrize("abi", [2, 255])
def test_a_call_by_an_abi_that_nobody_knows_is_damage(abi: int) -> None:
    entry = b"S" + struct.pack("<BBHiQq6Q", abi, 2, 10, 1, 5, 0, 0, 0, 0, 0, 0, 0)

    (lost,) = read(MAGIC + frame(entry))

    assert "a call by an unknown ABI" in lost.why


def test_there_is_an_example_of_each_kind() -> None:
    assert {type(fact) for fact in ONE_OF_EACH} == set(get_args(facts.Fact))


@pytest.mark.parametrize("fact", ONE_OF_EACH, ids=lambda fact: type(fact).__name__)
def test_every_kind_comes_back_exactly(fact: Any) -> None:
    data, _ = written([[fact]])
    assert read(data) == [fact]


@given(calls)
@example(MMAP._replace(result=2**64 - 4095))
@example(MMAP._replace(result=2**63))
@example(MMAP._replace(result=-(2**63)))
@example(MMAP._replace(result=None, decided=facts.BY_FILTER, abi=1))
def test_any_call_comes_back_exactly(call: Call) -> None:
    data, _ = written([[call]])
    assert read(data) == [call]


def test_a_call_that_never_returned_is_not_one_that_returned_0() -> None:
    data, _ = written([[MMAP._replace(result=None), MMAP._replace(result=0)]])
    assert [fact.result for fact in read(data)] == [None, 0]


@pytest.mark.parametrize("size", [1, 3, 17])
def test_the_order_is_kept_however_batches_fall(size: int) -> None:
    data, _ = written([ONE_OF_EACH[i : i + size] for i in range(0, len(ONE_OF_EACH), size)])
    assert read(data) == ONE_OF_EACH


def test_a_journal_without_facts_is_a_journal() -> None:
    assert read(MAGIC) == []


def test_one_batch_is_one_frame() -> None:
    data, ends = written([[MMAP, MPROTECT]])
    (length,) = struct.unpack_from("<I", data, ends[0])
    assert ends[1] == ends[0] + 8 + length == len(data)


def test_a_batch_longer_than_a_frame_may_be_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_FRAME", 200)
    data, _ = written([[MMAP] * 20])
    assert read(data) == [MMAP] * 20


# Writing


def test_nothing_is_written_before_a_flush(tmp_path: Path) -> None:
    with open(tmp_path / "journal", "wb") as file:
        writer = JournalWriter(file.fileno())
        writer.call(MMAP)
        assert (tmp_path / "journal").read_bytes() == MAGIC and writer.pending


def test_nothing_is_pending_after_a_flush(tmp_path: Path) -> None:
    with open(tmp_path / "journal", "wb") as file:
        writer = JournalWriter(file.fileno())
        writer.call(MMAP)
        writer.flush()
        assert not writer.pending


def test_a_flush_of_nothing_writes_nothing() -> None:
    data, _ = written([[], []])
    assert data == MAGIC


def full_journal(path: Path, calls: Sequence[Tuple[Call, bool]], notes: Sequence[Any] = ()) -> Tuple[List[Any], int]:
    """What a journal that has reached its limit keeps of these, and how many calls it counts as dropped."""
    with open(path, "wb") as file:
        writer = JournalWriter(file.fileno(), limit=0)
        for call, keep in calls:
            writer.call(call, keep)
        for note in notes:
            writer.fact(note)
        writer.flush()
    return read(path.read_bytes()), writer.take_dropped()


def test_a_full_journal_counts_ordinary_calls(tmp_path: Path) -> None:
    assert full_journal(tmp_path / "journal", [(MMAP, False)] * 3) == ([], 3)


def test_a_full_journal_keeps_what_it_must(tmp_path: Path) -> None:
    assert full_journal(tmp_path / "journal", [(MMAP, False), (MPROTECT, True)]) == ([MPROTECT], 1)


def test_a_full_journal_keeps_every_other_fact(tmp_path: Path) -> None:
    assert full_journal(tmp_path / "journal", [], [facts.Dropped(3)]) == ([facts.Dropped(3)], 0)


def test_dropped_calls_are_told_once(tmp_path: Path) -> None:
    with open(tmp_path / "journal", "wb") as file:
        writer = JournalWriter(file.fileno(), limit=0)
        writer.call(MMAP)
        assert (writer.take_dropped(), writer.take_dropped()) == (1, 0)


def test_a_full_disk_is_a_failure_to_look_at_and_no_exception() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = JournalWriter(fd)
        writer.call(MMAP)
        writer.flush()
    finally:
        os.close(fd)
    assert isinstance(writer.failure, OSError)


def test_nothing_follows_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame behind a torn one could never be found again."""
    with open(tmp_path / "journal", "wb") as file:
        writer = JournalWriter(file.fileno())
        writer.call(MMAP)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _no_space)
            writer.flush()
        writer.call(MMAP)
        writer.flush()
    assert (tmp_path / "journal").read_bytes() == MAGIC


def _no_space(fd: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: whole(fd, bytes(data[:7])))
    with open(tmp_path / "journal", "wb") as file:
        writer = JournalWriter(file.fileno())
        writer.call(MMAP)
        writer.flush()
    assert read((tmp_path / "journal").read_bytes()) == [MMAP]


# A journal that is still being written


def test_facts_appear_with_the_last_byte_of_their_frame(tmp_path: Path) -> None:
    data, ends = written([[MMAP], [MPROTECT, facts.RunEnded(1)]])
    path = tmp_path / "journal"
    path.write_bytes(b"")
    seen: List[Tuple[int, int]] = []
    with open(path, "ab", buffering=0) as growing, open(path, "rb") as file:
        reader = JournalReader(file, "run.wxt")
        for size in range(1, len(data) + 1):
            growing.write(data[size - 1 : size])
            found = len(list(reader.available()))
            if found:
                seen.append((size, found))
    assert seen == [(ends[1], 1), (ends[2], 2)]


def test_damage_is_an_error_to_who_follows_a_journal() -> None:
    data, _ = written([[MMAP]])
    reader = JournalReader(io.BytesIO(data[:-1] + b"!"), "run.wxt")
    with pytest.raises(RecordError, match=r"run\.wxt is damaged"):
        list(reader.available())


# Cut and damaged journals

SAMPLE, ENDS = written([ONE_OF_EACH[:3], ONE_OF_EACH[3:4], ONE_OF_EACH[4:12], ONE_OF_EACH[12:]])
COUNTS = [0, 3, 4, 12, len(ONE_OF_EACH)]
"""How many facts are whole at each of ENDS."""


def outcome(data: bytes) -> Tuple[Optional[List[Any]], Optional[str]]:
    """The facts before the loss and why there is one; (None, None) for what is no journal at all."""
    try:
        found = read(data)
    except RecordError:
        return None, None
    if found and isinstance(found[-1], Lost) and found[-1] not in ONE_OF_EACH:
        return found[:-1], found[-1].why
    return found, None


def test_a_journal_cut_anywhere_opens_up_to_its_last_whole_frame() -> None:
    wrong = []
    for cut in range(len(MAGIC), len(SAMPLE) + 1):
        whole = max(count for count, end in zip(COUNTS, ENDS) if end <= cut)
        if outcome(SAMPLE[:cut])[0] != ONE_OF_EACH[:whole]:
            wrong.append(cut)
    assert wrong == []


def test_a_journal_cut_inside_a_frame_says_so() -> None:
    silent = [cut for cut in range(len(MAGIC), len(SAMPLE) + 1) if outcome(SAMPLE[:cut])[1] is None]
    assert silent == ENDS


def test_a_cut_is_told_by_the_byte_where_the_frame_began() -> None:
    assert "after byte %d" % ENDS[2] in (outcome(SAMPLE[: ENDS[2] + 5])[1] or "")


@pytest.mark.parametrize("cut", range(len(MAGIC)))
def test_a_file_without_a_whole_magic_is_no_journal(cut: int) -> None:
    with pytest.raises(RecordError, match=r"run\.wxt is neither a wxtrace journal nor a timeline"):
        read(SAMPLE[:cut])


@pytest.mark.parametrize("at", range(MAGIC.index(b"2")))
def test_a_file_with_another_magic_is_no_journal(at: int) -> None:
    with pytest.raises(RecordError, match=r"run\.wxt is neither a wxtrace journal nor a timeline"):
        read(SAMPLE[:at] + b"?" + SAMPLE[at + 1 :])


def test_a_journal_of_another_version_is_called_so() -> None:
    with pytest.raises(RecordError, match=r"run\.wxt is a wxtrace journal of another version"):
        read(SAMPLE.replace(b"/2\n", b"/3\n", 1))


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_loses_its_frame_and_what_follows(bits: int) -> None:
    wrong = []
    for at in range(len(MAGIC), len(SAMPLE)):
        before = max(count for count, end in zip(COUNTS, ENDS) if end <= at)
        found, why = outcome(SAMPLE[:at] + bytes([SAMPLE[at] ^ bits]) + SAMPLE[at + 1 :])
        if found != ONE_OF_EACH[:before] or why is None:
            wrong.append(at)
    assert wrong == []


def test_a_checksum_that_differs_is_told_with_its_place() -> None:
    _, why = outcome(SAMPLE[: ENDS[2] - 1] + b"!" + SAMPLE[ENDS[2] :])
    assert why == "the journal is damaged before byte %d: a checksum differs" % ENDS[2]


def test_an_impossible_length_is_told_with_its_place() -> None:
    _, why = outcome(SAMPLE[: ENDS[1]] + b"\xff" * 20)
    assert why == "the journal is damaged at byte %d: a frame of %d bytes" % (ENDS[1], 2**32 - 1)


def test_facts_before_the_damage_of_their_own_frame_are_kept() -> None:
    """A whole frame, by its checksum, with an entry in it that no version of ours wrote."""
    found = read(MAGIC + frame(json_entry(["RunEnded", {"t_ns": 3}]) + b"?"))
    assert found[0] == facts.RunEnded(3) and isinstance(found[1], Lost)


@pytest.mark.parametrize(
    "payload",
    [
        b"?",
        b"S",
        b"S" + b"\0" * 71,
        b"C",
        b"C" + b"\0" * 70,
        b"J",
        b"J\x05\0\0\0",
        b"J\xff\xff\xff\xff{}",
        json_entry(b""),
        json_entry(b"\xff\xfe"),
        json_entry(b"[" * 100_000),
        json_entry(b"9" * 10_000),
        json_entry(["RunEnded", {"t_ns": 10**400}]),
        json_entry(["NoSuchFact", {}]),
        json_entry(b'["RunEnded", {"t_ns": NaN}]'),
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_a_frame_that_is_whole_and_wrong_is_a_loss(payload: bytes) -> None:
    (lost,) = read(MAGIC + frame(payload))
    assert lost.why.startswith("the journal is damaged before byte %d: " % (len(MAGIC) + 8 + len(payload)))


def test_nothing_behind_the_damage_is_believed() -> None:
    data = MAGIC + frame(b"?") + frame(json_entry(["RunEnded", {"t_ns": 3}]))
    assert facts.RunEnded(3) not in read(data)


@given(st.binary().filter(lambda data: not data.startswith(b"WXTRACE-JOURNAL/")))
def test_any_other_file_is_no_journal(data: bytes) -> None:
    assert outcome(data) == (None, None)


@given(st.binary())
def test_any_bytes_behind_the_magic_are_read(tail: bytes) -> None:
    found, why = outcome(MAGIC + tail)
    assert found == [] and (why is None) == (tail.count(b"\0") == len(tail) and len(tail) % 8 == 0)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.binary(max_size=40).map(json_entry),
            st.recursive(st.integers() | st.text(), st.lists, max_leaves=5).map(json_entry),
            st.just(json_entry(["RunEnded", {"t_ns": 3}])),
        ),
        max_size=4,
    )
)
def test_any_entries_in_a_whole_frame_are_read(entries: List[bytes]) -> None:
    """Facts, and at most one loss, at the end."""
    found = read(MAGIC + frame(b"".join(entries)))
    assert not any(isinstance(fact, Lost) for fact in found[:-1])


@given(st.data())
def test_several_flipped_bytes_are_read(data: st.DataObject) -> None:
    damaged = bytearray(SAMPLE)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(len(MAGIC), len(SAMPLE) - 1))] = data.draw(st.integers(0, 255))
    found, why = outcome(bytes(damaged))
    assert found == ONE_OF_EACH[: len(found or [])] and (why is not None or damaged == SAMPLE)


def test_a_full_journal_counts_ordinary_calls_and_keeps_the_others() -> None:
    call = Call(1, 5, 0, 10, (0, 4096, 1, 0, 0, 0), 0)
    with tempfile.TemporaryFile() as file:
        writer = JournalWriter(file.fileno(), limit=0)
        writer.call(call)
        writer.plain_call(1, 5, plain_head(0, 1), (1, 2, 3, 4, 10, 0, 4096, 1, 0, 0, 0, 7), 0)
        writer.call(call._replace(result=-13), keep=True)
        writer.flush()
        file.seek(0)
        kept = read(file.read())

    assert writer.full
    assert writer.take_dropped() == 2
    assert [fact.result for fact in kept] == [-13]
