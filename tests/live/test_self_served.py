"""Programs whose files or memory other tracees serve: nothing waits for them, and their refused calls are told."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List

import pytest
from processes import WXTRACE, only_child, state, until

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
NOT_HERE = 77
MODES = ["accelerated", "full"]


def evidence_of(event: Dict[str, Any]) -> str:
    return "\n".join(entry["fact"] for entry in event["diagnosis"]["evidence"])


def traced(trace: Trace, program: Path, *arguments: str | Path, mode: str = "auto") -> Run:
    run = trace(program, *arguments, mode=mode)
    if run.status == NOT_HERE:
        pytest.skip("neither FUSE nor userfaultfd can be had here: " + run.stderr.partition("\n")[0])
    assert (run.status, run.mismatches) == (0, 0), run.stderr
    return run


@pytest.mark.parametrize("mode", MODES)
def test_a_program_on_a_file_system_that_its_own_tree_serves(
    trace: Trace, program: Program, tmp_path: Path, mode: str
) -> None:
    run = traced(trace, program("self_served"), "fuse", tmp_path, mode=mode)

    assert (run.stdout, run.causes()) == ("2 refused\n", ["mdwe", "fd.write-mode"])
    assert [event["diagnosis"]["confidence"] for event in run.refused()] == ["proved", run.sure_at_mmap]
    assert not any("not seen" in evidence_of(event) for event in run.refused())
    [image] = [i for p in run.timeline["processes"] for i in p["images"] if i["exe"].startswith(str(tmp_path))]
    assert (image["comm"], image["abi"]) == ("program", "x86_64")


def test_a_server_that_does_not_answer_costs_what_it_would_have_told(
    trace: Trace, program: Program, tmp_path: Path
) -> None:
    run = traced(trace, program("self_served"), "stopped", tmp_path)

    assert run.causes() == ["mdwe", "fd.write-mode"]
    by_file, by_descriptor = run.refused()
    assert "not seen, as no answer came in time: the headers of the mapped file" in evidence_of(by_file)
    assert "not seen, as no answer came in time: seals and attributes of the open file" in evidence_of(by_descriptor)
    assert [event["diagnosis"]["confidence"] for event in (by_file, by_descriptor)] == ["proved", "consistent"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ["fault", "nobody"])
def test_a_stack_in_memory_that_another_thread_serves(trace: Trace, program: Program, case: str, mode: str) -> None:
    run = traced(trace, program("self_served"), case, mode=mode)

    assert (run.stdout, run.causes()) == ("1 refused\n", ["mdwe"])
    assert run.refused()[0]["diagnosis"]["confidence"] == "proved"


def alive_in_group(group: int) -> List[str]:
    """The commands of a process group whose members still run."""
    done = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
    lines = [line.split(None, 2) for line in done.stdout.splitlines()]
    return [line[2] for line in lines if line[0] == str(group) and not line[1].startswith("Z")]


@pytest.mark.parametrize("case", ["fuse", "stopped"])
def test_nothing_is_stuck_when_the_front_was_killed(
    environment: Dict[str, str], program: Program, tmp_path: Path, case: str
) -> None:
    line: List[str | Path] = [WXTRACE, "--", program("self_served"), case, tmp_path]
    with subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL, start_new_session=True) as front:
        tracer = only_child(front.pid)
        only_child(tracer)
        front.send_signal(signal.SIGKILL)

    until(lambda: state(tracer) in ("", "Z"), "the tracer is still there")
    assert alive_in_group(front.pid) == []
