"""What tests/compare_timelines.py says of a journal and a timeline that do not agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from compare_timelines import Difference, differences, main

from wxtrace.commands import export
from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import facts
from wxtrace.record.journal import JournalWriter

AT = 0x7F0000000000
HOST = facts.Host("6.18.4", "x86_64", 4096)
IMAGE = facts.Image("/srv/jit", ["./jit"], "jit", "x86_64")
LINES = [MapLine(AT, AT + 0x4000, "r--s", 0, "08:01", 42, "/srv/data")]
Timeline = Dict[str, Any]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with one journal, in which a call is refused at event 2, and its timeline."""
    folder = tmp_path / "old" / "inner"
    folder.mkdir(parents=True)
    with (folder / "run.journal").open("wb") as file:
        writer = JournalWriter(file.fileno())
        writer.fact(facts.RunStarted("0.1", HOST, ["./jit"], "/srv", "2024-05-01T12:00:00Z", "accelerated", False))
        writer.fact(facts.TaskStarted(100, 1, 100, 1, "launch"))
        writer.fact(facts.Seeded(100, 2, 100, 1, "exec", IMAGE, LINES, 0x555500000000, 0x7FFE00000000, 0))
        writer.fact(facts.Probe(100, "jit"))
        writer.call(facts.Call(100, 3, 0, 10, (AT, 4096, 3, 0, 0, 0), -13))
        writer.fact(facts.TaskExited(100, 4, code=3))
        writer.fact(facts.RunEnded(5))
        writer.flush()
    assert export.run(["-o", str(folder / "run.json"), str(folder / "run.journal")]) == 0
    return tmp_path / "old"


def timeline_of(old: Path) -> Timeline:
    value: Timeline = json.loads((old / "inner" / "run.json").read_text())
    return value


def refused(timeline: Timeline) -> Dict[str, Any]:
    [event] = [event for event in timeline["events"] if event["call"] == "mprotect"]
    found: Dict[str, Any] = event
    return found


def found_after(old: Path, change: Callable[[Timeline], Any]) -> List[Difference]:
    changed = timeline_of(old)
    change(changed)
    return list(differences("run", timeline_of(old), changed))


def test_the_version_that_wrote_a_timeline_differs_in_nothing(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(old)]) == 0
    assert capsys.readouterr().out == "1 run compared, all but tool.version: no difference\n"


def test_what_a_change_changed_is_told_with_its_place(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = timeline_of(old)
    refused(before)["outcome"] = "faked"
    (old / "inner" / "run.json").write_text(json.dumps(before))

    assert main([str(old)]) == 1
    told = capsys.readouterr().out
    assert "outcome: 1 in 1 run\n  1×, as in inner/run, event 2, mprotect\n      old  faked\n" in told
    assert told.endswith("1 difference in 1 run\n")


def test_a_journal_that_cannot_be_told_does_not_hide_the_others(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (old / "broken.journal").write_bytes(b"WXTRACE-JOURNAL/2\n")
    (old / "broken.json").write_text("{}")
    (old / "alone.json").write_text("{}")

    assert main([str(old)]) == 1
    told = capsys.readouterr().out
    assert "as in broken\n      old  a timeline\n      new  RecordError: the journal holds no run" in told
    assert "as in alone\n      old  alone.json\n      new  (nothing)\n" in told
    assert told.endswith("3 runs compared, all but tool.version: 2 differences in 2 runs\n")


def test_two_folders_of_timelines_need_no_journal(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new" / "inner"
    new.mkdir(parents=True)
    (new / "run.json").write_bytes((old / "inner" / "run.json").read_bytes())
    assert main([str(old), str(tmp_path / "new")]) == 0

    (new / "run.json").rename(new / "renamed.json")
    assert main([str(old), str(tmp_path / "new")]) == 1
    assert "runs: 2 in 2 runs\n" in capsys.readouterr().out


def test_nothing_to_compare_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "nothing to compare" in capsys.readouterr().err


@pytest.mark.parametrize(
    "kind, change",
    [
        ("cause", lambda timeline: refused(timeline)["diagnosis"].update(cause="mseal")),
        ("fixes", lambda timeline: refused(timeline)["diagnosis"].update(fixes=[])),
        ("diagnosis", lambda timeline: refused(timeline).update(diagnosis=None)),
        ("diagnosis.ladder", lambda timeline: refused(timeline)["diagnosis"].update(ladder=None)),
        ("touched", lambda timeline: refused(timeline)["touched"].clear()),
        ("events.errno", lambda timeline: refused(timeline).update(errno="EPERM")),
        ("events", lambda timeline: timeline["events"].pop()),
        ("regions", lambda timeline: timeline["regions"][0].update(provenance="anon")),
        ("processes", lambda timeline: timeline["processes"][0].update(parent=1)),
        ("events.order", lambda timeline: timeline["events"].reverse()),
        ("summary.by_cause", lambda timeline: timeline["summary"].update(by_cause={"mseal": 1})),
        ("incomplete", lambda timeline: timeline.update(incomplete="cut")),
        ("host", lambda timeline: timeline.pop("host")),
    ],
)
def test_every_part_of_a_timeline_is_compared(old: Path, kind: str, change: Callable[[Timeline], Any]) -> None:
    assert [difference.kind for difference in found_after(old, change)] == [kind]


def test_only_the_version_of_the_tool_is_left_out(old: Path) -> None:
    assert found_after(old, lambda timeline: timeline["tool"].update(version="9")) == []
    assert found_after(old, lambda timeline: timeline["tool"].update(name="other")) != []


def test_values_that_python_takes_for_equal_are_told_apart(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = old / "inner" / "run.json"
    path.write_text(path.read_text().replace('"inferred":false', '"inferred":0'))

    assert main([str(old)]) == 1
    assert capsys.readouterr().out.startswith("form: 1 in 1 run\n")


def test_an_event_more_does_not_set_all_that_follow_against_others(old: Path) -> None:
    def one_more(timeline: Timeline) -> None:
        for event in timeline["events"][1:]:
            event["n"] += 1
        timeline["events"].insert(1, {**timeline["events"][0], "n": 2, "call": "dlopen"})

    found = found_after(old, one_more)
    assert [(difference.kind, difference.where) for difference in found] == [
        ("events.n", "event 2, mprotect"),
        ("events.n", "event 3, exit"),
        ("events", "event 2, dlopen"),
    ]


def test_of_long_texts_the_place_is_shown_where_they_part() -> None:
    old, new = ({"incomplete": "x" * 2000 + " cut at " + word} for word in ("once", "last"))

    [difference] = differences("run", old, new)
    assert difference.old.startswith("…xx") and difference.old.endswith(" cut at once")
    assert difference.new.endswith(" cut at last")


def test_of_a_list_only_what_differs_is_shown(old: Path) -> None:
    [difference] = found_after(old, lambda timeline: refused(timeline)["diagnosis"]["evidence"].append("new"))
    assert (difference.kind, difference.old, difference.new) == ("evidence", "[]", '["new"]')


def test_differences_that_are_alike_but_for_their_numbers_are_counted_together(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = timeline_of(old)
    for at, event in enumerate(before["events"]):
        event["args"] = {"addr": hex(at)}
    (old / "inner" / "run.json").write_text(json.dumps(before))
    main([str(old)])

    told = capsys.readouterr().out
    assert "events.args: 3 in 1 run\n" in told
