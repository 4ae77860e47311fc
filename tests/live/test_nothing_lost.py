"""Whatever is killed, and whatever the disk does: what was seen is in the journal, and the program goes on."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
from processes import WXTRACE, only_child, run_wxtrace, state, until

from wxtrace.model import facts
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.table import NUMBERS
from wxtrace.record.journal import JournalReader

pytestmark = pytest.mark.trace

Environment = Dict[str, str]
KILLS = int(os.environ.get("WXTRACE_KILLS", "3"))
"""Moments at which each of the three is killed."""
MOST_STEPS = 40
CALLS_A_STEP = 101


class Steps:
    """tests/programs/life_steps.c under wxtrace, told how far to go."""

    def __init__(self, program: Path, environment: Environment) -> None:
        self.folder = Path(environment["XDG_STATE_HOME"]) / "wxtrace"
        self.front = subprocess.Popen(
            [WXTRACE, "-q", "--", program],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.tracer = only_child(self.front.pid)
        self.done = 0
        self.asked = 0

    def ask(self, steps: int) -> None:
        """Let it go so many steps further."""
        assert self.front.stdin is not None
        os.write(self.front.stdin.fileno(), b"x" * steps)
        self.asked += steps

    def wait_for(self, step: int) -> None:
        """Until it has done this step, or can do no more."""
        assert self.front.stdout is not None
        while self.done < step:
            line = self.front.stdout.readline()
            if not line:
                return
            self.done = int(line)

    def end(self) -> str:
        """Let it end; gives what wxtrace has said."""
        assert self.front.stdin is not None and self.front.stdout is not None and self.front.stderr is not None
        self.front.stdin.close()
        self.wait_for(self.asked)
        until(lambda: state(self.tracer) in ("", "Z"), "the tracer goes on")
        said = self.front.stderr.read().decode()
        self.front.wait()
        self.front.stdout.close()
        self.front.stderr.close()
        return said

    def recorded(self) -> List[facts.Fact]:
        """Everything in the journal."""
        (path,) = self.folder.glob("*.journal")
        with path.open("rb") as file:
            return list(JournalReader(file, str(path)).all())


def protects(record: List[facts.Fact]) -> List[facts.Call]:
    """The program's own calls: behind its exec and the loader's, the first flip gives PROT_READ|PROT_WRITE."""
    number = NUMBERS[Abi.X86_64]["mprotect"]
    calls = [fact for fact in record if isinstance(fact, facts.Call) and fact.number == number]
    first = next((i for i, call in enumerate(calls) if call.args[1:3] == (4096, 3)), len(calls))
    return calls[first:]


def assert_whole_until(record: List[facts.Fact], step: int) -> None:
    """No call is missing up to the refused one of this step, which the program has seen."""
    results = [call.result for call in protects(record)]
    assert len(results) >= step * CALLS_A_STEP
    expected = ([0] * (CALLS_A_STEP - 1) + [-13]) * step
    assert results[: len(expected)] == expected


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> Iterator[random.Random]:
    """The same in each run of the tests."""
    yield random.Random(request.node.name)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_tracer_takes_the_program_along_and_leaves_all_that_was_seen(
    program: Callable[..., Path], environment: Environment, moments: random.Random, number: int
) -> None:
    steps = Steps(program("life_steps"), environment)
    steps.ask(MOST_STEPS)
    steps.wait_for(moments.randrange(1, MOST_STEPS))
    os.kill(steps.tracer, signal.SIGKILL)
    steps.wait_for(MOST_STEPS)
    said = steps.end()

    assert steps.front.returncode == 125
    assert "the tracer died, and the program with it; what was recorded until then is kept" in said
    assert_whole_until(steps.recorded(), steps.done)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_front_harms_neither_program_nor_record(
    program: Callable[..., Path], environment: Environment, moments: random.Random, number: int
) -> None:
    steps = Steps(program("life_steps"), environment)
    at = moments.randrange(1, MOST_STEPS)
    steps.ask(at)
    steps.wait_for(moments.randrange(0, at))
    steps.front.kill()
    steps.ask(MOST_STEPS - at)
    steps.wait_for(MOST_STEPS)
    steps.end()

    assert steps.done == MOST_STEPS
    record = steps.recorded()
    assert isinstance(record[-1], facts.RunEnded)
    assert_whole_until(record, MOST_STEPS)


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_reader_harms_nobody(
    program: Callable[..., Path], environment: Environment, moments: random.Random, number: int
) -> None:
    steps = Steps(program("life_steps"), environment)
    steps.ask(1)
    steps.wait_for(1)
    with subprocess.Popen([WXTRACE, "export"], env=environment, stdout=subprocess.PIPE) as reader:
        steps.ask(MOST_STEPS - 1)
        steps.wait_for(moments.randrange(1, MOST_STEPS))
        reader.kill()
    steps.wait_for(MOST_STEPS)
    steps.end()

    assert (steps.front.returncode, steps.done) == (0, MOST_STEPS)
    assert_whole_until(steps.recorded(), MOST_STEPS)


def test_a_file_size_limit_is_told_and_the_program_goes_on(
    program: Callable[..., Path], environment: Environment
) -> None:
    command = [str(WXTRACE), "-q", "--", str(program("life_steps"))]
    done = subprocess.run(
        ["bash", "-c", "ulimit -f 20; exec " + shlex.join(command)],
        env=environment,
        input=b"x" * MOST_STEPS,
        capture_output=True,
    )

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, b"%d" % MOST_STEPS)
    said = done.stderr.decode()
    assert "takes no more (File too large, by RLIMIT_FSIZE (ulimit -f)): what follows is told here" in said
    assert "mprotect %d× EACCES" % MOST_STEPS in said
    exported = run_wxtrace(environment, "export")
    assert exported.returncode == 0
    assert "the record is incomplete: the journal ends in the middle of a frame" in exported.stderr


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can mount a small disk")
def test_a_full_disk_loses_nothing_and_the_program_goes_on(
    program: Callable[..., Path], environment: Environment, tmp_path: Path
) -> None:
    disk = tmp_path / "state" / "wxtrace"
    disk.mkdir(parents=True)
    script = "mount -t tmpfs -o size=64k,mode=700 none %s && exec %s -q -- %s" % (disk, WXTRACE, program("life_steps"))
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=environment, input=b"x" * MOST_STEPS, capture_output=True
    )

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, b"%d" % MOST_STEPS)
    assert "takes no more (No space left on device): the record of this run goes on in" in done.stderr.decode()
    (journal,) = Path(environment["TMPDIR"]).glob("wxtrace-*/*.journal")
    with journal.open("rb") as file:
        record = list(JournalReader(file, str(journal)).all())
    assert isinstance(record[-1], facts.RunEnded)
    assert_whole_until(record, MOST_STEPS)
