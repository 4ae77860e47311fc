"""The program finds the world as it would without us."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List

import pytest
from processes import WXTRACE, only_child, run_wxtrace, status_field, until

pytestmark = pytest.mark.trace

Environment = Dict[str, str]
Program = Callable[..., Path]
TRACED = [str(WXTRACE), "--log", "/dev/null", "--"]
FIELDS = "grep -E '^(Sig(Blk|Ign|Cgt)|Shd|Uid|Gid|Groups|Umask|Cap)' /proc/self/status"
DESCRIPTORS = """
import os
for fd in range(300):
    try:
        print(fd, os.readlink("/proc/self/fd/%d" % fd).split(":")[0])
    except OSError:
        pass
"""


def both(line: List[str], environment: Environment, before: str = "") -> tuple[str, str]:
    """What a command prints without us and with us; `before` is done by the shell that starts it."""
    outputs = []
    for prefix in ([], TRACED):
        done = subprocess.run(
            ["bash", "-c", '%s\n"$@"' % before, "bash", *prefix, *line],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            errors="surrogateescape",
            check=True,
        )
        outputs.append(done.stdout)
    assert outputs[0]
    return outputs[0], outputs[1]


def test_standard_input_and_output_are_the_programs(environment: Environment) -> None:
    done = run_wxtrace(environment, "--log", "/dev/null", "--", "sh", "-c", "cat; echo oops >&2", input="a\0b\n")

    assert (done.stdout, done.stderr) == ("a\0b\n", "oops\n")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", None])
def test_the_environment_is_the_same_to_the_byte(
    environment: Environment, program: Program, locale: str | None
) -> None:
    tell = str(program("life_environment"))
    outputs = [
        subprocess.run([tell, "odd", locale or "-", environment["XDG_STATE_HOME"], *prefix, tell], capture_output=True)
        for prefix in ([], TRACED)
    ]

    assert b"TWICE=1\0TWICE=2\0NOT-UTF-8=\xff\xfe\0without-equals\0=nameless\0" in outputs[0].stdout
    assert outputs[0].stdout == outputs[1].stdout


def test_an_empty_environment_stays_empty(program: Program) -> None:
    tell = str(program("life_environment"))
    done = subprocess.run([*TRACED, tell], env={}, capture_output=True)

    assert done.stdout == (tell + "\0").encode()


def test_arguments_are_the_same_to_the_byte(program: Program, environment: Environment) -> None:
    words = [os.fsencode(program("life_environment")), b"", b"\xff\n", b"--", "-p é".encode()]

    done = subprocess.run([*map(os.fsencode, TRACED), *words], env=environment, capture_output=True)

    assert done.stdout.startswith(b"\0".join(words) + b"\0")


def test_the_working_folder_is_the_same(environment: Environment, tmp_path: Path) -> None:
    folder = tmp_path / "wörk \n folder"
    folder.mkdir()

    assert run_wxtrace(environment, "--", "pwd", cwd=folder).stdout == "%s\n" % folder


@pytest.mark.parametrize("before", ["", "trap '' USR1 ALRM INT HUP QUIT TERM CHLD USR2", "umask 0137"])
def test_signals_and_identity_are_the_same(environment: Environment, before: str) -> None:
    untraced, traced = both(["sh", "-c", FIELDS], environment, before)

    assert traced == untraced


def test_signals_are_the_same_under_nohup(environment: Environment) -> None:
    outputs = [
        subprocess.run(["nohup", *prefix, "sh", "-c", FIELDS], env=environment, capture_output=True, text=True).stdout
        for prefix in ([], TRACED)
    ]

    ignored = re.search(r"SigIgn:\t(\w+)", outputs[0])
    assert ignored is not None and int(ignored[1], 16) & 1
    assert outputs[1] == outputs[0]


def test_a_blocked_signal_stays_blocked(environment: Environment) -> None:
    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGRTMIN})

    done = run_wxtrace(environment, "--", "grep", "SigBlk", "/proc/self/status", preexec_fn=block)

    assert int(done.stdout.split()[1], 16) == 1 << signal.SIGUSR2 - 1 | 1 << signal.SIGRTMIN - 1


@pytest.mark.parametrize("before", ["exec 5</etc/passwd 9>/dev/null 200<&5", "exec <&-", "exec 2>&-", "exec <&- 2>&-"])
def test_open_descriptors_are_the_same(environment: Environment, before: str) -> None:
    untraced, traced = both([sys.executable, "-c", DESCRIPTORS], environment, before)

    assert traced == untraced


def test_closed_standard_streams_stay_closed(environment: Environment, tmp_path: Path) -> None:
    line = 'exec <&- >&- 2>&-; "$@"'
    look = "ls /proc/self/fd > '%s'" % (tmp_path / "seen")
    for prefix in ([], [str(WXTRACE), "-o", str(tmp_path / "timeline.json"), "--"]):
        subprocess.run(["bash", "-c", line, "bash", *prefix, "sh", "-c", look], env=environment, check=True)
        seen = (tmp_path / "seen").read_text().split()
        assert "2" not in seen and len(seen) == 2

    assert (tmp_path / "timeline.json").read_text().startswith("{")


def test_limits_are_the_same(environment: Environment) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (123, 456))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))

    outputs = [
        subprocess.run(
            [*prefix, "cat", "/proc/self/limits"], env=environment, preexec_fn=limit, capture_output=True, text=True
        ).stdout
        for prefix in ([], TRACED)
    ]

    assert "123" in outputs[0]
    assert outputs[1] == outputs[0]


def test_it_runs_in_the_process_group_and_session_that_were_ours(environment: Environment) -> None:
    line = [*TRACED, sys.executable, "-c", "import os; print(os.getpgrp(), os.getsid(0))"]
    job = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)

    assert job.communicate()[0] == "%d %d\n" % (job.pid, job.pid)


def test_a_daemon_does_not_keep_our_reader_waiting(environment: Environment) -> None:
    with subprocess.Popen(
        [WXTRACE, "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as job:
        output = job.communicate()[0]
    daemon = int(output.split()[0])

    try:
        assert job.returncode == 0
        assert "1 process goes on" in output
        assert status_field(daemon, "State")
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_reader_of_another_descriptor_sees_its_end_as_soon_as_the_program_closes_it(environment: Environment) -> None:
    read, write = os.pipe()
    line = [*TRACED, "sh", "-c", "exec %d>&-; read x" % write]
    with subprocess.Popen(line, env=environment, stdin=subprocess.PIPE, pass_fds=[write]) as job:
        os.close(write)
        assert os.read(read, 1) == b""
        assert job.poll() is None
        assert job.stdin
        job.stdin.close()
    os.close(read)


def test_the_terminals_hold_on_output_is_given_up(environment: Environment) -> None:
    """A program that closes its output and goes on frees whoever reads it."""
    read, write = os.pipe()
    line = [*TRACED, "sh", "-c", "exec >&-; read x"]
    with subprocess.Popen(line, env=environment, stdin=subprocess.PIPE, stdout=write) as job:
        os.close(write)
        assert os.read(read, 1) == b""
        assert job.poll() is None
        assert job.stdin
        job.stdin.close()
    os.close(read)


def test_termination_is_passed_on(environment: Environment, program: Program) -> None:
    line = [*TRACED, str(program("life_terminal")), "handles-termination"]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout
        assert job.stdout.readline().startswith("up")
        job.send_signal(signal.SIGTERM)
        assert job.stdout.read() == "got SIGTERM\n0\n"

    assert job.returncode == 0


def test_nobody_is_harmed_when_the_front_is_killed(environment: Environment, program: Program, tmp_path: Path) -> None:
    line = [str(WXTRACE), "--", str(program("life_terminal")), "handles-termination"]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as job:
        assert job.stdout
        target = int(job.stdout.readline().split()[1])
        tracer = only_child(job.pid)
        job.kill()
        job.wait()
        os.kill(target, signal.SIGTERM)
        assert job.stdout.read() == "got SIGTERM\n0\n"
    until(lambda: status_field(tracer, "State")[:1] in ("", "Z"))
    exported = run_wxtrace(environment, "export")

    assert '"exit":{"code":0}' in exported.stdout.replace(" ", "")
    assert '"call":"munmap"' in exported.stdout


def test_the_end_of_the_tracer_is_the_end_of_the_program_and_said(
    environment: Environment, program: Program, examples: Path, tmp_path: Path
) -> None:
    out = tmp_path / "timeline.json"
    refused = "%s %s" % (examples / "mdwe", examples / "jit_unchecked")
    line = [str(WXTRACE), "-o", str(out), "--", "sh", "-c", "%s; echo up $$; read x" % refused]
    with subprocess.Popen(
        line, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout and job.stderr
        target = int(next(line for line in job.stdout if line.startswith("up")).split()[1])
        tracer = only_child(job.pid)
        os.kill(tracer, signal.SIGKILL)
        words = job.stderr.read()
    until(lambda: status_field(target, "State")[:1] in ("", "Z"))

    assert job.returncode == 125
    assert words.splitlines()[-1].endswith("what was recorded until then is kept")
    assert "REFUSED  mprotect" in words
    assert '"cause":"mdwe"' in out.read_text()
    assert '"cause":"mdwe"' in run_wxtrace(environment, "export").stdout
