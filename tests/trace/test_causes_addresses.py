"""Causes in the address range itself, provoked in the real kernel."""

from __future__ import annotations

from typing import Callable, Optional

import pytest
from cases import ARGUMENTS, FAILED, PROBE, REFUSED, SMAPS, Case, Family, check

pytestmark = pytest.mark.trace

AFTER, MAPPED, MAPS = "/proc/PID/smaps after the call", "/proc/PID/smaps", "/proc/PID/maps"


def address(
    name: str, call: str, errno: Optional[str], cause: str, source: str, fact: str, outcome: str = REFUSED
) -> Case:
    return Case(name, call, errno, "address." + cause, source, fact, outcome)


CASES = [
    address("unmapped-start", "mprotect", "ENOMEM", "unmapped", AFTER, "no mapping at", FAILED),
    address("unmapped-middle", "mprotect", "ENOMEM", "unmapped", AFTER, "no mapping at", FAILED),
    address("unmapped-end", "mprotect", "ENOMEM", "unmapped", AFTER, "no mapping at", FAILED),
    address("unmapped-mremap", "mremap", "EFAULT", "unmapped", AFTER, "no mapping at", FAILED),
    address("unmapped-mseal", "mseal", "ENOMEM", "unmapped", AFTER, "no mapping at", FAILED),
    address("unmapped-madvise", "madvise", "ENOMEM", "unmapped", AFTER, "no mapping at", FAILED),
    address("unmapped-remap", "remap_file_pages", "EINVAL", "unmapped", AFTER, "no mapping at", FAILED),
    address("segment-no-gap", "shmat", "ENOMEM", "no-room", MAPS, "the largest gap has", PROBE),
    address("heap-covered", "brk", None, "brk-collision", MAPPED, "the next mapping starts at", PROBE),
    address("occupied", "mmap", "EEXIST", "occupied", MAPPED, "(anonymous) is mapped", PROBE),
    address("segment-occupied", "shmat", "EINVAL", "occupied", MAPPED, "(anonymous) is mapped", PROBE),
    address("low-mmap", "mmap", "EPERM", "below-minimum", "CapEff in /proc/PID/status", "CAP_SYS_RAWIO is missing"),
    address("low-noreplace", "mmap", "EPERM", "below-minimum", "/proc/sys/vm/mmap_min_addr", "vm.mmap_min_addr = "),
    address("low-mremap", "mremap", "EPERM", "below-minimum", ARGUMENTS, "address 0"),
    address("no-gap", "mmap", "ENOMEM", "no-room", MAPS, "the largest gap has", PROBE),
    address("no-low-gap", "mmap", "ENOMEM", "no-room", MAPS, "the largest gap has", PROBE),
    address("beyond-the-end", "mmap", "ENOMEM", "no-room", ARGUMENTS, "8 KiB asked", PROBE),
    address("in-the-way", "mremap", "ENOMEM", "no-room", MAPPED, "is mapped behind it", PROBE),
    address("vvar-writable", "mprotect", "EACCES", "special-mapping", SMAPS, "VM_MAYWRITE is missing"),
    address("vdso-in-part", "mprotect", "EINVAL", "special-mapping", MAPPED, "only a part of", FAILED),
    address("vdso-unmapped-in-part", "munmap", "EINVAL", "special-mapping", MAPPED, "only a part of", FAILED),
    address("vdso-grown", "mremap", "EFAULT", "special-mapping", SMAPS, "VM_DONTEXPAND or VM_PFNMAP", FAILED),
    address("vdso-left-behind", "mremap", "EINVAL", "special-mapping", SMAPS, "VM_DONTEXPAND or VM_PFNMAP", FAILED),
    address("watched-behind", "mremap", "EFAULT", "special-mapping", SMAPS, "userfaultfd watches", FAILED),
    address("watched-behind-a-hole", "mremap", "EFAULT", "special-mapping", SMAPS, "userfaultfd watches", FAILED),
    address("remap-in-a-hole", "remap_file_pages", "EINVAL", "unmapped", AFTER, "no mapping at", FAILED),
    address("vsyscall", "mprotect", "ENOMEM", "special-mapping", MAPPED, "[vsyscall]", FAILED),
    address("above-the-heap", "brk", None, "brk-collision", MAPPED, "the next mapping starts at", PROBE),
    Case("across", "mremap", "EFAULT", "argument.length", MAPPED, "the first mapping of the range ends at", FAILED),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cause(family: Callable[[str], Family], case: Case) -> None:
    check(family("cause_address"), case)
