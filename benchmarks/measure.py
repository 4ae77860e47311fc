"""What the benchmarks share: interleaved runs, so that a slowing machine slows both; medians; table and JSON."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

__all__ = ["HERE", "WXTRACE", "Table", "build", "interleaved", "seconds"]

HERE = Path(__file__).resolve().parent
WXTRACE = shutil.which("wxtrace", path=str(Path(sys.executable).parent)) or "wxtrace"


def build(folder: str, name: str) -> str:
    """Compile one of the C programs beside this file."""
    out = os.path.join(folder, name)
    subprocess.run(["cc", "-O2", "-pthread", "-o", out, str(HERE / (name + ".c"))], check=True)
    return out


def seconds(command: Sequence[str], environment: Dict[str, str]) -> float:
    """Wall time of one run."""
    start = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=False)
    return time.monotonic() - start


def interleaved(runs: int, *measures: Callable[[], float]) -> List[List[float]]:
    """Each measure `runs` times, in turn, after one turn that is not counted."""
    for measure in measures:
        measure()
    results: List[List[float]] = [[] for _ in measures]
    for _ in range(runs):
        for measure, found in zip(measures, results):
            found.append(measure())
    return results


class Table:
    """Prints rows as they come; `save` writes them as JSON, every single run included."""

    def __init__(self) -> None:
        self.rows: List[Dict[str, Any]] = []

    def heading(self, text: str) -> None:
        """A line above the rows."""
        print("\n" + text, flush=True)

    def ratio(self, name: str, ours: List[float], theirs: List[float], aim: float) -> None:
        """Wall times in seconds of two commands; the ratio is the median over the pairs."""
        ratio = statistics.median(a / b for a, b in zip(ours, theirs))
        mine, other = statistics.median(ours), statistics.median(theirs)
        best = min(ours) / min(theirs)
        shown = "%.1fx" % aim if aim else ""
        print("%-38s %8.2fs %8.2fs %6.2fx %6.2fx %6s" % (name, mine, other, ratio, best, shown), flush=True)
        self.rows.append({"name": name, "wxtrace_s": ours, "other_s": theirs, "ratio": ratio, "aim": aim})

    def value(self, name: str, value: float, unit: str, most: Optional[float] = None) -> None:
        """One number, and what it may be at most."""
        print("%-46s %10.2f %-14s %s" % (name, value, unit, "" if most is None else "at most %g" % most), flush=True)
        self.rows.append({"name": name, "value": value, "unit": unit, "at_most": most})

    def save(self, path: Optional[str]) -> None:
        """As JSON."""
        if path is not None:
            Path(path).write_text(json.dumps(self.rows, indent=1) + "\n")
