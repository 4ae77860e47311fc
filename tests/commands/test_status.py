"""How the command ends, and what it says when it could not do what was asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
from processes import AS_NOBODY, WXTRACE, run_wxtrace

pytestmark = pytest.mark.trace

Environment = Dict[str, str]
LYING_KERNEL = """
import sys
import wxtrace.live.verify as verify
import wxtrace.__main__
true = verify.normal_form_of_lines
verify.normal_form_of_lines = lambda lines: true(lines)[1:]
sys.exit(wxtrace.__main__.main(sys.argv[1:]))
"""


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("wxtrace: "), done.stderr
    return lines[0]


@pytest.mark.parametrize("status", [0, 7, 255])
def test_ends_as_the_program_does(environment: Environment, status: int) -> None:
    assert run_wxtrace(environment, "--", "sh", "-c", "exit %d" % status).returncode == status


@pytest.mark.parametrize("number", [6, 9, 11, 15])
def test_adds_128_to_the_signal_that_killed_the_program(environment: Environment, number: int) -> None:
    done = run_wxtrace(environment, "--", "sh", "-c", "kill -%d $$" % number)

    assert done.returncode == 128 + number
    assert "killed by SIG" in done.stderr


@pytest.mark.parametrize("program", ["no-such-program-anywhere", "./no/such/program", ""])
def test_gives_127_for_a_program_that_is_not_there(environment: Environment, program: str) -> None:
    done = run_wxtrace(environment, "--", program)

    assert done.returncode == 127
    sentence(done)


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("#!/no/such/interpreter\n", 0o755, "interpreter"),
        ("echo no first line\n", 0o755, "not an executable format"),
        ("", 0o755, "not an executable format"),
    ],
)
def test_gives_126_for_a_file_that_cannot_be_executed(
    environment: Environment, tmp_path: Path, text: str, mode: int, reason: str
) -> None:
    done = run_wxtrace(environment, "--", script(tmp_path / "program", text, mode))

    assert done.returncode == 126
    assert reason in sentence(done)


def test_gives_126_for_a_directory(environment: Environment, tmp_path: Path) -> None:
    done = run_wxtrace(environment, "--", tmp_path)

    assert done.returncode == 126
    assert "is a directory" in sentence(done)


def test_keeps_no_record_of_a_program_that_never_started(environment: Environment, tmp_path: Path) -> None:
    run_wxtrace(environment, "--", script(tmp_path / "program", ""))

    assert run_wxtrace(environment, "export").returncode == 125


def test_ends_with_70_when_the_map_was_found_wrong(environment: Environment) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LYING_KERNEL, "--verify", "--", "true"],
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 70
    assert "MISMATCH after" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "/no/such/folder/file", "--", "true"],
        ["-o", "/", "--", "true"],
        ["-o", "", "--", "true"],
        ["-o", "-", "--", "true"],
        ["--log", "/no/such/folder/file", "--", "true"],
        ["--no-such-option", "--", "true"],
        ["--mode", "fast", "--", "true"],
        ["-p", "word"],
        ["-p", "0"],
        ["-p", "-5"],
        ["-p", "99999999999999999999"],
        ["-p", "1", "--", "true"],
        ["-p"],
        [],
        ["--"],
        ["schema", "--no-such-option"],
        ["export", "/no/such/journal"],
        ["export", "/dev/null"],
        ["export"],
    ],
    ids=" ".join,
)
def test_says_in_one_sentence_what_cannot_be_done(environment: Environment, arguments: List[str]) -> None:
    done = run_wxtrace(environment, *arguments)

    assert done.returncode == 125
    assert not done.stdout
    sentence(done)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["ls"], "wxtrace -- ls"),
        (["-q", "ls", "-l", "a b"], "wxtrace -q -- ls -l 'a b'"),
        (["schem"], "wxtrace schema"),
    ],
)
def test_shows_the_right_line_for_a_forgotten_separator(
    environment: Environment, arguments: List[str], hint: str
) -> None:
    done = run_wxtrace(environment, *arguments)

    assert done.returncode == 125
    assert sentence(done).endswith(hint)


def test_does_not_attach_to_a_process_that_is_gone(environment: Environment) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()

    done = run_wxtrace(environment, "-p", str(gone.pid))

    assert done.returncode == 125
    assert "no process %d" % gone.pid in sentence(done)


def test_does_not_attach_to_a_process_that_has_ended(environment: Environment) -> None:
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)

    done = run_wxtrace(environment, "-p", str(zombie.pid))

    zombie.wait()
    assert done.returncode == 125
    assert "ended already" in sentence(done)


def test_names_the_tracer_of_a_process_that_is_traced_already(environment: Environment) -> None:
    with subprocess.Popen(
        [WXTRACE, "--", "sh", "-c", "echo $$; read x"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as first:
        assert first.stdin and first.stdout
        pid = first.stdout.readline().strip()
        done = run_wxtrace(environment, "-p", pid)
        first.stdin.close()

    assert done.returncode == 125
    assert "already traced, by process" in sentence(done)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_says_who_may_trace_a_process_of_another_user(environment: Environment) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as other:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "-p", str(other.pid)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert other.poll() is None
        assert other.stdin
        other.stdin.close()

    assert done.returncode == 125
    assert "may not be traced by this user" in sentence(done)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_runs_for_a_user_whose_state_folder_cannot_be_written(environment: Environment) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "--", "sh", "-c", "exit 3"],
        env={**environment, "XDG_STATE_HOME": "/proc"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 3, done.stderr


def test_tells_its_version(environment: Environment) -> None:
    done = run_wxtrace(environment, "--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wxtrace ")


@pytest.mark.parametrize("command", [[], ["export"], ["schema"]])
def test_helps(environment: Environment, command: List[str]) -> None:
    done = run_wxtrace(environment, *command, "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: wxtrace" in done.stdout
