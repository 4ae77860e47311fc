"""A timeline that somebody sent: read back exactly, and refused at its first fault, with the place."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any, Dict, List

import pytest

from wxtrace.decoders.procmaps import MapLine
from wxtrace.errors import RecordError
from wxtrace.model import facts
from wxtrace.model.event import Amendment, Event
from wxtrace.model.replay import Replay
from wxtrace.record import jsonstream
from wxtrace.record.codec import fact_to_json
from wxtrace.record.importing import Timeline
from wxtrace.record.journal import MAGIC
from wxtrace.record.opening import open_record
from wxtrace.record.timeline import write_timeline

HOST = facts.Host("6.18.4", "x86_64", 4096, ["capability"], True, {"deny_execmem": False}, {"vm.max_map_count": "9"})
LINES = [
    MapLine(0x7F0000000000, 0x7F0000004000, "rw-p", 0, "00:00", 0, ""),
    MapLine(0x7F1000000000, 0x7F1000002000, "r--p", 0, "08:01", 42, "/srv/caf\udce9"),
]
IMAGE = facts.Image("/srv/jit", ["./jit", "-x"], "jit", "x86_64")


def call(t_ns: int, tid: int, number: int, *args: int, result: int = 0) -> facts.Call:
    padded: Any = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return facts.Call(tid, t_ns, 0, number, padded, result)


RUN: List[Any] = [
    facts.RunStarted("0.1", HOST, ["./jit", "-x"], "/srv", "2024-05-01T12:00:00Z", "accelerated", True),
    facts.TaskStarted(100, 1, 100, 1, "launch"),
    facts.Seeded(100, 2, 100, 1, "exec", IMAGE, LINES, 0x555500000000, 0x7FFE00000000, 0),
    facts.Note("no-filter", "SELinux is enforcing"),
    call(3, 100, 9, 0, 4096, 3, 0x22, (1 << 64) - 1, 0, result=0x7F2000000000),
    call(4, 100, 10, 0x7F2000000000, 4096, 5),
    facts.Probe(100, "jit"),
    call(5, 100, 10, 0x7F1000000000, 4096, 3, result=-13),
    facts.TaskStarted(101, 6, 101, 2, "fork", 100, 17),
    facts.TaskExited(101, 7, signal=11),
    facts.TaskExited(100, 8, code=3),
    facts.Verified(5),
    facts.RunEnded(9),
]


def saved(run: List[Any] = RUN) -> Dict[str, Any]:
    """The timeline of the run."""
    out = io.StringIO()
    write_timeline(run, out)
    value: Dict[str, Any] = json.loads(out.getvalue())
    return value


def opened(value: Any) -> Timeline:
    data = value if isinstance(value, bytes) else json.dumps(value).encode("ascii")
    return Timeline(io.BytesIO(data), "run.json")


def everything(value: Any) -> List[Any]:
    timeline = opened(value)
    return [*timeline.regions(), *timeline.shown()]


def fault(value: Any) -> str:
    with pytest.raises(RecordError) as raised:
        everything(value)
    return str(raised.value)


# What is there comes back


def test_calls_come_back_as_they_were_told() -> None:
    replay = Replay()
    told = [shown for fact in RUN for shown in replay.feed(fact)] + list(replay.finish())
    read = list(opened(saved()).shown())

    calls = [event for event in told if isinstance(event, Event) and event.call is not None]
    assert [event for event in read if isinstance(event, Event) and event.call is not None] == calls
    endings = [(amendment.n, amendment.aftermath) for amendment in told if isinstance(amendment, Amendment)]
    assert [(item.n, item.aftermath) for item in read if isinstance(item, Amendment)] == endings


def test_run_processes_and_spaces_come_back() -> None:
    timeline = opened(saved())

    assert timeline.run == RUN[0].__class__(**{**vars(RUN[0]), "verify": False})
    first, second = timeline.processes
    assert (first.id, first.pid, first.parent, first.images[0][1], first.exit_code) == (1, 100, None, IMAGE, 3)
    assert (second.id, second.parent, second.exit_code, second.exit_signal) == (2, 1, None, 11)
    assert [(state.space.id, state.parent) for state in timeline.spaces] == [(1, None), (2, 1)]


def test_regions_come_back_with_their_backing() -> None:
    regions = [region for region, _ in opened(saved()).regions()]

    assert [region.provenance for region in regions[:3]] == ["anon", "file", "anon"]
    assert regions[1].backing is not None and regions[1].backing.path == "/srv/caf\udce9"
    assert regions[2].created_by == 2


def test_what_was_compared_is_known_at_the_end() -> None:
    timeline = opened(saved())
    list(timeline.shown())
    assert (timeline.checked, timeline.mismatches) == (5, 0)


@pytest.mark.parametrize("form", [{"indent": 2}, {"sort_keys": True}])
def test_another_form_of_the_same_file_says_the_same(form: Dict[str, Any]) -> None:
    assert everything(json.dumps(saved(), **form).encode("ascii")) == everything(saved())


def test_every_small_piece_of_a_file_may_come_by_itself() -> None:
    class Slow(io.BytesIO):
        def read(self, size: Any = -1) -> bytes:
            return super().read(7)

    data = json.dumps(saved()).encode("ascii")
    assert list(Timeline(Slow(data), "run.json").shown()) == list(opened(data).shown())


# What is not


def changed(path: str, value: Any) -> Dict[str, Any]:
    """The timeline with one value replaced; `path` is what the fault should name."""
    timeline = saved()
    place: Any = timeline
    keys: List[Any] = []
    for part in path.replace("[", ".[").split("."):
        keys.append(int(part[1:-1]) if part.startswith("[") else part)
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return timeline


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("events[2].touched[0].start", "0x10000000000000001", "an address of at most 64 bits"),
        ("events[2].touched[0].end", "0x1", "an address that is not below the start"),
        ("events[2].touched[0].end", 4096, "an address of at most 64 bits"),
        ("events[2].touched[0].before", "rwxp\x1b[31m", "one of"),
        ("events[2].pid", "100", "a whole number from 0"),
        ("events[2].pid", True, "a whole number from 0"),
        ("events[2].t_ns", 1e300, "a whole number from 0"),
        ("events[2].t_ns", 1 << 80, "a whole number from 0"),
        ("events[2].raw", ["0x0"] * 5, "six arguments"),
        ("events[2].raw", {"0": 1}, "an array"),
        ("events[2].call", "mprotect\x1b", "a call that wxtrace knows"),
        ("events[2].args", [], "an object"),
        ("events[2].args", {"prot": {"deep": 1}}, "a whole number"),
        ("events[2].n", 2, "a number above 2"),
        ("events[2].proc", 7, "the id of one of the processes"),
        ("events[2].errno", "EACCES\x1b[0m", "the name of an error"),
        ("events[3].diagnosis.confidence", "sure", "one of consistent, possible, proved"),
        ("events[3].diagnosis.cause", "mdwe\x1b[0m", "the id of a cause"),
        ("events[3].diagnosis.evidence", [{"fact": 1, "source": ""}], "text"),
        ("events[3].diagnosis.related", [-1], "a whole number from 0"),
        ("regions[1].id", 1, "a number above 1"),
        ("regions[1].end", "0x0", "an address above the start"),
        ("regions[1].backing", "/srv", "an object"),
        ("processes[1].proc", 1, "an id that was not used before"),
        ("processes[1].parent", 9, "the id of one of the processes"),
        ("processes[1].exit", {"signal": "SIGNOTHING"}, "the name of a signal"),
        ("processes[1].exit", {}, "either a code or a signal"),
        ("processes[0].images[0].argv", "./jit", "an array"),
        ("spaces[1].id", 1, "an id that was not used before"),
        ("host.lsm", [1], "text"),
        ("host.page_size", None, "a whole number from 0"),
        ("command.argv", None, "an array"),
        ("notes[0].text", None, "text"),
        ("summary.verify", {"checked": 1}, "a whole number from 0"),
    ],
)
def test_the_first_wrong_value_is_named(path: str, value: Any, expected: str) -> None:
    said = fault(changed(path, value))

    assert said.startswith("run.json: %s" % path), said
    assert expected in said
    assert "\n" not in said and said.isprintable()


@pytest.mark.parametrize("name", ["host", "command", "processes", "spaces", "tool"])
def test_a_missing_part_is_named(name: str) -> None:
    timeline = saved()
    del timeline[name]
    assert fault(timeline) == "run.json: %s: expected a value" % name


def test_a_newer_major_version_is_told_from_something_else() -> None:
    assert "a timeline of another version" in fault({**saved(), "schema": "wxtrace-timeline/2"})
    assert "is not a wxtrace timeline" in fault({**saved(), "schema": "other/1"})
    assert "is not a wxtrace timeline" in fault({"a": 1})


TEXT = json.dumps(saved()).encode("ascii")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{", "it ends in the middle"),
        (TEXT[: len(TEXT) // 2], "it ends in the middle"),
        (TEXT + b"{}", "more follows its end"),
        (b'{"a": 1, "a": 2}', '"a" stands there twice'),
        (b"{1: 2}", "a key is not text"),
        (b'{"a" 1}', "expected :"),
        (b'{"a": ' + b"[" * 200000, "nested too deeply"),
        (b'{"a": ' + b"9" * 100000 + b"}", "a number of 100000 digits"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": "\xff"}', "it is not UTF-8 text"),
        (b'{"events": {}}', "expected ["),
        (b'{"a": "' + b"x" * (2 * jsonstream.MOST_VALUE), "one value of more than"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(data: bytes, expected: str) -> None:
    said = fault(data)
    assert expected in said, said
    assert "at character" in said


@pytest.mark.parametrize(
    ("tail", "from_its_end", "expected"),
    [
        (b'{"b": [1, 2', 0, "it ends in the middle"),
        (b'{"b": "cut', 4, "it ends in the middle"),
        (b'{"b": wrong}}', 7, "Expecting value"),
    ],
)
def test_a_fault_behind_other_members_is_told_with_its_own_place(tail: bytes, from_its_end: int, expected: str) -> None:
    text = b'{"schema": "wxtrace-timeline/1", "extra": ' + tail
    assert fault(text) == "run.json: %s, at character %d" % (expected, len(text) - from_its_end)


def test_an_endless_value_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def read(self, size: int = -1) -> bytes:
            first = not self.given
            self.given += size
            return b'{"a": "'.ljust(size, b"x") if first else b"x" * size

    endless: Any = Endless()
    with pytest.raises(RecordError, match="one value of more than"):
        Timeline(endless, "run.json")
    assert endless.given < 4 * jsonstream.MOST_VALUE


def test_a_head_that_would_fill_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wxtrace.record.importing.MOST_HEAD", 2000)
    timeline = saved()
    timeline["processes"] += [{**timeline["processes"][0], "proc": 10 + i} for i in range(5)]
    assert "processes, spaces and notes take more than" in fault(timeline)


# Either kind of record


def journal(*texts: bytes) -> bytes:
    """A journal of the run's beginning and of these entries, in one frame that is whole."""
    payload = b""
    for text in (*(json.dumps(fact_to_json(fact)).encode("ascii") for fact in RUN[:3]), *texts):
        payload += b"J" + struct.pack("<I", len(text)) + text
    return MAGIC + struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


@pytest.mark.parametrize(
    "text",
    [b'["Dropped",{"calls":' + b"9" * 200000 + b"}]", b'["Dropped",{"calls":NaN}]', b"[" * 100000, b'["Note",\xff]'],
)
def test_a_journal_may_be_as_foreign(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(journal(text))
    with open_record(str(path)) as record:
        (lost,) = [shown for shown in record.shown() if isinstance(shown, facts.Lost)]

    assert lost.why.startswith("the journal is damaged before byte")
    assert record.told.run is not None


def test_a_record_is_known_by_how_it_begins(tmp_path: Path) -> None:
    (tmp_path / "timeline").write_bytes(b"\n " + TEXT)
    (tmp_path / "journal").write_bytes(journal())
    for name, is_timeline in (("timeline", True), ("journal", False)):
        with open_record(str(tmp_path / name)) as record:
            list(record.shown())
            assert record.is_timeline == is_timeline
            assert record.told.run is not None and record.told.run.argv == ["./jit", "-x"]


def test_what_is_neither_is_told(tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff" * 100)
    with open_record(str(path)) as record, pytest.raises(RecordError, match="is neither a wxtrace journal nor a"):
        list(record.shown())
