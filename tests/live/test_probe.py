"""What is looked at after a failed call, and how much of it in a program that fails all the time."""

from __future__ import annotations

import os
from typing import List

import pytest
from processes import answered

from wxtrace.decoders.procmaps import MapLine
from wxtrace.live import probe
from wxtrace.live.task import Space, Task
from wxtrace.model.facts import BY_KERNEL, Call, Probe
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.table import BY_NAME

ENOMEM, EACCES = -12, -13


def test_the_first_failure_of_a_kind_is_looked_at_in_full_however_many_there_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One look at 65,530 mappings used up the time there is for all, and the next kind of failure was unknown."""
    monkeypatch.setattr(probe, "BUDGET_SECONDS", 0.0)
    prober = probe.Prober()
    task = Task(os.getpid(), os.getpid(), Space(1))

    def short(*failures: int, prot: int = 5) -> List[bool]:
        request = Mmap(0, 4096, prot, 0x22, -1, 0)
        calls = [Call(task.tid, 0, 0, 9, (0, 4096, prot, 0x22, 0, 0), result, BY_KERNEL) for result in failures]
        return [answered(prober.probe(task, BY_NAME["mmap"], request, call)).short for call in calls]

    assert short(ENOMEM, ENOMEM, -11, ENOMEM) == [False, True, False, True]
    assert short(ENOMEM, prot=3) == [False]


def probes(prober: probe.Prober, *inodes: int) -> List[Probe]:
    """mprotect(PROT_READ|PROT_WRITE) of one shared mapping of each of these files is refused."""
    task = Task(os.getpid(), os.getpid(), Space(1))
    call = Call(task.tid, 0, 0, 10, (0x10000, 4096, 3, 0, 0, 0), EACCES, BY_KERNEL)
    request = Mprotect(0x10000, 4096, 3)
    lines = [MapLine(0x10000, 0x11000, "r--s", 0, "08:01", inode, "/f") for inode in inodes]
    return [answered(prober.probe(task, BY_NAME["mprotect"], request, call, [line])) for line in lines]


def test_a_call_on_other_memory_is_another_kind_of_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call with the same error, on a sealed memfd, was told as that of a read-only file before it."""
    monkeypatch.setattr(probe, "BUDGET_SECONDS", 0.0)
    assert [one.short for one in probes(probe.Prober(), 1, 1, 2)] == [False, True, False]


def test_a_short_look_has_what_is_quick_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal by RLIMIT_AS was told as a failure of the loop before it, because nobody read the limits."""
    monkeypatch.setattr(probe, "BUDGET_SECONDS", 0.0)
    _, again = probes(probe.Prober(), 1, 1)
    assert again.short and "Max address space" in again.limits and "VmSize" in again.status
    assert not again.vmas and not again.vmas_complete


def test_a_program_that_fails_in_ever_new_ways_is_not_held_up_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BUDGET_SECONDS", 0.0)
    monkeypatch.setattr(probe, "MOST_DEBT_SECONDS", 0.0)
    assert [one.short for one in probes(probe.Prober(), 1, 2)] == [True, True]
