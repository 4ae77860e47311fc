#!/usr/bin/env python3
"""What wxtrace costs, against strace on the same machine: interleaved runs, medians, a table and JSON.

    benchmarks/bench.py [--runs N] [--json FILE] [NAME ...]

Numbers are wall times of whole runs. Nothing here is a test: machines differ, ratios less so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

HERE = Path(__file__).resolve().parent
WXTRACE = shutil.which("wxtrace", path=str(Path(sys.executable).parent)) or "wxtrace"
MEMORY = ("strace", "-f", "--seccomp-bpf", "-e", "trace=%memory", "-o", "/dev/null")
EVERYTHING = ("strace", "-f", "-o", "/dev/null")


class Case(NamedTuple):
    """One comparison: our command line, theirs, and the ratio we aim for."""

    name: str
    ours: Tuple[str, ...]
    theirs: Tuple[str, ...]
    aim: float


def cases(flips: str) -> List[Case]:
    """Every comparison."""
    quiet = (WXTRACE, "-q", "--log", "/dev/null")
    dd = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000", "status=none")
    find = ("find", "/usr", "-name", "nothing-is-called-so")
    return [
        Case("one page flipped 200,000 times", (*quiet, "--", flips, "200000"), (*MEMORY, flips, "200000"), 1.3),
        Case(
            "four threads, 20,000 flips each", (*quiet, "--", flips, "20000", "4"), (*MEMORY, flips, "20000", "4"), 1.6
        ),
        Case(
            "full mode, 50,000 flips",
            (*quiet, "--mode", "full", "--", flips, "50000"),
            (*EVERYTHING, flips, "50000"),
            1.4,
        ),
        Case("untraced calls: dd bs=1", (*quiet, "--", *dd), dd, 1.2),
        Case("untraced calls: find /usr", (*quiet, "--", *find), find, 1.2),
        Case("start-up: true", (*quiet, "--", "true"), (*MEMORY, "true"), 0.0),
    ]


def seconds(command: Tuple[str, ...], environment: Dict[str, str]) -> float:
    """Wall time of one run."""
    start = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=False)
    return time.monotonic() - start


def main() -> int:
    """Print the table; write the JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("names", nargs="*", help="parts of the names of the comparisons to run")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        flips = os.path.join(folder, "flips")
        subprocess.run(["cc", "-O1", "-pthread", "-o", flips, str(HERE / "flips.c")], check=True)
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        print("%-34s %9s %9s %7s %6s" % ("", "wxtrace", "other", "ratio", "aim"))
        for case in cases(flips):
            if options.names and not any(name in case.name for name in options.names):
                continue
            ours, theirs = [], []
            for _ in range(options.runs):
                ours.append(seconds(case.ours, environment))
                theirs.append(seconds(case.theirs, environment))
            ratio = statistics.median(a / b for a, b in zip(ours, theirs))
            mine, other = statistics.median(ours), statistics.median(theirs)
            print(
                "%-34s %8.2fs %8.2fs %6.2fx %6s"
                % (case.name, mine, other, ratio, "%.1fx" % case.aim if case.aim else "")
            )
            results.append({"name": case.name, "wxtrace_s": ours, "other_s": theirs, "ratio": ratio, "aim": case.aim})
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
