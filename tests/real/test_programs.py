"""Real programs, each healthy and each under PR_SET_MDWE: nothing changes but what wxtrace shows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from .workloads import FILES, WORKLOADS, Workload

pytestmark = [pytest.mark.programs, pytest.mark.timeout(180)]

_HANGS = 20
"""Seconds after which a program that only waits is ended (chromium without its JIT)."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs' inputs."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    if shutil.which("javac"):
        subprocess.run(["javac", "F.java"], cwd=folder, check=True)
    return folder


def _untraced(command: Tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="surrogateescape"
    )


def _need(workload: Workload) -> None:
    if shutil.which(workload.command[0]) is None:
        pytest.skip("%s is not installed" % workload.command[0])


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_healthy_program_runs_as_untraced_and_raises_no_alarm(
    workload: Workload, workplace: Path, trace: Any, results: List[Tuple[str, ...]]
) -> None:
    _need(workload)
    alone = _untraced(workload.command, workplace)
    run = trace(*workload.command, cwd=workplace)
    results.append(("healthy", workload.name, str(run.timeline["summary"]["events"]), str(len(run.refused()))))
    assert run.refused() == []
    assert run.mismatches == 0
    if not workload.own_tracer:
        assert run.status == alone.returncode
        assert run.stdout == alone.stdout


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_under_mdwe_the_first_refused_call_and_its_aftermath_are_named(
    workload: Workload, workplace: Path, trace: Any, examples: Path, results: List[Tuple[str, ...]]
) -> None:
    _need(workload)
    patience = ("timeout", str(_HANGS)) if workload.name == "chromium" else ()
    run = trace(*patience, examples / "mdwe", *workload.command, cwd=workplace)
    refused = run.refused()
    if workload.refused is None:
        results.append(("mdwe", workload.name, "nothing is refused", ""))
        assert refused == []
        return
    first = refused[0]
    diagnosis = first["diagnosis"]
    results.append(("mdwe", workload.name, "%s %s" % (first["call"], first["errno"]), diagnosis["aftermath"]))
    assert (first["call"], first["errno"]) == (workload.refused, "EACCES")
    assert (diagnosis["cause"], diagnosis["confidence"]) == ("mdwe", "proved")
    assert diagnosis["aftermath"] == workload.aftermath
    assert run.mismatches == 0
