"""Random programs against their own log: nothing hangs, nothing stays behind, no map is wrong, no refusal is lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from processes import DEADLINE, WXTRACE

if TYPE_CHECKING:
    from conftest import Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
MODES = ["auto", "full"]
SECONDS = int(os.environ.get("WXTRACE_TORTURE_SECONDS", "5"))
LOGGED = {"mmap", "mprotect", "munmap", "mremap", "brk"}
SLOWEST = 60 + 10 * SECONDS

Failure = Tuple[int, int, str, int, Optional[str]]
"""pid, tid, call, address, errno: what log and timeline have in common."""


class Torture:
    """The program under a name of its own, by which its processes are found again, and its log."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self.program = folder / ("torture%d" % (os.getpid() % 10**7))
        self.program.symlink_to(binary)
        self.log = folder / "log"

    def command(self, seed: int, seconds: int = SECONDS) -> List[str]:
        """What to run."""
        return [str(self.program), str(seed), str(seconds), str(self.log)]

    def left(self) -> List[str]:
        """Its processes and zombies, from /proc; the last ones get a moment to be reaped."""
        end = time.monotonic() + DEADLINE
        while list(self._alive()) and time.monotonic() < end:
            time.sleep(0.01)
        return list(self._alive())

    def _alive(self) -> Iterator[str]:
        for pid in os.listdir("/proc"):
            try:
                text = Path("/proc", pid, "stat").read_text(errors="replace") if pid.isdigit() else ""
            except OSError:
                continue
            if "(%s)" % self.program.name in text:
                yield text

    def failures(self) -> Counter[Failure]:
        """What the program says has failed. A line that a kill cut short is followed at once by the next one."""
        found: Counter[Failure] = Counter()
        for line in self.log.read_text().splitlines():
            words = line.rpartition("=")[2].split()
            if len(words) == 7:
                pid, tid, call, address, _, _, number = words
                name = errno.errorcode[int(number)] if int(number) else None
                found[int(pid), int(tid), call, int(address, 16), name] += 1
        return found


@pytest.fixture
def torture(program: Program, tmp_path: Path) -> Torture:
    """The torture program."""
    return Torture(program("torture"), tmp_path)


def failures_told(timeline: Dict[str, Any]) -> Counter[Failure]:
    """The failed calls of a timeline."""
    return Counter(
        (event["pid"], event["tid"], event["call"], int(event["raw"][0], 16), event["errno"])
        for event in timeline["events"]
        if event["call"] in LOGGED and event["outcome"] in ("refused", "failed", "probe")
    )


def test_by_itself_it_ends_well(torture: Torture) -> None:
    done = subprocess.run(torture.command(seed=1, seconds=1), timeout=SLOWEST)

    assert (done.returncode, torture.left()) == (0, [])
    assert torture.failures()


@pytest.mark.timeout(SLOWEST)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_map_stays_exact_and_every_failure_is_told(trace: Trace, torture: Torture, seed: int, mode: str) -> None:
    run = trace(*torture.command(seed), mode=mode)

    assert (run.status, run.mismatches, torture.left()) == (0, 0, []), run.stderr
    assert run.timeline["incomplete"] is None
    assert torture.failures() - failures_told(run.timeline) == Counter()


@pytest.mark.timeout(SLOWEST)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", [3])
def test_on_the_short_way_every_failure_is_told(
    environment: Dict[str, str], torture: Torture, tmp_path: Path, seed: int, mode: str
) -> None:
    """Without --verify plain calls go another way through the tracer, and many more of them."""
    out = tmp_path / "timeline.json"
    line = [WXTRACE, "--mode", mode, "-o", out, "--", *torture.command(seed)]
    done = subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    assert (done.returncode, torture.left()) == (0, []), done.stderr
    timeline = json.loads(out.read_text())
    assert timeline["incomplete"] is None
    assert torture.failures() - failures_told(timeline) == Counter()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "case",
    [
        "killed-amid-faults",
        "killed-amid-refusals",
        "killed-amid-thread-execs",
        "orphans-of-a-subreaper",
        "forks-amid-advice",
        "filters-at-once",
        "births-amid-filters",
        "slow-call-among-threads",
    ],
)
def test_races_are_won(trace: Trace, program: Program, case: str, mode: str) -> None:
    """Each of these was lost to the torture program once."""
    run = trace(program("life_races"), case, mode=mode)

    assert (run.status, run.mismatches) == (0, 0), run.stderr
    assert "traced quietly" not in run.stderr
    if case == "births-amid-filters":
        assert "%d refused" % len(run.refused("mprotect")) in run.stdout.splitlines()
