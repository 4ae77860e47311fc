"""Reading without waiting: what the kernel keeps of a file, and memory whose pages are there."""

from __future__ import annotations

import ctypes
import mmap
import os
import stat
from pathlib import Path

import pytest

from wxtrace.live.procfs import pages_with_contents, read_memory
from wxtrace.live.statx import known_file

PAGE = 4096


def test_the_file_behind_a_link_of_proc(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o4711)
    with path.open() as file:
        known, found = known_file("/proc/self/fd/%d" % file.fileno()), os.stat(path)
        [mount] = [
            line for line in Path("/proc/self/fdinfo/%d" % file.fileno()).read_text().splitlines() if "mnt" in line
        ]

    assert (known.mode, known.uid, known.gid) == (stat.S_IFREG | 0o4711, found.st_uid, found.st_gid)
    assert known.dev == "%02x:%02x" % (os.major(found.st_dev), os.minor(found.st_dev))
    assert known.mount in (None, int(mount.split()[1]))


def test_a_link_that_is_gone() -> None:
    with pytest.raises(FileNotFoundError):
        known_file("/proc/self/fd/100000")


def test_memory_is_read_where_every_page_has_contents() -> None:
    area = mmap.mmap(-1, 3 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    at = ctypes.addressof(ctypes.c_char.from_buffer(area))
    area[PAGE] = 7

    assert pages_with_contents(os.getpid(), at + 1, at + 3 * PAGE) == [
        (at, False),
        (at + PAGE, True),
        (at + 2 * PAGE, False),
    ]
    assert read_memory(os.getpid(), at + PAGE, 2) == b"\7\0"
    assert read_memory(os.getpid(), at + PAGE, PAGE + 1) is None
    assert read_memory(os.getpid(), at + PAGE - 1, 2) is None


@pytest.mark.parametrize("address", [0, 8, (1 << 64) - 8, 1 << 63])
def test_memory_that_is_nowhere(address: int) -> None:
    assert read_memory(os.getpid(), address, 8) is None
