"""A record with anything in it opens, or is refused with one sentence: nothing raises, wherever one looks."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest

from tui.records import ANON_AT, PAGE, RW, R, Recorded
from tui.screen_kit import NEW, settled, shown
from wxtrace.errors import RecordError
from wxtrace.model.facts import Call
from wxtrace.record.codec import fact_to_json
from wxtrace.record.journal import MAGIC
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.timeline import write_timeline
from wxtrace.tui.app import TraceApp
from wxtrace.tui.detail_panes import document_of, replay_at
from wxtrace.tui.event_list import row_line
from wxtrace.tui.filters import Filter, matcher, search_matcher
from wxtrace.tui.imported import ImportedIndex
from wxtrace.tui.index import Index
from wxtrace.tui.issue_text import issue_text
from wxtrace.tui.listing import Listing
from wxtrace.tui.processes import ProcessLines, State, advice, header_line
from wxtrace.tui.regions import HistoryLines, map_at
from wxtrace.tui.why import why_lines

SAMPLES = 400
NUMBERS = [0, -1, 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10**30]
VALUES = [*NUMBERS, 1.5, None, True, "", "x", "0x0", hex(1 << 64), hex((1 << 64) - 1), "\x1b[31m", [], {}, [[]], ["x"]]
Path_ = Tuple[Any, ...]


def told() -> Recorded:
    """A run with a fork, refusals, repetitions and a signal."""
    run = Recorded()
    run.map_anonymous(NEW, 2)
    for _ in range(3):
        run.call("mprotect", NEW, PAGE, R)
        run.call("mprotect", NEW, PAGE, RW)
    run.refuse()
    run.call("munmap", NEW, 2 * PAGE)
    run.start(200, space=2, how="fork", parent=100)
    run.call("mprotect", ANON_AT, PAGE, R, tid=200)
    run.exit(200, signal=11)
    run.end(1)
    return run


def look_everywhere(index: Index) -> None:
    """At all that any pane or key shows."""
    while index.advance(10):
        pass
    listing = Listing(index.columns)
    listing.extend()
    for width in (40, 160):
        header_line(index, State(), width)
        advice(index, State(), width)
        for row in range(len(listing)):
            row_line(index, listing[row], width, True)
    processes = ProcessLines(index)
    processes.work()
    list(processes)
    for matches in (search_matcher("7f20000000", index.columns), matcher(Filter(region=(1, 9)), index.columns)):
        assert matches is not None
        for n in range(1, len(index) + 1):
            matches(n)
    for n in range(1, len(index) + 1):
        index.prepare(n, 1)
        event = index.event(n)
        replay, space = replay_at(index, event)
        document = document_of(index, n)
        why_lines(document, 60)
        issue_text(document, "jit", "1")
        region_map = map_at(event, space, replay.origins.of)
        for i in range(len(region_map)):
            region_map[i].line(True)
        if len(region_map):
            history = HistoryLines(index, region_map[0], event.space, n)
            history.work()
            list(history)


def open_and_look(path: Path, kind: Callable[[JournalBytes], Index]) -> Optional[str]:
    """What it was refused with; None where it was not."""
    record = JournalBytes(str(path))
    try:
        look_everywhere(kind(record))
    except RecordError as error:
        assert len(str(error).splitlines()) == 1
        return str(error)
    finally:
        record.close()
    return None


def places(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Where each value stands in another."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def with_another(text: str, path: Path_, value: Any) -> Any:
    changed = json.loads(text)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@pytest.fixture(scope="module")
def timeline() -> str:
    out = io.StringIO()
    write_timeline(iter(told().facts), out)
    return out.getvalue()


def test_any_value_of_a_timeline_may_be_anything(timeline: str, tmp_path: Path) -> None:
    chosen = random.Random(1)
    changes = [(path, value) for path in places(json.loads(timeline)) for value in VALUES]
    opened = 0
    for path, value in chosen.sample(changes, SAMPLES):
        (tmp_path / "sent.json").write_text(json.dumps(with_another(timeline, path, value)))
        opened += open_and_look(tmp_path / "sent.json", ImportedIndex) is None
    assert opened


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("events",), []),
        (("spaces",), []),
        (("regions",), []),
        (("events", 13, "space"), 1 << 32),
        (("events", 3, "t_ns"), (1 << 63) - 1),
        (("events", 0, "args", "argv"), 7),
    ],
    ids=lambda value: str(value),
)
def test_a_timeline_is_shown_with(timeline: str, tmp_path: Path, path: Path_, value: Any) -> None:
    (tmp_path / "sent.json").write_text(json.dumps(with_another(timeline, path, value)))

    assert open_and_look(tmp_path / "sent.json", ImportedIndex) is None


Entry = Any


def entries() -> List[Entry]:
    """Each fact as its JSON, or the fields of a call."""
    found: List[Entry] = []
    for fact in told().facts:
        if isinstance(fact, Call):
            assert fact.result is not None
            result = fact.result - (1 << 64) if fact.result >= 1 << 63 else fact.result
            flags = fact.decided << 1
            found.append((fact.abi, flags, fact.number, fact.tid, fact.t_ns, result, *fact.args))
        else:
            found.append(fact_to_json(fact))
    return found


CALL = "<BBHiQq6Q"
RANGES = [(0, 1), (0, 31), (0, 65535), (-1, 2**31 - 1), (0, 2**64 - 1), (-(2**63), 2**63 - 1), *[(0, 2**64 - 1)] * 6]


def write_journal(path: Path, facts: List[Entry]) -> None:
    data = b""
    for fact in facts:
        if isinstance(fact, tuple):
            data += b"S" + struct.pack(CALL, *fact)
        else:
            text = json.dumps(fact).encode()
            data += b"J" + struct.pack("<I", len(text)) + text
    path.write_bytes(MAGIC + struct.pack("<II", len(data), zlib.crc32(data)) + data)


def changed_entries(chosen: random.Random, facts: List[Entry]) -> Iterator[Tuple[int, Entry]]:
    """One at a time."""
    while True:
        at = chosen.randrange(len(facts))
        fact = facts[at]
        if isinstance(fact, tuple):
            field = chosen.randrange(len(fact))
            value = chosen.choice([*RANGES[field], 0, 4096 if field > 1 else 9, 13 if field > 1 else 10])
            yield at, (*fact[:field], value, *fact[field + 1 :])
        else:
            path = chosen.choice(list(places(fact)))
            yield at, with_another(json.dumps(fact), path, chosen.choice(VALUES))


def test_any_value_of_a_journal_may_be_anything(tmp_path: Path) -> None:
    facts = entries()
    opened = 0
    changes = changed_entries(random.Random(2), facts)
    for _ in range(SAMPLES):
        at, entry = next(changes)
        write_journal(tmp_path / "j", [*facts[:at], entry, *facts[at + 1 :]])
        opened += open_and_look(tmp_path / "j", Index) is None
    assert opened


@pytest.mark.parametrize("gone", range(4))
def test_a_journal_without_one_of_its_first_facts(tmp_path: Path, gone: int) -> None:
    facts = entries()
    del facts[gone]
    write_journal(tmp_path / "j", facts)

    refused = open_and_look(tmp_path / "j", Index)
    assert refused is None or "holds no run" in refused


@pytest.mark.parametrize(
    "change", [{"events": []}, {"events": [], "processes": [], "spaces": [], "regions": []}], ids=["events", "all"]
)
def test_every_key_is_answered_over_a_timeline_without_events(
    timeline: str, tmp_path: Path, screen: Callable[..., None], change: Dict[str, Any]
) -> None:
    (tmp_path / "sent.json").write_text(json.dumps({**json.loads(timeline), **change}))

    async def act(app: TraceApp, pilot: Any) -> None:
        assert "Nothing was recorded." in shown(app)
        await pilot.press(*"nNxrmwuFt", "enter", "p", "enter", "escape", "y", "escape", "end", "home")
        await settled(app, pilot)

    screen(act, tmp_path / "sent.json")


@pytest.mark.parametrize("number", [0, 1 << 40])
def test_a_jump_to_an_event_that_is_not_there_stays_where_it_is(
    timeline: str, tmp_path: Path, screen: Callable[..., None], number: int
) -> None:
    sent = json.loads(timeline)
    alarm = next(event for event in sent["events"] if event["diagnosis"] is not None)
    alarm["diagnosis"]["related"] = [number]
    (tmp_path / "sent.json").write_text(json.dumps(sent))

    async def act(app: TraceApp, pilot: Any) -> None:
        app.show_details()
        app.why.focus()
        app.why.go_to(next(i for i, line in enumerate(app.why.lines) if line.jump == number))
        await pilot.press("enter")
        await settled(app, pilot)
        assert "Event %d is not in this record." % number in shown(app)
        assert app.events.selected == alarm["n"]

    screen(act, tmp_path / "sent.json")
