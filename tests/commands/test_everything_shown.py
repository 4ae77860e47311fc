"""`--all`: one line for every call, and what is wrong with those that failed."""

from __future__ import annotations

import sys
from typing import Dict

import pytest
from processes import run_wxtrace

MISALIGNED = "import ctypes; ctypes.CDLL(None).mprotect(1, 4096, 1)"
# MAP_FIXED_NOREPLACE over a page of its own, after a call that could never work.
NOT_SHOWN = """
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
taken = libc.mmap(None, 4096, 1, 0x22, -1, 0)
for _ in range(%d):
    libc.mprotect(1, 4096, 1)
    libc.mmap(taken, 4096, 1, 0x100022, -1, 0)
"""


@pytest.mark.trace
def test_a_failed_call_is_marked_with_its_cause(environment: Dict[str, str]) -> None:
    shown = run_wxtrace(environment, "--all", "--", sys.executable, "-c", MISALIGNED).stderr
    (line,) = [line for line in shown.splitlines() if "mprotect(0x1, " in line]

    assert line.endswith("= -1 EINVAL (Invalid argument)  <failed: argument.alignment>")


@pytest.mark.trace
@pytest.mark.parametrize(("count", "words"), [(1, "(1 failed, 1 probe)"), (2, "(2 failed, 2 probes)")])
def test_the_summary_counts_what_was_not_shown(environment: Dict[str, str], count: int, words: str) -> None:
    program = NOT_SHOWN % count
    assert words in run_wxtrace(environment, "--", sys.executable, "-c", program).stderr
