"""What cannot be read is said to be so, and what cannot be written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List

import pytest
from processes import run_wxtrace

Environment = Dict[str, str]
UNREADABLE = "/proc/self/mem"
"""A regular file, by what it says, of which the first byte cannot be read."""


@pytest.mark.parametrize(
    "line", [["report"], ["report", "--redact"], ["export"], ["export", "-o", "out.json"]], ids=" ".join
)
def test_a_record_that_cannot_be_read(environment: Environment, tmp_path: Path, line: List[str]) -> None:
    done = run_wxtrace(environment, *line, UNREADABLE, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr == "wxtrace: cannot read /proc/self/mem: Input/output error\n"
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("line", [["schema"], ["causes"], ["report"], ["export"], ["runs"], ["--help"]], ids=" ".join)
def test_standard_output_that_takes_no_more(environment: Environment, line: List[str]) -> None:
    run_wxtrace(environment, "-q", "--", "true")
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        done = run_wxtrace(environment, *line, stdout=full, stderr=-1)
    finally:
        os.close(full)

    assert (done.returncode, done.stderr) == (125, "wxtrace: standard output takes no more: No space left on device\n")
