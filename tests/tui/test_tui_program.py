"""The program under the screen: its terminal, its end, and a screen that goes away."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Dict, Iterator

import pytest
from processes import WXTRACE, run_wxtrace, state, status_field, until

from wxtrace.record.store import journals

pytestmark = [
    pytest.mark.trace,
    pytest.mark.skipif(
        shutil.which("tmux") is None, reason="the screen is tested end to end in tmux, which is missing"
    ),
]


class Window:
    """A shell in a window of tmux, on a server of its own."""

    def __init__(self, environment: Dict[str, str], columns: int = 80, rows: int = 24) -> None:
        self._socket = "wxtrace-" + uuid.uuid4().hex
        self._environment = {**environment, "PATH": "%s:%s" % (WXTRACE.parent, environment["PATH"])}
        size = ("-x", str(columns), "-y", str(rows))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "env PS1='$ ' bash --norc --noprofile -i")
        try:
            self.wait(r"^\$$")
        except AssertionError:
            self.close()
            raise

    def _tmux(self, *arguments: str) -> str:
        line = ["tmux", "-L", self._socket, *arguments]
        return subprocess.run(line, env=self._environment, capture_output=True, text=True, check=True).stdout

    def close(self) -> None:
        """The window and all that runs in it."""
        self._tmux("kill-server")

    def hang_up(self) -> None:
        """Another window in place of this one, whose terminal is gone then."""
        self._tmux("new-window", "-d", "sleep 1000")
        self._tmux("kill-pane", "-t", ":0")

    def type(self, *keys: str) -> None:
        """Keys by tmux's names."""
        self._tmux("send-keys", *keys)

    def text(self) -> str:
        """What is on the screen."""
        return self._tmux("capture-pane", "-p").rstrip("\n") + "\n"

    def wait(self, pattern: str) -> str:
        """The screen, once it shows this."""
        seen = ""
        deadline = time.monotonic() + 20
        while not re.search(pattern, seen, re.MULTILINE):
            assert time.monotonic() < deadline, "%r never came:\n%s" % (pattern, seen)
            seen = self.text()
            time.sleep(0.02)
        return seen


@pytest.fixture
def window(environment: Dict[str, str]) -> Iterator[Window]:
    """A window for one test."""
    window = Window({key: value for key, value in environment.items() if key != "TMUX"})
    yield window
    window.close()


def pid_of_program(environment: Dict[str, str], name: str) -> int:
    """The first process of that name in this test; not one that it forked."""

    def found() -> int:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = Path("/proc", status_field(int(entry.name), "PPid"), "comm")
                if (entry / "comm").read_text() != name + "\n" or parent.read_text() == name + "\n":
                    continue
                if environment["XDG_STATE_HOME"] in (entry / "environ").read_bytes().decode("utf-8", "replace"):
                    return int(entry.name)
            except OSError:
                continue
        return 0

    return int(until(found, "no process is called " + name))


def test_a_refused_call_its_cause_and_provenance_are_on_one_screen(
    window: Window, examples: Path, tmp_path: Path
) -> None:
    window.type("cd %s; clear; echo before" % tmp_path, "Enter")
    before = window.wait("^before$")
    window.type("wxtrace tui -- %s/mdwe %s/jit_unchecked" % (examples, examples), "Enter")

    seen = window.wait("killed by SIGSEGV")
    for words in (
        r"^✗ .* mprotect \S+ 4K r-x +EACCES",
        r"^REFUSED  mprotect\(",
        r"^why      MDWE",
        r"^by       the kernel, cause mdwe; proved",
    ):
        assert re.search(words, seen, re.MULTILINE), seen
    assert "4 KiB of anonymous memory" in seen
    assert re.search(r"^from     made by event \d+: mmap\(", seen, re.MULTILINE)

    window.type("e")
    window.wait("timeline as JSON")
    window.type("j")
    window.wait("Write to which file")
    window.type("Enter")
    window.wait("Written: wxtrace-run.json")
    window.type("q")
    after = window.wait(r"wxtrace: killed by SIGSEGV\n(.*\n)*\$$")
    assert after.startswith(before.rstrip("$\n"))
    window.type("echo status=$?; stty -a | grep -o ' echo '", "Enter")
    window.wait("^status=139\n echo")
    timeline = json.loads((tmp_path / "wxtrace-run.json").read_text())
    assert timeline["summary"]["outcomes"]["refused"] == 1


