"""Processes, threads, signals and filters that behave unusually: unchanged in what they do, exact in what is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Dict, List

import pytest
from processes import WXTRACE, children, only_child, run_wxtrace, state, status_field, until

if TYPE_CHECKING:
    from conftest import Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
MODES = ["accelerated", "full"]
MAPS = [
    "read-implies-exec",
    "stack-growth",
    "stack-split",
    "grows-down",
    "shared-segment",
    "aio-ring",
    "memory-file",
    "huge-pages-missing",
    "remap",
    "not-inherited",
    "not-inherited-by-process-madvise",
    "wiped-on-fork",
    "protection-keys",
    "fixed-over-everything",
    "break-up-and-down",
]
TASKS = [
    ["vfork-and-exec"],
    ["one-space-two-processes"],
    ["thread-executes"],
    ["leader-ends-first"],
    ["leader-ends-and-a-thread-executes"],
    ["threads-flip-at-once", "16"],
    ["short-processes", "30"],
    ["many-at-once", "5"],
    ["killed-amid-calls", "40"],
    ["killed-while-forking", "20"],
    ["untraced-by-clone"],
    ["untraced-by-clone3"],
    ["closes-everything"],
]
CROWDS = [
    ["threads-flip-at-once", "300"],
    ["threads-map-at-once", "3"],
    ["short-processes", "1000"],
    ["many-at-once", "50"],
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", MAPS)
def test_the_map_stays_exact(trace: Trace, program: Program, case: str, mode: str) -> None:
    run = trace(program("life_maps"), case, mode=mode)

    assert run.status in (0, 77), run.stderr
    assert (run.mismatches, run.refused()) == (0, [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", TASKS, ids=lambda case: str(case[0]))
def test_tasks_come_and_go(trace: Trace, program: Program, case: List[str], mode: str) -> None:
    run = trace(program("life_tasks"), *case, mode=mode)

    assert run.status == 0, run.stderr
    assert (run.mismatches, run.refused()) == (0, [])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CROWDS, ids=lambda case: str(case[0]))
def test_crowds_come_and_go(environment: Dict[str, str], program: Program, case: List[str], mode: str) -> None:
    done = run_wxtrace(environment, "--verify", "--mode", mode, "--", program("life_tasks"), *case)
    compared = re.search(r"compared with /proc/PID/maps (\d+) times: (\d+) mismatches", done.stderr)

    assert done.returncode == 0, done.stderr
    assert compared is not None and int(compared[1]) > 100 and int(compared[2]) == 0
    assert "nothing was refused" in done.stderr


def test_every_short_process_is_told(trace: Trace, program: Program) -> None:
    run = trace(program("life_tasks"), "short-processes", "30")

    assert len(run.timeline["processes"]) == 31
    assert all(process["exit"] == {"code": 0} for process in run.timeline["processes"])


def test_an_exec_from_a_thread_goes_on_under_the_leaders_number(trace: Trace, program: Program) -> None:
    run = trace(program("life_tasks"), "thread-executes")

    (process,) = run.timeline["processes"]
    assert [image["argv"][1] for image in process["images"]] == ["thread-executes", "nothing"]
    assert run.events("exec")[-1]["tid"] == process["pid"]


def test_children_of_killed_parents_are_never_left_standing(environment: Dict[str, str], program: Program) -> None:
    """A parent killed before it could announce its child: that child goes on all the same."""
    line = '"$0" killed-while-forking 300; echo over; read x'
    with subprocess.Popen(
        [WXTRACE, "--log", "/dev/null", "--", "sh", "-c", line, program("life_tasks")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as job:
        assert job.stdin and job.stdout
        while job.stdout.readline() != "over\n":
            pass
        tracer = only_child(job.pid)
        (shell,) = children(tracer)
        until(lambda: tracees(tracer) == {shell}, "somebody stands still under the tracer")
        job.stdin.close()

    assert job.returncode == 1


def tracees(tracer: int) -> set[int]:
    """Whom this process traces."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {pid for pid in pids if status_field(pid, "TracerPid") == str(tracer) and state(pid) not in ("Z", "X", "")}


