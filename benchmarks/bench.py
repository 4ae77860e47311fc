#!/usr/bin/env python3
"""What wxtrace costs, against strace on the same machine: interleaved runs, medians, a table and JSON.

    benchmarks/bench.py [--runs N] [--json FILE] [NAME ...]

Wall times of whole runs, start-up included. Nothing here is a test: machines differ, ratios less so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from measure import WXTRACE, Table, build, interleaved, seconds

MEMORY = ("strace", "-f", "--seccomp-bpf", "-e", "trace=%memory", "-o")
EVERYTHING = ("strace", "-f", "-o")
OURS = (WXTRACE, "-q", "--log", "/dev/null")


class Case(NamedTuple):
    """One comparison: our command line, theirs, and the ratio we aim for."""

    name: str
    ours: Tuple[str, ...]
    theirs: Tuple[str, ...]
    aim: float


def cases(flips: str, output: str) -> List[Case]:
    """Every comparison of two commands. `output` is the file that strace writes to, as our journal is one."""
    memory, everything = (*MEMORY, output), (*EVERYTHING, output)
    long, short, four = (flips, "200000"), (flips, "50000"), (flips, "20000", "4")
    dd = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000", "status=none")
    find = ("find", "/usr", "-name", "nothing-is-called-so")
    full = (*OURS, "--mode", "full", "--")
    return [
        Case("one page flipped 200,000 times", (*OURS, "--", *long), (*memory, *long), 1.3),
        Case("the same, --same-cpu", (*OURS, "--same-cpu", "--", *long), (*memory, *long), 0.8),
        Case("four threads, 20,000 flips each", (*OURS, "--", *four), (*memory, *four), 1.6),
        Case("full mode, 50,000 flips", (*full, *short), (*everything, *short), 1.4),
        Case("full mode, dd bs=1", (*full, *dd[:-2], "count=50000"), (*everything, *dd[:-2], "count=50000"), 1.4),
        Case("untraced calls: dd bs=1", (*OURS, "--", *dd), dd, 1.2),
        Case("untraced calls: find /usr", (*OURS, "--", *find), find, 1.2),
        Case("start-up: true", (*OURS, "--", "true"), (*memory, "true"), 0.0),
    ]


WINE = "Wine cold start"


class Wine:
    """A cold start: no wineserver runs. Timed until the tool is done; what Wine leaves behind goes on."""

    def __init__(self, folder: str, environment: Dict[str, str]) -> None:
        self._done = os.path.join(folder, "done")
        self._environment = {**environment, "WINEPREFIX": os.path.join(folder, "prefix"), "WINEDEBUG": "-all"}
        subprocess.run(["wineboot", "-i"], env=self._environment, capture_output=True, check=True)

    def seconds(self, tracer: Tuple[str, ...]) -> float:
        """From the start of the tracer to the end of the tool."""
        subprocess.run(["wineserver", "-k"], env=self._environment, check=False)
        subprocess.run(["wineserver", "-w"], env=self._environment, check=False)
        Path(self._done).unlink(missing_ok=True)
        script = "wine cmd /c exit; touch '%s'" % self._done
        start = time.monotonic()
        with subprocess.Popen(
            [*tracer, "sh", "-c", script],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while not os.path.exists(self._done) and process.poll() is None:
                time.sleep(0.002)
            taken = time.monotonic() - start
            subprocess.run(["wineserver", "-k"], env=self._environment, check=False)
        return taken


def main() -> int:
    """Print the table; write the JSON when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("names", nargs="*", help="parts of the names of the comparisons to run")
    options = parser.parse_args()
    table = Table()

    def wanted(name: str) -> bool:
        return not options.names or any(part in name for part in options.names)

    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        table.heading("%-38s %9s %9s %7s %7s %6s" % ("", "wxtrace", "other", "median", "best", "aim"))
        output = os.path.join(folder, "strace.out")
        for case in cases(build(folder, "flips"), output):
            if wanted(case.name):
                ours, theirs = interleaved(
                    options.runs,
                    lambda case=case: seconds(case.ours, environment),  # type: ignore[misc]
                    lambda case=case: seconds(case.theirs, environment),  # type: ignore[misc]
                )
                table.ratio(case.name, ours, theirs, case.aim)
        if wanted(WINE) and shutil.which("wine"):
            wine = Wine(folder, environment)
            ours, theirs = interleaved(
                options.runs, lambda: wine.seconds((*OURS, "--")), lambda: wine.seconds((*MEMORY, output))
            )
            table.ratio(WINE, ours, theirs, 1.3)
    table.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
