"""Attaching to a running program, and leaving it as it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
from conftest import assert_valid
from processes import DEADLINE, WXTRACE, only_child, state, status_field, until

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
Environment = Dict[str, str]


@contextmanager
def running(program: Program, threads: int, kind: str = "") -> Iterator[subprocess.Popen[str]]:
    """life_attached, up and busy; at the end every thread must have got what it expected."""
    line = [str(program("life_attached")), str(threads), kind]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
    assert process.returncode == 0


def traced(pid: int) -> bool:
    """Whether every living thread of the process is traced."""
    tids = [int(name) for name in os.listdir("/proc/%d/task" % pid)]
    return all(status_field(tid, "TracerPid") != "0" for tid in tids if state(tid) not in ("Z", ""))


@contextmanager
def attached(environment: Environment, pid: int, *options: str | Path) -> Iterator[subprocess.Popen[str]]:
    """`wxtrace -p`, once something was recorded; detached with Ctrl-C at the end."""
    line = [str(WXTRACE), *map(str, options), "--all", "-p", str(pid)]
    with subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True) as front:
        assert front.stderr
        until(lambda: traced(pid))
        assert front.stderr.readline()
        yield front
        front.send_signal(signal.SIGINT)
        front.communicate(timeout=DEADLINE)
    assert not traced(pid)


def test_a_hundred_threads_are_attached_to_and_left_twenty_times(environment: Environment, program: Program) -> None:
    with running(program, 100) as process:
        for _ in range(20):
            with attached(environment, process.pid) as front:
                pass
            assert front.returncode == 0


def test_the_map_found_is_exact_and_said_to_be_inferred(
    environment: Environment, program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "timeline.json"
    with running(program, 30) as process, attached(environment, process.pid, "--verify", "-o", out) as front:
        assert front.stderr
        for _ in range(300):
            front.stderr.readline()
    timeline = json.loads(out.read_text())

    assert front.returncode == 0
    assert_valid(timeline)
    assert timeline["summary"]["verify"]["mismatches"] == 0
    assert timeline["summary"]["verify"]["checked"] > 100
    assert all(region["inferred"] for region in timeline["regions"])
    assert timeline["command"]["exit"] is None


def test_a_restriction_that_was_set_before_is_proved(
    environment: Environment, program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "timeline.json"
    with running(program, 4, "mdwe") as process, attached(environment, process.pid, "-o", out) as front:
        assert front.stderr
        for line in front.stderr:
            if "<refused>" in line:
                break
    refused = [event for event in json.loads(out.read_text())["events"] if event["outcome"] == "refused"]

    assert refused
    assert {event["diagnosis"]["cause"] for event in refused} == {"mdwe"}
    assert {event["diagnosis"]["confidence"] for event in refused} == {"proved"}


def test_a_process_whose_leader_has_ended_can_be_attached_to(environment: Environment, program: Program) -> None:
    with running(program, 3, "leaderless") as process:
        until(lambda: state(process.pid) == "Z")
        with attached(environment, process.pid) as front:
            pass

    assert front.returncode == 0


@pytest.mark.parametrize("kind", ["leaderless", "leaderless-executes"])
def test_the_end_of_a_process_whose_leader_had_ended_is_told(
    environment: Environment, program: Program, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "timeline.json"
    with running(program, 3, kind) as process:
        until(lambda: state(process.pid) == "Z")
        line = [str(WXTRACE), "-o", str(out), "-p", str(process.pid)]
        front = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
        until(lambda: traced(process.pid))
    status = front.wait(DEADLINE)
    (told,) = json.loads(out.read_text())["processes"]

    assert (status, told["exit"]) == (0, {"code": 0})
    assert len(told["images"]) == (2 if kind == "leaderless-executes" else 1)


def test_a_leader_that_ends_meanwhile_does_not_keep_us(environment: Environment, program: Program) -> None:
    line = [str(program("life_attached")), "3", "leader-ends-later"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        with attached(environment, process.pid) as front:
            process.send_signal(signal.SIGUSR1)
            until(lambda: state(process.pid) == "Z")
        process.stdin.close()

    assert (front.returncode, process.returncode) == (0, 0)


def test_a_stopped_process_is_left_stopped(environment: Environment, program: Program) -> None:
    with running(program, 3) as process:
        process.send_signal(signal.SIGSTOP)
        until(lambda: state(process.pid) == "T")
        with attached(environment, process.pid) as front:
            assert state(front.pid) != "T"
        until(lambda: state(process.pid) == "T")
        process.send_signal(signal.SIGCONT)

    assert front.returncode == 0


def test_the_number_of_a_thread_means_its_process(environment: Environment, program: Program) -> None:
    with running(program, 3) as process:
        thread = max(int(name) for name in os.listdir("/proc/%d/task" % process.pid))
        with attached(environment, thread) as front:
            pass

    assert front.returncode == 0


def test_we_end_with_a_process_that_ends(environment: Environment, program: Program, tmp_path: Path) -> None:
    out = tmp_path / "timeline.json"
    with running(program, 3) as process:
        line = [str(WXTRACE), "-o", str(out), "-p", str(process.pid)]
        front = subprocess.Popen(line, env=environment, stderr=subprocess.DEVNULL)
        until(lambda: traced(process.pid))
    timeline: Dict[str, Any] = {}
    status = front.wait(10)
    timeline = json.loads(out.read_text())

    assert (status, timeline["command"]["exit"]) == (0, {"code": 0})


def test_the_program_is_let_go_when_the_front_is_killed(environment: Environment, program: Program) -> None:
    with running(program, 20) as process:
        with subprocess.Popen([WXTRACE, "-p", str(process.pid)], env=environment, stderr=subprocess.DEVNULL) as front:
            until(lambda: traced(process.pid))
            front.kill()
        until(lambda: status_field(process.pid, "TracerPid") == "0", "it stayed traced")


def test_the_program_goes_on_when_the_tracer_is_killed(environment: Environment, program: Program) -> None:
    with (
        running(program, 20) as process,
        subprocess.Popen(
            [WXTRACE, "-p", str(process.pid)], env=environment, stderr=subprocess.PIPE, text=True
        ) as front,
    ):
        until(lambda: traced(process.pid))
        os.kill(only_child(front.pid), signal.SIGKILL)
        words = front.communicate()[1]

    assert front.returncode == 125
    assert "the tracer died, while the program goes on" in words.splitlines()[-1]


ATTACHES = 3
FOR_EVER = ["epoll_wait", "semop", "rt_sigtimedwait", "io_getevents", "read"]
TIMED = ["epoll_wait", "semtimedop", "rt_sigtimedwait", "read", "recvfrom", "recvmmsg", "accept"]


def test_only_waits_with_a_timeout_are_interrupted_once_and_named(
    environment: Environment, program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "timeline.json"
    named: List[str] = []
    with subprocess.Popen(
        [str(program("life_waiting"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "waiting\n"
        waiting = [int(tid) for tid in os.listdir("/proc/%d/task" % process.pid)]
        until(lambda: all(state(tid) == "S" for tid in waiting))
        for _ in range(ATTACHES):
            with attached(environment, process.pid, "-o", out):
                pass
            for note in json.loads(out.read_text())["notes"]:
                named += re.findall(r"(\w+) in thread \d+", note["text"])
        process.stdin.close()
        counted = dict(line.rsplit(": ", 1) for line in process.stdout.read().splitlines())

    assert counted == {**{name + " for ever": "0" for name in FOR_EVER}, **{name: str(ATTACHES) for name in TIMED}}
    assert sorted(named) == sorted(TIMED * ATTACHES)


def test_a_wait_that_cannot_be_run_again_does_not_notice_that_it_is_let_go(
    environment: Environment, program: Program
) -> None:
    """Everybody is let go by the tracer's end, which wakes nobody."""
    with subprocess.Popen(
        [str(program("life_waiting"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "waiting\n"
        tids = [int(tid) for tid in os.listdir("/proc/%d/task" % process.pid)]
        until(lambda: all(state(tid) == "S" for tid in tids))
        with attached(environment, process.pid):
            until(lambda: all(state(tid) == "S" for tid in tids))
            woken = [switches(tid) for tid in tids]
        assert [switches(tid) for tid in tids] == woken
        process.stdin.close()


def switches(tid: int) -> str:
    """How often a thread went to sleep by itself."""
    return status_field(tid, "voluntary_ctxt_switches")