def test_a_daemon_goes_on_undisturbed(environment: Dict[str, str], program: Program, tmp_path: Path) -> None:
    marker = tmp_path / "go on"
    marker.touch()
    with subprocess.Popen(
        [WXTRACE, "--", program("life_tasks"), "becomes-a-daemon", "1", marker],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as job:
        tracer = only_child(job.pid)
        assert job.stderr
        words = job.stderr.read()
    (daemon,) = tracees(tracer)

    assert job.returncode == 0
    assert "1 process goes on, traced quietly until it ends: " in words and "[%d]" % daemon in words
    marker.unlink()
    until(lambda: state(tracer) in ("", "Z"), "the tracer stayed behind")
    exported = run_wxtrace(environment, "export").stdout
    assert '"pid":%d' % daemon in exported.replace(" ", "")
    assert '"code":0' in exported.replace(" ", "").split('"pid":%d' % daemon)[1]


@pytest.mark.parametrize("mode", MODES)
def test_a_program_that_lives_on_its_signals_is_told_the_same(trace: Trace, program: Program, mode: str) -> None:
    path = program("life_signals")
    untraced = subprocess.run([path], capture_output=True, text=True, check=True).stdout
    run = trace(path, mode=mode)

    assert (run.status, run.stdout, run.mismatches) == (0, untraced, 0)


@pytest.mark.parametrize("mode", MODES)
def test_i386_calls_of_a_64_bit_program_are_understood(trace: Trace, program: Program, mode: str) -> None:
    run = trace(program("life_int80"), mode=mode)
    foreign = [event for event in run.timeline["events"] if event["abi"] == "i386"]

    assert (run.status, run.mismatches) == (0, 0), run.stderr
    assert [event["call"] for event in foreign] == [
        "mmap2",
        "mmap2",
        "mmap",
        "mprotect",
        "munmap",
        "shmat",
        "shmdt",
        "mprotect",
    ]
    plain, of_file, old, _, _, attached, let_go, refused = foreign
    assert plain["args"]["length"] == 4 * 4096
    assert of_file["touched"][0]["provenance"] == "file"
    assert (old["args"]["length"], old["args"]["prot"]) == (2 * 4096, "PROT_READ|PROT_WRITE")
    assert attached["result"] == let_go["args"]["shmaddr"] == plain["result"]
    assert (refused["outcome"], refused["errno"]) == ("refused", "EACCES")
    assert refused["diagnosis"]["cause"] == "mdwe"


@pytest.mark.parametrize("mode", MODES)
def test_a_call_for_another_tracer_stays_refused(trace: Trace, program: Program, mode: str) -> None:
    """RET_TRACE of a foreign filter means ENOSYS where that filter's tracer is not there."""
    run = trace(program("life_filters"), "somebody-elses-trace", mode=mode)

    assert (run.status, run.mismatches) == (0, 0), run.stderr
    assert [event["errno"] for event in run.events("mprotect") if event["errno"]] == ["ENOSYS"]


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_with_our_data_is_another_tracers_where_our_filter_is_silent(
    environment: Dict[str, str], program: Program, mode: str
) -> None:
    code = "import wxtrace.live.seccomp as ours; ours.COOKIE = 7; import wxtrace.__main__ as main; main.command()"
    line = [sys.executable, "-c", code, "--mode", mode, "--", program("life_filters")]
    done = subprocess.run([*line, "somebody-elses-trace-of-another-call"], env=environment, capture_output=True)

    assert done.returncode == 0, done.stderr


def test_the_data_of_our_stops_is_another_in_each_run() -> None:
    code = "import wxtrace.live.seccomp as ours; print(ours.COOKIE)"
    said = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(4)}

    assert len(said) > 1


@pytest.mark.parametrize("mode", MODES)
def test_no_refusal_is_lost_when_a_filter_binds_busy_threads(trace: Trace, program: Program, mode: str) -> None:
    run = trace(program("life_filters"), "for-all-threads", mode=mode)
    counted = next(line for line in run.stderr.splitlines() if line.endswith(" refused"))

    assert (run.status, run.mismatches) == (0, 0)
    assert len(run.refused("mprotect")) == int(counted.split()[0])


@pytest.mark.parametrize("case", ["in-a-child-only", "inherited-by-exec"])
def test_a_filter_of_the_program_is_proved_to_have_answered(trace: Trace, program: Program, case: str) -> None:
    run = trace(program("life_filters"), case)
    (refused,) = run.refused()

    assert (run.status, run.mismatches) == (0, 0)
    assert (refused["diagnosis"]["cause"], refused["diagnosis"]["confidence"]) == ("seccomp.errno", "proved")


def test_a_program_that_is_refused_thousands_of_times_is_told_to_its_end(
    environment: Dict[str, str], program: Program
) -> None:
    """A front that reads more slowly than the tracer speaks misses nothing that matters."""
    done = run_wxtrace(environment, "--", program("life_refused"), "1500")

    assert done.returncode == 3
    assert "mprotect 1500× EACCES" in done.stderr
