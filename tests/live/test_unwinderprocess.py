"""The unwinding process, fed with samples made by hand: files that lie or vanish, and a libdw that crashes or hangs."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from elf_files import TEXT, Symbol, elf_file

from wxtrace.decoders.procmaps import MapLine
from wxtrace.live import unwinderprocess
from wxtrace.live.libdw import Libdw, load_libdw
from wxtrace.live.modulefiles import Modules
from wxtrace.live.stacksample import StackSample
from wxtrace.live.unwinderprocess import unwind
from wxtrace.model.frames import Frame

BASE, STACK = 0x7F0000000000, 0x7FFF00000000
CALL = bytes.fromhex("e800000000")
CODE = (b"\x90" * 16 + CALL + b"\x90" * 11) * 8
"""A call instruction ends 21 bytes behind each multiple of 32."""
INNER, OUTER = Symbol(b"inner", TEXT, 64), Symbol(b"outer", TEXT + 64, 64)
LIBRARY = elf_file(symbols=[INNER, OUTER], code=CODE)
CALLERS = [("inner", 0), ("outer", 64 + 21)]
"""Of a sample of that library, whose first segment is its code."""


@pytest.fixture
def root() -> Iterator[int]:
    fd = os.open("/", os.O_PATH)
    yield fd
    os.close(fd)


def mapping(file: Path, **changes: Any) -> MapLine:
    """The code of this file, mapped at BASE + TEXT."""
    found = file.stat()
    dev = "%02x:%02x" % (os.major(found.st_dev), os.minor(found.st_dev))
    line = MapLine(BASE + TEXT, BASE + TEXT + 0x1000, "r-xp", TEXT, dev, found.st_ino, str(file))
    return line._replace(**changes)


def sample(*lines: MapLine) -> StackSample:
    """At the start of `inner`, which `outer` has called."""
    words = [BASE + TEXT + 64 + 21, 0, 0, 0]
    registers = [0] * 17
    registers[7], registers[16] = STACK, BASE + TEXT
    return StackSample(1, 64, tuple(registers), ((STACK, struct.pack("<4Q", *words)),), lines, b"")


def told(frames: List[Frame]) -> List[Tuple[Any, int]]:
    return [(frame.symbol, frame.offset) for frame in frames]


def test_where_libdw_is_loaded_ptrace_is_not_nor_what_only_windows_programs_need() -> None:
    code = "import sys, wxtrace.live.unwinderprocess; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "wxtrace.live.libdw" in done.stdout.split()
    assert not {"ptrace", "construct"} & {name.partition(".")[0] for name in done.stdout.split()}


def test_a_sample_survives_its_journey(tmp_path: Path) -> None:
    whole = sample(MapLine(1, 2, "r-xp", 0, "00:01", 7, "/caf\udce9"))._replace(vdso=b"\x7fELF", bits=32)

    assert StackSample.unpacked(whole.packed()) == whole


def test_functions_of_a_library(tmp_path: Path, root: int) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(LIBRARY)

    assert told(unwind(sample(mapping(path)), root, None)) == CALLERS


def test_a_library_in_the_targets_own_root(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(LIBRARY)
    inside = os.open(tmp_path, os.O_PATH)

    assert told(unwind(sample(mapping(path, path="/library.so")), inside, None)) == CALLERS
    os.close(inside)


def other_file(path: Path) -> MapLine:
    path.write_bytes(LIBRARY)
    line = mapping(path)
    path.rename(path.with_name("replaced"))
    path.write_bytes(LIBRARY)
    return line


def deleted_file(path: Path) -> MapLine:
    path.write_bytes(LIBRARY)
    line = mapping(path, path=str(path) + " (deleted)")
    path.unlink()
    return line


def pipe(path: Path) -> MapLine:
    os.mkfifo(path)
    return mapping(path)


def garbage(path: Path) -> MapLine:
    path.write_bytes(b"\x7fELF\x02\x01\x01" + os.urandom(8000))
    return mapping(path)


def cut(path: Path) -> MapLine:
    path.write_bytes(LIBRARY[:100])
    return mapping(path)


def windows(path: Path) -> MapLine:
    path.write_bytes(b"MZ" + bytes(8000))
    return mapping(path)


@pytest.mark.parametrize("make", [other_file, deleted_file, pipe, garbage, cut, windows])
@pytest.mark.parametrize("libdw", [None, load_libdw()], ids=["without libdw", "with libdw"])
def test_a_file_that_is_no_help_leaves_module_and_offset(
    make: Callable[[Path], MapLine], libdw: Any, tmp_path: Path, root: int
) -> None:
    frames = unwind(sample(make(tmp_path / "library.so")), root, libdw)

    assert frames[0] == Frame(str(tmp_path / "library.so"), TEXT)
    assert all(frame.symbol is None for frame in frames)


def test_the_name_of_a_deleted_file_has_no_mark(tmp_path: Path, root: int) -> None:
    frames = unwind(sample(deleted_file(tmp_path / "library.so")), root, None)

    assert frames[0].module == str(tmp_path / "library.so")


def test_an_address_outside_of_all_code_has_no_frames(root: int) -> None:
    assert unwind(sample(), root, load_libdw()) == []


class Crashing(Libdw):
    """Does what a broken file may make it do."""

    def __init__(self) -> None:
        pass

    def unwind(self, sample: StackSample, modules: Modules) -> List[Any]:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # pytest's handler would tell of it
        os.kill(os.getpid(), signal.SIGSEGV)
        return []


class Hanging(Crashing):
    def unwind(self, sample: StackSample, modules: Modules) -> List[Any]:
        while True:
            signal.pause()


@pytest.mark.parametrize("broken", [Crashing(), Hanging()], ids=["crashing", "hanging"])
def test_a_broken_libdw_costs_only_its_better_answer(
    broken: Libdw, tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unwinderprocess, "PATIENCE", 0.3)
    path = tmp_path / "library.so"
    path.write_bytes(LIBRARY)

    assert told(unwind(sample(mapping(path)), root, broken)) == CALLERS


def test_when_nothing_works_there_are_no_frames(tmp_path: Path, root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(sample: StackSample, modules: Modules) -> List[Frame]:
        time.sleep(1000)
        return []

    monkeypatch.setattr(unwinderprocess, "PATIENCE", 0.2)
    monkeypatch.setattr(unwinderprocess, "_by_frame_pointers", hang)

    assert unwind(sample(garbage(tmp_path / "library.so")), root, Crashing()) == []
