"""--same-cpu: everything the program starts sees one processor; without it nothing changes."""

from __future__ import annotations

import os
from typing import Dict

import pytest
from processes import run_wxtrace

pytestmark = pytest.mark.trace

SEEN = ("sh", "-c", "grep Cpus_allowed_list /proc/self/status")


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="only one processor")
def test_the_program_sees_one_processor_only_when_asked(environment: Dict[str, str]) -> None:
    plain = run_wxtrace(environment, "-q", "--", *SEEN).stdout
    pinned = run_wxtrace(environment, "-q", "--same-cpu", "--", *SEEN).stdout

    assert pinned.split()[1].isdigit()
    with open("/proc/self/status") as file:
        assert plain in file.readlines()


def test_it_is_not_for_running_programs(environment: Dict[str, str]) -> None:
    done = run_wxtrace(environment, "--same-cpu", "-p", str(os.getpid()))

    assert done.returncode == 125
    assert "a running one keeps its processors" in done.stderr
