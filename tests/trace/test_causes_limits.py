"""Limits of the process and of memory itself, reached in the real kernel."""

from __future__ import annotations

from typing import Callable, Optional

import pytest
from cases import PROBE, REFUSED, Case, Family, check

pytestmark = pytest.mark.trace

ADMIN = "administrator"
SIZE, DATA, LOCKED = ("%s in /proc/PID/status" % name for name in ("VmSize", "VmData", "VmLck"))


def limit(name: str, call: str, cause: str, source: str, fact: str = "bytes", errno: Optional[str] = "ENOMEM") -> Case:
    return Case(name, call, errno, "limit." + cause, source, fact, fix=ADMIN)


CASES = [
    limit("data-mmap", "mmap", "data", DATA),
    limit("data-mprotect", "mprotect", "data", DATA),
    limit("data-mremap", "mremap", "data", DATA),
    limit("data-brk", "brk", "data", DATA, errno=None),
    limit("space-mmap", "mmap", "address-space", SIZE),
    limit("space-mremap", "mremap", "address-space", SIZE),
    limit("space-brk", "brk", "address-space", SIZE, errno=None),
    limit("locked-mmap", "mmap", "memlock", LOCKED, "0 bytes locked", "EAGAIN"),
    limit("locked-from-now-on", "mmap", "memlock", LOCKED, "0 bytes locked", "EAGAIN"),
    limit("locked-not-at-all", "mmap", "memlock", "Max locked memory in /proc/PID/limits", "soft limit 0", "EPERM"),
    limit("locked-mremap", "mremap", "memlock", LOCKED, "4096 bytes locked", "EAGAIN"),
    limit("locked-brk", "brk", "memlock", LOCKED, "4096 bytes locked", None),
    limit("space-shmat", "shmat", "address-space", SIZE),
    limit("space-dontunmap", "mremap", "address-space", SIZE),
    limit("locked-shmat", "shmat", "memlock", LOCKED, "0 bytes locked", "EAGAIN"),
    limit("locked-secret", "mmap", "memlock", LOCKED, "0 bytes locked", "EAGAIN"),
    limit("perf-ring", "mmap", "memlock", "VmPin in /proc/PID/status", "0 bytes pinned", "EPERM"),
    limit("no-descriptor", "memfd_create", "fds", "Max open files in /proc/PID/limits", "soft limit 3", "EMFILE"),
]
OVERCOMMIT, HUGE = "limit.overcommit", "limit.hugepages"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_limit_of_the_process(family: Callable[[str], Family], case: Case) -> None:
    check(family("cause_limit"), case)


@pytest.mark.parametrize(
    "case",
    [
        Case("more-than-memory", "mmap", "ENOMEM", OVERCOMMIT, "/proc/meminfo", "64 TiB asked", PROBE, ADMIN),
        Case("more-than-memory-later", "mprotect", "ENOMEM", OVERCOMMIT, "/proc/meminfo", "asked", REFUSED, ADMIN),
        Case("no-huge-pages", "mmap", "ENOMEM", HUGE, "/proc/meminfo", "HugePages_Free is", PROBE, ADMIN),
        Case("no-huge-pages-of-a-file", "mmap", "ENOMEM", HUGE, "/proc/meminfo", "HugePages_Free is", PROBE, ADMIN),
        Case("no-huge-pages-of-a-size", "mmap", "ENOMEM", HUGE, "/sys/kernel/mm/hugepages", "1 GiB", PROBE, ADMIN),
    ],
    ids=lambda case: case.name,
)
def test_limit_of_the_machine(family: Callable[[str], Family], case: Case) -> None:
    taken = family("cause_limit")
    host = taken.run.timeline["host"]["sysctl"]
    if case.cause == OVERCOMMIT and host["vm.overcommit_memory"] != "0":
        pytest.skip("vm.overcommit_memory is not 0 on this machine")
    check(taken, case)
