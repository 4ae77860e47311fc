"""The end of threads and processes: as it is without a tracer for whoever waits for it, and told as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List

import pytest

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
MODES = ["accelerated", "full"]
# The way to end, how many children, what is recorded of each, and of how many threads.
ENDS = [
    ("plain", 100, {"code": 7}, 1),
    ("by-a-signal", 20, {"signal": "SIGTERM"}, 1),
    ("leader-first", 20, {"code": 4}, 2),
    ("amid-calls", 5, {"code": 5}, 7),
    ("killed-amid-calls", 5, {"signal": "SIGKILL"}, 7),
    ("looked-at-first", 5, {"code": 6}, 1),
]


def children_of(run: Run) -> List[Dict[str, Any]]:
    """Every process but the first."""
    return run.timeline["processes"][1:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("way", "count", "exit", "threads"), ENDS, ids=[end[0] for end in ENDS])
def test_whoever_looks_at_once_gets_the_status(
    trace: Trace, program: Program, way: str, count: int, exit: Dict[str, Any], threads: int, mode: str
) -> None:
    line = [program("life_exits"), way, str(count)]
    untraced = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    run = trace(*line, mode=mode)

    assert (run.status, run.stdout, run.mismatches) == (0, untraced, 0), run.stderr
    assert [(child["exit"], len(child["threads"])) for child in children_of(run)] == [(exit, threads)] * count
    ends = [event for event in run.events("exit") if event["pid"] != run.timeline["processes"][0]["pid"]]
    assert [event["tid"] for event in ends] == [child["pid"] for child in children_of(run)]


@pytest.mark.parametrize("mode", MODES)
def test_a_child_of_its_parent_does_not_keep_us(trace: Trace, program: Program, mode: str) -> None:
    """With CLONE_PARENT the program's sibling is a child of the tracer, which nobody else can reap."""
    run = trace(program("life_exits"), "of-our-parent", mode=mode)

    assert run.status == 0, run.stderr
    assert [child["exit"] for child in children_of(run)] == [{"code": 9}]


@pytest.mark.parametrize("mode", MODES)
def test_a_number_may_be_used_again_at_once(trace: Trace, program: Program, mode: str) -> None:
    run = trace(program("life_exits"), "number-used-again", "20", mode=mode)
    if run.status == 77:
        pytest.skip("choosing a pid needs CAP_CHECKPOINT_RESTORE, and Linux 5.5")
    first, *others = children_of(run)

    assert run.status == 0, run.stderr
    assert [child["exit"] for child in others] == [{"code": number} for number in range(1, 21)]
    assert {child["pid"] for child in others} == {first["pid"]}
    assert "nothing to wait for" not in run.stdout
