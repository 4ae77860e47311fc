"""`wxtrace -- wine mytool.exe`: a JIT of our own, healthy, refused, and refused without looking."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest

from wxtrace.model.frames import Frame, callers

from .workloads import WINE_TOOL

pytestmark = [pytest.mark.wine, pytest.mark.timeout(300)]

_LENGTH = "200704"
"""Bytes of the tool's code buffer: a length that hardly anybody else in a Wine process asks for."""


class Wine(NamedTuple):
    """How to run our tool, and in which environment."""

    tool: List[str]
    environment: Dict[str, str]


@pytest.fixture(scope="module", params=["64-bit", "32-bit"])
def wine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """A prefix of its own, with a server that is stopped at the end.

    32-bit Wine stands in a root of its own (.ci/wine32-root), as its packages rarely fit beside the host's.
    """
    narrow = request.param == "32-bit"
    folder = tmp_path_factory.mktemp("wine")
    compiler = "i686-w64-mingw32-gcc" if narrow else "x86_64-w64-mingw32-gcc"
    needed = [compiler] if narrow else [compiler, "wine"]
    for tool in needed:
        if shutil.which(tool) is None:
            pytest.skip("%s is not installed" % tool)
    home, inside, into = folder, folder, []
    if narrow:
        root = Path(os.environ.get("WXTRACE_WINE32_ROOT", "/nonexistent"))
        if not (root / ".complete").exists():
            pytest.skip("WXTRACE_WINE32_ROOT names no root with 32-bit Wine")
        into = ["chroot", str(root)]
        # Never the name that an interrupted run has left there.
        inside = Path(tempfile.mkdtemp(prefix="wine-", dir=root))
        home = Path("/", inside.name)
    (folder / "mytool.c").write_text(WINE_TOOL)
    subprocess.run([compiler, "-O1", "-o", str(inside / "mytool.exe"), "mytool.c"], cwd=folder, check=True)
    environment = {**os.environ, "HOME": str(home), "WINEPREFIX": str(home / "prefix"), "WINEDEBUG": "-all"}
    # The tests' own folder for temporary files does not exist in that root, and the server makes its socket there.
    environment["TMPDIR"] = "/tmp"
    environment["WINEARCH"] = "win32" if narrow else "win64"
    environment.pop("DISPLAY", None)
    mounts = [root / "proc", root / "dev"] if narrow else []
    try:
        if narrow:
            subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
            subprocess.run(["mount", "--bind", "/dev", str(root / "dev")], check=True)
        subprocess.run([*into, "wineboot", "-i"], env=environment, check=True, capture_output=True)
        subprocess.run([*into, "wineserver", "-w"], env=environment, check=False)
        yield Wine([*into, "wine", str(home / "mytool.exe")], environment)
        subprocess.run([*into, "wineserver", "-k"], env=environment, check=False)
    finally:
        for mount in mounts:
            subprocess.run(["umount", "-l", str(mount)], check=False)
        if narrow:
            shutil.rmtree(inside, ignore_errors=True)


def _libdw_tells_registers() -> bool:
    """Since elfutils 0.188; without, a stack ends where Windows code begins."""
    try:
        return hasattr(ctypes.CDLL("libdw.so.1"), "dwfl_frame_reg")
    except OSError:
        return False


def _refused_in_tool(run: Any) -> Any:
    tool = next(p for p in run.timeline["processes"] if p["name"] == "mytool.exe")
    return [event for event in run.refused() if event["proc"] == tool["proc"]]


def test_healthy_wine_raises_no_alarm_and_keeps_its_output(wine: Wine, trace: Any) -> None:
    alone = subprocess.run(wine.tool, env=wine.environment, capture_output=True, text=True)
    run = trace(*wine.tool, env=wine.environment)
    assert (run.status, run.stdout) == (0, alone.stdout)
    assert alone.returncode == 0
    assert run.refused() == []
    assert run.mismatches == 0
    assert "mytool.exe" in {process["name"] for process in run.timeline["processes"]}


def test_refused_flip_is_named_in_the_windows_process(wine: Wine, trace: Any, examples: Path) -> None:
    run = trace(examples / "refuse_length", _LENGTH, "13", *wine.tool, env=wine.environment)
    refused = _refused_in_tool(run)
    assert run.status == 3
    assert [event["call"] for event in refused] == ["mprotect"]
    diagnosis = refused[0]["diagnosis"]
    assert (diagnosis["cause"], refused[0]["errno"], diagnosis["confidence"]) == ("seccomp.errno", "EACCES", "proved")
    made_by = next(r["created_by"] for r in run.timeline["regions"] if r["id"] == refused[0]["touched"][0]["region"])
    assert run.timeline["events"][made_by - 1]["call"] in ("mmap", "mmap2")
    if _libdw_tells_registers():
        # Wine's own libraries have been left.
        frames = [Frame(**frame) for frame in refused[0]["stack"]]
        assert callers(frames)[0].module.endswith("/mytool.exe"), frames


def test_unchecked_flip_and_the_crash_name_each_other(wine: Wine, trace: Any, examples: Path) -> None:
    run = trace(examples / "refuse_length", _LENGTH, "13", *wine.tool, "unchecked", env=wine.environment)
    refused = _refused_in_tool(run)
    fault = next(event for event in run.events("fault") if event["n"] in refused[0]["diagnosis"]["related"])
    assert refused[0]["n"] in fault["diagnosis"]["related"]
    assert fault["diagnosis"]["cause"] == "fault.nx"
    assert refused[0]["diagnosis"]["aftermath"] == "crashed"


def test_wine_under_mdwe_is_refused_its_images(wine: Wine, trace: Any, examples: Path) -> None:
    run = trace(examples / "mdwe", *wine.tool, env=wine.environment)
    assert run.status == 13
    assert set(run.causes()) == {"mdwe"}
    assert {event["call"].rstrip("2") for event in run.refused()} == {"mmap"}
