#!/usr/bin/env python3
"""Whether the cost of an event grows: with regions, with processes, with the length of the run.

    benchmarks/scale.py [--runs N] [--events N] [--json FILE]

Time per event is processor time of tracer and front together, user and system: what the machine beside it does
counts less than in wall time.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List, Sequence

from measure import WXTRACE, Table, build, interleaved

OURS = (WXTRACE, "-q", "--log", "/dev/null", "--")


def cost(command: Sequence[str], environment: Dict[str, str]) -> float:
    """Processor seconds of one command and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def growth(
    table: Table, what: str, program: str, few: int, many: int, flips: int, runs: int, environment: Dict[str, str]
) -> None:
    """The cost of `flips` flips beyond what the program costs without them, with few and with many."""

    def measure(count: int, flips: int) -> float:
        return cost((*OURS, program, str(count), str(flips)), environment)

    small, small_empty, large, large_empty = interleaved(
        runs,
        lambda: measure(few, flips),
        lambda: measure(few, 0),
        lambda: measure(many, flips),
        lambda: measure(many, 0),
    )
    each = [
        statistics.median((a - b) / flips * 1e6 for a, b in zip(full, empty))
        for full, empty in ((small, small_empty), (large, large_empty))
    ]
    table.value("an event with %d %s" % (few, what), each[0], "us")
    table.value("an event with %d %s" % (many, what), each[1], "us")
    table.value("so with more %s it costs" % what, each[1] / each[0], "times", 1.5)


class Watch:
    """The most memory that two processes had, looked at ten times a second."""

    def __init__(self, pids: List[int]) -> None:
        self.most: Dict[int, int] = dict.fromkeys(pids, 0)
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        alive = True
        while alive:
            alive = False
            for pid in self.most:
                try:
                    text = Path("/proc/%d/status" % pid).read_text()
                except OSError:
                    continue
                rss = [int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")]
                self.most[pid] = max([self.most[pid], *rss])
                alive = alive or bool(rss)
            time.sleep(0.1)

    def join(self) -> List[int]:
        """KiB, in the order of the pids, once both are gone."""
        self._thread.join()
        return list(self.most.values())


def long_run(table: Table, flips: str, events: int, environment: Dict[str, str]) -> None:
    """A million events: memory, journal, export."""
    start = time.monotonic()
    with subprocess.Popen(
        [*OURS, flips, str(events)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as front:
        children: List[str] = []
        while not children:
            children = Path("/proc/%d/task/%d/children" % (front.pid, front.pid)).read_text().split()
        watch = Watch([front.pid, int(children[0])])
        front.wait()
    taken = time.monotonic() - start
    front_kib, tracer_kib = watch.join()
    journal = max(
        Path(environment["XDG_STATE_HOME"], "wxtrace").glob("*.journal"), key=lambda path: path.stat().st_size
    )
    table.value("a run of %d events" % events, taken, "s")
    table.value("memory of the front", front_kib / 1024, "MiB", 150)
    table.value("memory of the tracer", tracer_kib / 1024, "MiB", 150)
    table.value("journal", journal.stat().st_size / events, "bytes an event", 100)
    out = os.path.join(environment["XDG_STATE_HOME"], "timeline.json")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run([WXTRACE, "export", "-o", out, str(journal)], env=environment, check=True)
    table.value("export", time.monotonic() - start, "s", 20)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    table.value("  of which processor", after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "s")
    table.value("timeline", os.path.getsize(out) / 1e6, "MB")
    start = time.monotonic()
    with subprocess.Popen([WXTRACE, "report", out], env=environment, stdout=subprocess.DEVNULL) as report:
        watch = Watch([report.pid])
        report.wait()
    table.value("report of that timeline", time.monotonic() - start, "s")
    table.value("memory of it", watch.join()[0] / 1024, "MiB", 150)


def main() -> int:
    """Print the table; write the JSON when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=1000000)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        regions, processes = build(folder, "regions"), build(folder, "processes")
        growth(table, "regions", regions, 1000, 60000, 100000, options.runs, environment)
        growth(table, "processes", processes, 10, 1000, 100000, options.runs, environment)
        long_run(table, build(folder, "flips"), options.events, environment)
    table.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
