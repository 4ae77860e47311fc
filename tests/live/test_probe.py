"""What is looked at after a failed call, and how much of it in a program that fails all the time."""

from __future__ import annotations

import os
from typing import List

import pytest

from wxtrace.live import probe
from wxtrace.live.task import Space, Task
from wxtrace.model.calls import Request
from wxtrace.model.facts import BY_KERNEL, Call

ENOMEM, EACCES = -12, -13


def test_the_first_failure_of_a_kind_is_looked_at_in_full_however_many_there_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One look at 65,530 mappings used up the time there is for all, and the next kind of failure was unknown."""
    monkeypatch.setattr(probe, "BUDGET_SECONDS", 0.0)
    prober = probe.Prober()
    task = Task(os.getpid(), os.getpid(), Space(1))

    def short(*failures: int, prot: int = 5) -> List[bool]:
        request = Request("mmap", 0, 4096, prot, 0x22, -1)
        calls = [Call(task.tid, 0, 0, 9, (0, 4096, prot, 0x22, 0, 0), result, BY_KERNEL) for result in failures]
        return [prober.probe(task, "mmap", request, call).short for call in calls]

    assert short(ENOMEM, ENOMEM, -11, ENOMEM) == [False, True, False, True]
    assert short(ENOMEM, prot=3) == [False]
