"""`--all`: one line for every call, and what is wrong with those that failed."""

from __future__ import annotations

import sys
from typing import Dict

import pytest
from processes import run_wxtrace

MISALIGNED = "import ctypes; ctypes.CDLL(None).mprotect(1, 4096, 1)"


@pytest.mark.trace
def test_a_failed_call_is_marked_with_its_cause(environment: Dict[str, str]) -> None:
    shown = run_wxtrace(environment, "--all", "--", sys.executable, "-c", MISALIGNED).stderr
    (line,) = [line for line in shown.splitlines() if "mprotect(0x1, " in line]

    assert line.endswith("= -1 EINVAL (Invalid argument)  <failed: argument.alignment>")