def test_the_program_has_a_terminal_of_its_own(window: Window, environment: Dict[str, str]) -> None:
    script = (
        "stty size; echo TERM=$TERM; read line; echo \"got <$line>\"; trap 'echo interrupted; exit 3' INT; sleep 60"
    )
    window.type("wxtrace tui -- bash -c %s" % shlex.quote(script), "Enter")
    window.wait("● live")
    window.type("t")
    window.wait("^TERM=linux")
    window.type("hello", "Enter")
    seen = window.wait("got <hello>")
    assert re.search(r"^\d+ \d+$", seen, re.MULTILINE)
    window.type("C-c")
    seen = window.wait("exit status 3")
    assert "interrupted" in seen
    window.type("q")
    window.wait("wxtrace: exit status 3")


def test_quitting_asks_and_leaves_the_program_running(window: Window, environment: Dict[str, str]) -> None:
    window.type("wxtrace tui -- sleep 60", "Enter")
    window.wait("● live")
    window.type("q")
    window.wait("The program still runs")
    window.type("g")
    window.wait("the program goes on, and is recorded")
    program = pid_of_program(environment, "sleep")

    window.type("clear; wxtrace view --follow", "Enter")
    window.wait("● live")
    os.kill(program, signal.SIGTERM)
    window.wait("killed by SIGTERM")


def test_a_program_that_ends_while_it_is_asked_about_is_not_said_to_go_on(window: Window, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = "until [ -e %s ]; do sleep 0.05; done; exit 4" % go
    window.type("wxtrace tui -- bash -c %s" % shlex.quote(script), "Enter")
    window.wait("● live")
    window.type("q")
    window.wait("The program still runs")
    go.touch()
    window.wait("Ended: exit status 4")
    window.type("g")
    assert "goes on" not in window.wait("wxtrace: exit status 4")


def test_quitting_can_end_the_program(window: Window) -> None:
    window.type("wxtrace tui -- sleep 60", "Enter")
    window.wait("● live")
    window.type("q")
    window.wait("The program still runs")
    window.type("e")
    assert "Export" not in window.wait("killed by SIGTERM")


def test_a_killed_screen_leaves_program_and_record(
    window: Window, environment: Dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
    script = "until [ -e %s ]; do sleep 0.05; done; seq 100000; exit 5" % go
    window.type("wxtrace tui -- bash -c %s" % shlex.quote(script), "Enter")
    window.wait("● live")
    screen = pid_of_program(environment, "wxtrace")
    os.kill(screen, signal.SIGKILL)
    go.touch()

    path = journals()[0]
    until(lambda: b'"RunEnded"' in Path(path).read_bytes())

    done = run_wxtrace(environment, "report")
    assert "exit status 5" in done.stdout


def test_a_closed_terminal_ends_the_program_as_ever(
    window: Window, environment: Dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", environment["XDG_STATE_HOME"])
    window.type("wxtrace tui -- sleep 60", "Enter")
    window.wait("● live")
    os.kill(pid_of_program(environment, "wxtrace"), signal.SIGHUP)

    path = journals()[0]
    until(lambda: b'"RunEnded"' in Path(path).read_bytes())

    assert "killed by SIGHUP" in run_wxtrace(environment, "report").stdout


def test_the_screen_goes_with_its_terminal(window: Window, environment: Dict[str, str]) -> None:
    window.type("wxtrace tui -- sleep 60", "Enter")
    window.wait("● live")
    screen, program = pid_of_program(environment, "wxtrace"), pid_of_program(environment, "sleep")
    window.type("C-l")
    window.hang_up()

    until(lambda: state(screen) in ("", "Z"), "the screen is still there")
    until(lambda: state(program) in ("", "Z"), "the program is still there")


def test_a_program_that_cannot_be_started_is_one_sentence(window: Window) -> None:
    window.type("wxtrace tui -- /etc/passwd; echo status=$?", "Enter")

    assert "wxtrace: /etc/passwd is not executable" in window.wait("^status=126")


def test_a_file_that_is_no_record_is_one_sentence(window: Window) -> None:
    window.type("wxtrace view /etc/passwd; echo status=$?", "Enter")

    assert "wxtrace: /etc/passwd is neither a wxtrace journal nor a timeline" in window.wait("^status=125")


def test_without_a_terminal_it_says_what_works(environment: Dict[str, str]) -> None:
    done = run_wxtrace(environment, "tui", "--", "true")

    assert (done.returncode, done.stderr.count("\n")) == (125, 1)
    assert "the screen needs a terminal" in done.stderr


def test_what_was_attached_to_is_let_go(window: Window) -> None:
    with subprocess.Popen(["sleep", "60"]) as program:
        window.type("wxtrace tui -p %d" % program.pid, "Enter")
        window.wait("attach sleep 60")
        window.type("q")
        seen = window.wait("The program still runs")
        assert "go on without the screen" not in seen
        window.type("d")
        window.wait("wxtrace: detached, the program goes on")
        assert program.poll() is None
        program.kill()
