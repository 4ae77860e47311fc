"""A tracer short of descriptors: the program runs as ever, and what is refused is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Callable, Dict

import pytest
from processes import WXTRACE

pytestmark = pytest.mark.trace

Program = Callable[..., Path]


def limited(
    environment: Dict[str, str], most: str, *command: str | Path, which: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run by a shell whose limit on descriptors is `most`."""
    line = ["sh", "-c", 'ulimit %s -n "$0"; exec "$@"' % which, most, *map(str, command)]
    return subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def test_more_processes_than_descriptors(environment: Dict[str, str], program: Program, tmp_path: Path) -> None:
    out = tmp_path / "timeline.json"
    command = (WXTRACE, "-q", "-o", out, "--", program("life_crowd"), "100", "10")
    done = limited(environment, "64", *command)
    events = json.loads(out.read_text())["events"]
    refused = [event["diagnosis"] for event in events if event["outcome"] == "refused"]

    assert (done.returncode, done.stdout) == (0, "64 64\n10 refused\n")
    assert [(d["cause"], d["confidence"]) for d in refused] == [("mdwe", "proved")] * 10


def test_hardly_any_descriptors(environment: Dict[str, str], program: Program) -> None:
    command = (WXTRACE, "--", program("life_refused"))
    done = limited(environment, "9", *command)

    assert done.returncode == 3, done.stderr
    assert done.stderr.count("REFUSED") == 1 and "[mdwe;" in done.stderr


def test_a_soft_limit_is_the_programs_own(environment: Dict[str, str], program: Program) -> None:
    command = (WXTRACE, "-q", "--", program("life_crowd"))
    done = limited(environment, "70", *command, which="-S")

    assert done.stdout.partition(" ")[0] == "70"
