"""A timeline on the screen: the same events as its journal's, and maps as far as a timeline tells them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Callable

import pytest

from tui.records import ANON_AT, FILE_AT, MAPS, PAGE, RW, R, Recorded, file_line, index_of
from tui.screen_kit import NEW, shown
from wxtrace.errors import RecordError
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.timeline import write_timeline
from wxtrace.tui.app import TraceApp
from wxtrace.tui.detail_panes import replay_at
from wxtrace.tui.imported import ImportedIndex
from wxtrace.tui.regions import map_at


def timeline(told: Recorded) -> str:
    out = io.StringIO()
    write_timeline(iter(told.facts), out)
    return out.getvalue()


@pytest.fixture
def sent(refused: Recorded, tmp_path: Path) -> Path:
    """The timeline of the refused run."""
    path = tmp_path / "sent.json"
    path.write_text(timeline(refused))
    return path


def imported(path: Path) -> ImportedIndex:
    index = ImportedIndex(JournalBytes(str(path)))
    while index.advance(0):
        pass
    return index


def perms(index: Any, n: int, address: int) -> str:
    event = index.event(n)
    replay, space = replay_at(index, event)
    shown = map_at(event, space, replay.origins.of)
    return next((row.perms for row in (shown[i] for i in range(len(shown))) if row.start <= address < row.end), "")


def test_it_has_the_journals_events(sent: Path, journal: Path) -> None:
    here, there = imported(sent), index_of(journal)

    assert [here.columns.kind_of(n) for n in range(1, len(here) + 1)] == [
        there.columns.kind_of(n) for n in range(1, len(there) + 1)
    ]
    alarm = here.columns.alarms[0]
    assert here.event(alarm).diagnosis == there.event(alarm).diagnosis
    assert here.amendments[alarm].aftermath == there.amendments[alarm].aftermath


def test_its_map_is_drawn_from_what_was_touched(sent: Path, refused: Recorded) -> None:
    index = imported(sent)
    mapped = refused.named("mmap")[0].n

    assert [perms(index, n, NEW) for n in (mapped + 2, mapped, mapped + 1, len(index))] == ["rw-p", "rw-p", "r--p", ""]
    assert perms(index, mapped - 1, NEW) == ""


def test_what_was_found_has_its_protection_though_nothing_touched_it(sent: Path) -> None:
    assert perms(imported(sent), 2, FILE_AT) == "r--p"


def test_an_older_timeline_tells_no_protection_before_the_first_touch(sent: Path, refused: Recorded) -> None:
    content = json.loads(sent.read_text())
    for region in content["regions"]:
        del region["found_prot"], region["shared"]
    sent.write_text(json.dumps(content))
    index = imported(sent)
    mapped = refused.named("mmap")[0].n

    # Refused there later, so what it was is known; the file was never touched.
    assert perms(index, mapped, ANON_AT) == "rw-p"
    assert perms(index, mapped, FILE_AT) == "????"


@pytest.mark.parametrize("path", ["/[aio]", "/secretmem", "/anon_hugepage", "/dev/fuse"])
def test_shared_memory_of_any_kind_is_shown_as_such(tmp_path: Path, path: str) -> None:
    told = Recorded(maps=[*MAPS, file_line(NEW, 1, "rw-s", path)])
    told.call("mprotect", NEW, PAGE, R)
    sent = tmp_path / "shared.json"
    sent.write_text(timeline(told))
    index = imported(sent)

    assert [perms(index, n, NEW) for n in (1, len(index))] == ["rw-s", "r--s"]


def test_a_forks_map_has_what_its_parent_had(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW)
    told.start(200, space=2, how="fork", parent=100)
    told.call("mprotect", NEW, PAGE, R, tid=200)
    told.call("munmap", ANON_AT, PAGE, tid=200)
    path = tmp_path / "fork.json"
    path.write_text(timeline(told))
    index = imported(path)

    assert perms(index, len(index), NEW) == "r--p"


def test_a_fork_copies_what_is_mapped_of_a_region_and_as_it_is_protected_then(tmp_path: Path) -> None:
    told = Recorded()
    told.call("munmap", ANON_AT, PAGE)
    told.call("mprotect", ANON_AT + PAGE, PAGE, R)
    told.start(200, space=2, how="fork", parent=100)
    told.call("mprotect", ANON_AT + PAGE, PAGE, RW)
    told.call("munmap", FILE_AT, PAGE, tid=200)
    path = tmp_path / "fork.json"
    path.write_text(timeline(told))
    index = imported(path)

    here = [perms(index, len(index), at) for at in (ANON_AT, ANON_AT + PAGE, ANON_AT + 2 * PAGE, FILE_AT + PAGE)]
    assert here == ["", "r--p", "rw-p", "r--p"]


def test_it_opens_on_the_screen(sent: Path, screen: Callable[..., None]) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        assert "✗ 2 refused" in shown(app)
        assert "REFUSED  mprotect(0x7f0000000000" in shown(app)

    screen(act, sent)


def test_a_byte_order_mark_hides_no_timeline(sent: Path, screen: Callable[..., None]) -> None:
    sent.write_bytes(b"\xef\xbb\xbf" + sent.read_bytes())

    async def act(app: TraceApp, pilot: Any) -> None:
        assert "✗ 2 refused" in shown(app)

    screen(act, sent)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "wxtrace-timeline/2"}, "of another version"),
        ({"events": [{"n": "x"}]}, r"events\[0\]"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_the_place(sent: Path, change: Any, words: str) -> None:
    sent.write_text(json.dumps({**json.loads(sent.read_text()), **change}))

    with pytest.raises(RecordError, match=words):
        imported(sent)


def test_events_that_are_missing_are_said(sent: Path) -> None:
    content = json.loads(sent.read_text())
    del content["events"][3]
    sent.write_text(json.dumps(content))

    with pytest.raises(RecordError, match="4 is missing"):
        imported(sent)
