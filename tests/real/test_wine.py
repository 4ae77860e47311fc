"""`wxtrace -- wine mytool.exe`: a JIT of our own, healthy, refused, and refused without looking."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from .workloads import WINE_TOOL

pytestmark = [pytest.mark.wine, pytest.mark.timeout(300)]

_LENGTH = "200704"
"""Bytes of the tool's code buffer: a length that hardly anybody else in a Wine process asks for."""


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[str, str]]:
    """A prefix of its own, with a server that is stopped at the end."""
    for tool in ("wine", "x86_64-w64-mingw32-gcc"):
        if shutil.which(tool) is None:
            pytest.skip("%s is not installed" % tool)
    folder = tmp_path_factory.mktemp("wine")
    environment = {**os.environ, "WINEPREFIX": str(folder / "prefix"), "WINEDEBUG": "-all"}
    environment.pop("DISPLAY", None)
    (folder / "mytool.c").write_text(WINE_TOOL)
    subprocess.run(["x86_64-w64-mingw32-gcc", "-O1", "-o", "mytool.exe", "mytool.c"], cwd=folder, check=True)
    subprocess.run(["wineboot", "-i"], env=environment, check=True, capture_output=True)
    subprocess.run(["wineserver", "-w"], env=environment, check=False)
    yield {**environment, "TOOL": str(folder / "mytool.exe")}
    subprocess.run(["wineserver", "-k"], env=environment, check=False)


def _refused_in_tool(run: Any) -> Any:
    tool = next(p for p in run.timeline["processes"] if p["name"] == "mytool.exe")
    return [event for event in run.refused() if event["proc"] == tool["proc"]]


def test_healthy_wine_raises_no_alarm_and_keeps_its_output(wine: Dict[str, str], trace: Any) -> None:
    alone = subprocess.run(["wine", wine["TOOL"]], env=wine, capture_output=True, text=True)
    run = trace("wine", wine["TOOL"], env=wine)
    assert (run.status, run.stdout) == (0, alone.stdout)
    assert alone.returncode == 0
    assert run.refused() == []
    assert run.mismatches == 0
    assert "mytool.exe" in {process["name"] for process in run.timeline["processes"]}


def test_refused_flip_is_named_in_the_windows_process(wine: Dict[str, str], trace: Any, examples: Path) -> None:
    run = trace(examples / "refuse_length", _LENGTH, "13", "wine", wine["TOOL"], env=wine)
    refused = _refused_in_tool(run)
    assert run.status == 3
    assert [event["call"] for event in refused] == ["mprotect"]
    diagnosis = refused[0]["diagnosis"]
    assert (diagnosis["cause"], refused[0]["errno"], diagnosis["confidence"]) == ("seccomp.errno", "EACCES", "proved")
    made_by = next(r["created_by"] for r in run.timeline["regions"] if r["id"] == refused[0]["touched"][0]["region"])
    assert run.timeline["events"][made_by - 1]["call"] == "mmap"


def test_unchecked_flip_and_the_crash_name_each_other(wine: Dict[str, str], trace: Any, examples: Path) -> None:
    run = trace(examples / "refuse_length", _LENGTH, "13", "wine", wine["TOOL"], "unchecked", env=wine)
    refused = _refused_in_tool(run)
    fault = next(event for event in run.events("fault") if event["n"] in refused[0]["diagnosis"]["related"])
    assert refused[0]["n"] in fault["diagnosis"]["related"]
    assert fault["diagnosis"]["cause"] == "fault.nx"
    assert refused[0]["diagnosis"]["aftermath"] == "crashed"


def test_wine_under_mdwe_is_refused_its_images(wine: Dict[str, str], trace: Any, examples: Path) -> None:
    run = trace(examples / "mdwe", "wine", wine["TOOL"], env=wine)
    assert run.status == 13
    assert set(run.causes()) == {"mdwe"}
    assert {event["call"] for event in run.refused()} == {"mmap"}
