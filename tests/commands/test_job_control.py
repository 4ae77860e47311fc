"""The keys of a terminal and the jobs of a shell."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import struct
import termios
from pathlib import Path
from typing import Callable, Dict, Iterator

import pytest
from processes import Shell, children, state, until

pytestmark = [pytest.mark.trace, pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")]

Start = Callable[[str], int]


@pytest.fixture
def shell(environment: Dict[str, str]) -> Iterator[Shell]:
    with Shell(environment) as shell:
        yield shell


@pytest.fixture
def start(shell: Shell, program: Callable[..., Path]) -> Start:
    """Start one case of life_terminal under wxtrace in the foreground; the program's pid once it is up."""
    path = program("life_terminal")

    def begin(case: str) -> int:
        shell.type("wxtrace --log /dev/null -- %s %s\n" % (path, case))
        shell.read("up ")
        return int(shell.read("\n"))

    return begin


def test_ctrl_c_ends_the_program(shell: Shell, start: Start) -> None:
    start("wait-for-ever")
    shell.type("\x03")

    assert shell.status() == 128 + signal.SIGINT


def test_ctrl_backslash_ends_the_program(shell: Shell, start: Start) -> None:
    start("wait-for-ever")
    shell.type("\x1c")

    assert shell.status() == 128 + signal.SIGQUIT


def test_a_program_that_handles_ctrl_c_goes_on(shell: Shell, start: Start) -> None:
    start("handles-interrupt")
    shell.type("\x03")

    shell.read("got SIGINT\n")
    assert shell.status() == 0


def test_ctrl_z_stops_the_job_and_fg_goes_on(shell: Shell, start: Start) -> None:
    target = start("wait-for-input")
    shell.type("\x1a")
    shell.read("Stopped")
    front = children(shell.pid)[0]

    assert (state(front), state(target)) == ("T", "t")
    shell.type("fg\n")
    shell.read("wait-for-input\n")
    shell.type("hello\n")
    shell.read("got hello")
    assert shell.status() == 0


def test_a_job_in_the_background_that_reads_the_terminal_is_stopped(shell: Shell, start: Start) -> None:
    start("wait-for-input")
    shell.type("\x1a")
    shell.read("Stopped")
    shell.read(shell.PROMPT)
    shell.type("bg; wait\n")
    shell.read("Stopped")
    shell.read(shell.PROMPT)
    shell.type("fg\n")
    shell.read("wait-for-input\n")
    shell.type("late\n")

    shell.read("got late")
    assert shell.status() == 0


def test_a_program_stopped_and_continued_by_others_takes_the_job_along(shell: Shell, start: Start) -> None:
    target = start("handles-termination")
    front = children(shell.pid)[0]
    os.kill(target, signal.SIGSTOP)
    shell.read("Stopped")
    until(lambda: state(front) == "T")
    os.kill(target, signal.SIGCONT)
    until(lambda: state(front) == "S", "the front stayed stopped")
    os.kill(target, signal.SIGTERM)

    shell.read("got SIGTERM")


def test_the_front_wakes_when_the_stopped_program_is_killed(shell: Shell, start: Start) -> None:
    target = start("wait-for-ever")
    os.kill(target, signal.SIGSTOP)
    shell.read("Stopped")
    os.kill(target, signal.SIGKILL)

    until(lambda: not children(shell.pid) or state(children(shell.pid)[0]) == "Z", "the front stayed stopped")


def test_quick_stops_and_continues_never_leave_the_job_stopped(shell: Shell, start: Start) -> None:
    target = start("handles-termination")
    for _ in range(30):
        os.kill(target, signal.SIGSTOP)
        os.kill(target, signal.SIGCONT)
    os.kill(target, signal.SIGTERM)

    shell.read("got SIGTERM")
    until(lambda: not children(shell.pid), "the front stayed stopped")


def test_the_program_hears_of_a_new_window_size(shell: Shell, start: Start) -> None:
    start("handles-window-size")
    fcntl.ioctl(shell.terminal, termios.TIOCSWINSZ, struct.pack("4H", 33, 44, 0, 0))

    shell.read("44 columns\n")
    assert shell.status() == 0


def test_a_shell_as_the_program_controls_jobs_of_its_own(shell: Shell) -> None:
    shell.type("PS1='inner> ' wxtrace --log /dev/null -- bash --norc --noprofile -i\n")
    shell.read("inner> ")
    shell.type("sleep 1000\n")
    inner = until(
        lambda: [pid for front in children(shell.pid) for tracer in children(front) for pid in children(tracer)]
    )
    sleeper = until(lambda: [pid for pid in children(inner[0]) if state(pid) == "S"])[0]
    until(lambda: Path("/proc/%d/comm" % sleeper).read_text() == "sleep\n")
    shell.type("\x1a")
    shell.read("Stopped")
    shell.type("fg\n")
    until(lambda: state(sleeper) == "S")
    shell.type("\x03")
    until(lambda: not state(sleeper))
    shell.type("exit 5\n")

    assert shell.status() == 5
