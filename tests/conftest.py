"""What the tests share: compiled programs, and a wxtrace run with its validated timeline."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest
from cases import Family, printed_cases
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator

from wxtrace.live.bpf_programs import security_programs
from wxtrace.record.timeline import schema_text

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "programs"
WXTRACE = Path(sys.executable).with_name("wxtrace")
# A busy machine is slow, and that is no fault of the code.
settings.register_profile("wxtrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wxtrace")
# A run in the background of a shell without job control inherits these as ignored, and so would every program
# a test starts (POSIX shell, 2.11).
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
_VALIDATOR = Draft202012Validator(json.loads(schema_text()))


@dataclass(frozen=True)
class Run:
    """One finished `wxtrace -o FILE -- …`, its timeline already held against the schema."""

    status: int
    stdout: str
    stderr: str
    timeline: Dict[str, Any]

    def refused(self, call: Optional[str] = None) -> List[Dict[str, Any]]:
        """The alarms, or those of one call."""
        return [
            event
            for event in self.timeline["events"]
            if event["outcome"] == "refused" and call in (None, event["call"])
        ]

    def events(self, call: str) -> List[Dict[str, Any]]:
        """Every event of one call."""
        return [event for event in self.timeline["events"] if event["call"] == call]

    @property
    def mismatches(self) -> int:
        """How often `--verify` found the map wrong."""
        return int(self.timeline["summary"]["verify"]["mismatches"])

    @property
    def sure_at_mmap(self) -> str:
        """`proved`, but where a security module is asked before the kernel's own rules, no more than `consistent`."""
        host = self.timeline["host"]
        modules = {"apparmor", "smack", "ipe", "ima", "bpf"} & set(host["lsm"])
        if security_programs() == {}:
            modules.discard("bpf")
        enforcing = host["selinux"] is not None and host["selinux"]["enforcing"]
        return "consistent" if modules or enforcing else "proved"

    def causes(self) -> List[str]:
        """The causes of the alarms, in order."""
        return [event["diagnosis"]["cause"] for event in self.refused()]


def assert_valid(timeline: Dict[str, Any]) -> None:
    """Against the schema that is shipped; the first fault is enough to read."""
    for error in _VALIDATOR.iter_errors(timeline):
        raise AssertionError("%s: %s" % (error.json_path, error.message[:300]))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the tier of real programs."""
    parser.addoption("--write-table", action="store_true", help="write docs/programs.md from what the tests measure")


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the compiled examples."""
    subprocess.run(["make", "-s", "-C", str(ROOT / "examples")], check=True, stdout=subprocess.DEVNULL)
    return ROOT / "examples" / "build"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile tests/programs/NAME.c once a session and give its path."""
    folder = tmp_path_factory.mktemp("programs")

    def build(name: str, *flags: str) -> Path:
        out = folder / (name + "".join(flags).replace("/", "_"))
        if not out.exists():
            source = PROGRAMS / (name + ".c")
            subprocess.run(["cc", "-O1", "-pthread", "-o", str(out), str(source), *flags], check=True)
        return out

    return build


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Dict[str, str]]:
    """The tests' environment with a state folder, and one for temporary files, of its own.

    The latter has a short name: programs (chromium) put sockets into it, whose paths end at 108 bytes (unix(7)).
    """
    temporary = tempfile.mkdtemp(prefix="wx-")
    folders = {"XDG_STATE_HOME": str(tmp_path / "state"), "TMPDIR": temporary}
    yield {**os.environ, **folders, "NO_COLOR": "1"}
    # What a test leaves running may still write there.
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture
def channel() -> Iterator[List[socket.socket]]:
    """The recorder's end and the front's. Afterwards signals and the timer, which pytest uses too, are as before."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGUSR1)}
    timer = signal.getitimer(signal.ITIMER_REAL)
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield list(ends)
    for end in ends:
        end.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.setitimer(signal.ITIMER_REAL, *timer)


Trace = Callable[..., Run]


@pytest.fixture
def trace(tmp_path: Path, environment: Dict[str, str]) -> Trace:
    """Run a command under wxtrace, always with --verify; `mode` and more options as keywords.

    `under` is a launcher that wxtrace itself is started by.
    """

    def run(
        *command: str | Path,
        mode: str = "auto",
        options: tuple[str, ...] = (),
        under: tuple[str | Path, ...] = (),
        **keywords: Any,
    ) -> Run:
        out = tmp_path / "timeline.json"
        line = [*map(str, under), str(WXTRACE), "--verify", "--mode", mode, "-o", str(out), *options, "--"]
        done = subprocess.run(
            [*line, *map(str, command)],
            env={**environment, **keywords.pop("env", {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            errors="surrogateescape",
            **keywords,
        )
        timeline = json.loads(out.read_text())
        assert_valid(timeline)
        return Run(done.returncode, done.stdout, done.stderr, timeline)

    return run


@pytest.fixture(scope="session")
def family(program: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Family]:
    """Run every case of tests/programs/NAME.c under wxtrace, once a session, and hold the map against /proc."""
    known: Dict[str, Family] = {}

    def take(name: str) -> Family:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            out = folder / "timeline.json"
            line = [str(WXTRACE), "--verify", "-o", str(out), "--", str(program(name)), "all"]
            env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1"}
            done = subprocess.run(line, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True)
            timeline = json.loads(out.read_text())
            assert_valid(timeline)
            run = Run(done.returncode, done.stdout, done.stderr, timeline)
            assert (run.status, run.mismatches) == (0, 0), run.stderr
            known[name] = Family(run, printed_cases(run.stdout))
        return known[name]

    return take
