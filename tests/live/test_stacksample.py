"""What is copied of a stack, tried on this very process."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Iterator, Optional, Tuple

import pytest

from wxtrace.live import procfs
from wxtrace.live.arch import thread_state
from wxtrace.live.procfs import MapsFile
from wxtrace.live.stacksample import MOST_STACK_BYTES, StackSample, sample_by

PAGE = 4096
CS_64 = 0x33


@pytest.fixture
def maps() -> Iterator[MapsFile]:
    file = MapsFile(os.getpid())
    yield file
    file.close()


def memory(pages: int, written: int) -> Tuple[mmap.mmap, int]:
    """Anonymous memory of which only the first pages were ever touched, and where it lies."""
    area = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(written):
        area[page * PAGE] = page + 1
    return area, ctypes.addressof(ctypes.c_char.from_buffer(area))


class Registers:
    """Of 64-bit code; those that are not given are 0."""

    def __init__(self, **values: int) -> None:
        self.__dict__.update(values, cs=CS_64)

    def __getattr__(self, name: str) -> int:
        return 0


def sample(maps: MapsFile, **registers: int) -> Optional[StackSample]:
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    try:
        found = sample_by(memory, os.getpid(), thread_state(Registers(**registers)))
    finally:
        os.close(memory)
    return found[0] if found else None


def test_a_stack_from_its_red_zone_to_the_last_page_with_contents(maps: MapsFile) -> None:
    area, at = memory(pages=8, written=3)
    found = sample(maps, rsp=at + 0x800, rbp=at + 0x900)

    assert found is not None
    [(start, data)] = found.windows
    assert (start, start + len(data)) == (at + 0x800 - 128, at + 3 * PAGE)
    assert found.read(at + PAGE, 1) == b"\x02" and found.read(at + 3 * PAGE - 1, 2) is None
    assert len(area) == 8 * PAGE


def test_no_more_than_a_bounded_part(maps: MapsFile) -> None:
    area, at = memory(pages=40, written=40)
    found = sample(maps, rsp=at)

    assert found is not None and len(found.windows[0][1]) == MOST_STACK_BYTES
    assert len(area) == 40 * PAGE


def test_a_frame_pointer_to_another_stack(maps: MapsFile) -> None:
    one, here = memory(pages=2, written=2)
    two, there = memory(pages=2, written=2)
    gap, _ = memory(pages=1, written=1)
    found = sample(maps, rsp=min(here, there), rbp=max(here, there) + 16)

    assert found is not None
    covered = found.read(max(here, there) + 16, 8)
    assert covered is not None and found.fp == max(here, there) + 16
    assert len(one) == len(two) and len(gap) == PAGE


@pytest.mark.parametrize("sp", [0, 8, (1 << 64) - 1, 1 << 63])
def test_a_stack_pointer_to_nowhere(maps: MapsFile, sp: int) -> None:
    assert sample(maps, rsp=sp, rbp=(1 << 64) - 1, gs_base=1 << 62) is None


def test_executable_mappings_with_their_files(maps: MapsFile) -> None:
    _, at = memory(pages=1, written=1)
    found = sample(maps, rsp=at)

    assert found is not None
    assert all("x" in line.perms for line in found.mappings)
    assert any("libc" in line.path for line in found.mappings)
    assert found.headers == ()


def test_windows_code_has_a_stack_of_its_own(maps: MapsFile) -> None:
    """Found by the NT_TIB that %gs points to: base, limit, and its own address."""
    _, at = memory(pages=1, written=1)
    area, stack = memory(pages=8, written=0)
    area[6 * PAGE : 8 * PAGE] = b"w" * (2 * PAGE)
    block, teb = memory(pages=1, written=1)
    block[8:24] = (stack + 8 * PAGE).to_bytes(8, "little") + stack.to_bytes(8, "little")
    block[48:56] = teb.to_bytes(8, "little")
    found = sample(maps, rsp=at, gs_base=teb)
    block[48:56] = bytes(8)
    other = sample(maps, rsp=at, gs_base=teb)

    assert found is not None and other is not None
    assert (stack + 6 * PAGE, b"w" * (2 * PAGE)) in found.windows
    assert len(other.windows) == 1


def test_an_older_kernel_tells_the_same(maps: MapsFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.11 the whole of maps has to be read."""
    asked = maps.executable(1000)
    monkeypatch.setattr(procfs, "PROCMAP_QUERY", 0)
    with_text = MapsFile(os.getpid())

    # The gate page is no mapping, and only shown in the text.
    assert [line for line in with_text.executable(1000) if line.path != "[vsyscall]"] == asked
    assert with_text.executable(2) == asked[:2]
    with_text.close()
