"""Calls that could never work, made to the real kernel: the argument that was wrong is named."""

from __future__ import annotations

from typing import Callable, Optional

import pytest
from cases import ARGUMENTS, FAILED, PROBE, REFUSED, SMAPS, Case, Family, check

pytestmark = pytest.mark.trace

MAPPED = "/proc/PID/smaps"
Families = Callable[[str], Family]


def argument(name: str, call: str, kind: str, fact: str, errno: Optional[str] = "EINVAL") -> Case:
    return Case(name, call, errno, "argument." + kind, ARGUMENTS, fact, FAILED)


CASES = [
    argument("offset-alignment", "mmap", "alignment", "0xc is 12 bytes past"),
    argument("fixed-alignment", "mmap", "alignment", "8 bytes past"),
    argument("mprotect-alignment", "mprotect", "alignment", "8 bytes past"),
    argument("munmap-alignment", "munmap", "alignment", "8 bytes past"),
    argument("madvise-alignment", "madvise", "alignment", "8 bytes past"),
    argument("mseal-alignment", "mseal", "alignment", "8 bytes past"),
    argument("mremap-alignment", "mremap", "alignment", "8 bytes past"),
    argument("shmat-alignment", "shmat", "alignment", "8 bytes past"),
    argument("shmdt-alignment", "shmdt", "alignment", "8 bytes past"),
    argument("mmap-nothing", "mmap", "length", "the length is 0"),
    argument("munmap-nothing", "munmap", "length", "the length is 0"),
    argument("mremap-to-nothing", "mremap", "length", "the length is 0"),
    argument("remap-nothing", "remap_file_pages", "length", "the length is 0"),
    argument("mmap-wraps", "mmap", "length", "0xffffffffffffffff", "ENOMEM"),
    argument("mprotect-wraps", "mprotect", "length", "0xfffffffffffff000", "ENOMEM"),
    argument("mseal-wraps", "mseal", "length", "length 18446744073709547520"),
    argument("munmap-beyond", "munmap", "length", "the length is 0x800000000000"),
    argument("mremap-beyond", "mremap", "length", "the new length is 0x800000000000"),
    Case("mremap-copy", "mremap", "EINVAL", "argument.length", SMAPS, "is private", FAILED),
    argument("mremap-hint-alignment", "mremap", "alignment", "8 bytes past"),
    argument("mremap-to-beyond", "mremap", "length", "the new length is 0x1000"),
    argument("mremap-from-beyond", "mremap", "length", "the old length is 0x800000000000"),
    Case("remap-two-kinds", "remap_file_pages", "EINVAL", "argument.length", MAPPED, "is another mapping", FAILED),
    argument("validate-anonymous", "mmap", "flags", "flags are 0x23"),
    argument("droppable-locked", "mmap", "flags", "flags are 0x2028"),
    argument("does-not-grow-up", "mprotect", "growsdown", "PROT_GROWSUP is set"),
    argument("no-type", "mmap", "flags", "flags are 0x20"),
    argument("file-grows-down", "mmap", "flags", "MAP_GROWSDOWN and a file"),
    argument("shared-grows-down", "mmap", "flags", "MAP_GROWSDOWN and MAP_SHARED"),
    argument("validate", "mmap", "flags", "flags are 0x200000", "EOPNOTSUPP"),
    argument("fixed-without-maymove", "mremap", "flags", "flags are MREMAP_FIXED"),
    argument("mremap-unknown", "mremap", "flags", "flags are 0x100"),
    argument("mremap-resize", "mremap", "flags", "MREMAP_DONTUNMAP"),
    argument("mremap-overlap", "mremap", "flags", "overlap"),
    argument("mseal-flags", "mseal", "flags", "flags are 0x1"),
    argument("shmat-remap-nowhere", "shmat", "flags", "flags hold SHM_REMAP"),
    Case("remap-private", "remap_file_pages", "EINVAL", "argument.flags", SMAPS, "no `sh`", FAILED),
    argument("mprotect-unknown", "mprotect", "prot", "prot is 0x41"),
    argument("pkey-unknown", "pkey_mprotect", "prot", "prot is 0x41"),
    argument("remap-prot", "remap_file_pages", "prot", "prot is 0x1"),
    argument("both-directions", "mprotect", "growsdown", "both bits are set"),
    argument("does-not-grow", "mprotect", "growsdown", "does not grow down"),
    argument("shmat-nothing", "shmat", "shm", "shmid 2147483632"),
    argument("shmat-negative", "shmat", "shm", "shmid -1"),
    argument("shmdt-nothing", "shmdt", "shm", "address 0x7"),
    Case("shmat-mode", "shmat", "EACCES", "argument.shm", "/proc/sysvipc/shm", "mode 000", REFUSED),
    Case("low-break", "brk", None, "argument.pointer", "/proc/PID/stat", "start_brk is", FAILED),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_argument(family: Families, case: Case) -> None:
    check(family("cause_argument"), case)


SIZES, CPU = "/sys/kernel/mm/hugepages", "/proc/cpuinfo"
FEATURES = [
    Case("memfd-unknown", "memfd_create", "EINVAL", "memfd.flags", ARGUMENTS, "flags are 0x400", PROBE),
    Case("memfd-both", "memfd_create", "EINVAL", "memfd.flags", ARGUMENTS, "MFD_NOEXEC_SEAL|MFD_EXEC", PROBE),
    Case("memfd-long-name", "memfd_create", "EINVAL", "memfd.flags", ARGUMENTS, "flags are 0", PROBE),
    Case("memfd-no-name", "memfd_create", "EFAULT", "argument.pointer", ARGUMENTS, "it was given", FAILED),
    Case("memfd-huge-size", "memfd_create", "ENODEV", "hugetlb", SIZES, "sizes on this machine", FAILED),
    Case("huge-size", "mmap", "EINVAL", "hugetlb", SIZES, "sizes on this machine", FAILED),
    Case("huge-alignment", "mmap", "EINVAL", "hugetlb", ARGUMENTS, "address 0x7", FAILED),
    Case("huge-file", "mmap", "EINVAL", "hugetlb", "/proc/PID/fd", "cause_feature", FAILED),
    Case("key-not-allocated", "pkey_mprotect", "EINVAL", "pkey", ARGUMENTS, "key 7", FAILED),
    Case("key-not-allocated-free", "pkey_free", "EINVAL", "pkey", ARGUMENTS, "key 7", PROBE),
    Case("key-flags", "pkey_alloc", "EINVAL", "argument.flags", ARGUMENTS, "flags are 0x1", PROBE),
    Case("secret-flags", "memfd_secret", "EINVAL", "argument.flags", ARGUMENTS, "flags are 0x10", PROBE),
    Case("aio-no-events", "io_setup", "EINVAL", "argument.pointer", ARGUMENTS, "0 events", PROBE),
    Case("aio-no-pointer", "io_setup", "EFAULT", "argument.pointer", ARGUMENTS, "it was given", PROBE),
    Case("aio-no-context", "io_destroy", "EINVAL", "argument.pointer", ARGUMENTS, "context 0x1000", PROBE),
    Case("remote-advice", "process_madvise", "EBADF", "fd.bad", ARGUMENTS, "descriptor 99", PROBE),
    Case("aio-too-many", "io_setup", "EINVAL", "argument.length", ARGUMENTS, "4194305 events", PROBE),
    Case("remote-ranges", "process_madvise", "EINVAL", "argument.length", ARGUMENTS, "5000 ranges", PROBE),
    Case("filter-unknown", "seccomp", "EINVAL", "argument.flags", ARGUMENTS, "operation is 0x63", PROBE),
    Case("remote-flags", "process_madvise", "EINVAL", "argument.flags", ARGUMENTS, "flags are 0x1", PROBE),
    Case("filter-nowhere", "seccomp", "EFAULT", "argument.pointer", ARGUMENTS, "it was given", PROBE),
    Case("mdwe-bits", "prctl", "EINVAL", "argument.flags", ARGUMENTS, "bits are 0x40", PROBE),
    Case("mdwe-taken-back", "prctl", "EPERM", "argument.flags", ARGUMENTS, "bits are 0", PROBE),
]


@pytest.mark.parametrize("case", FEATURES, ids=lambda case: case.name)
def test_feature(family: Families, case: Case) -> None:
    check(family("cause_feature"), case)


@pytest.mark.parametrize(
    "name, call, cause", [("too-many-keys", "pkey_alloc", "pkey"), ("shadow-stack", "map_shadow_stack", "shadow-stack")]
)
def test_what_the_processor_lacks_is_looked_up(family: Families, name: str, call: str, cause: str) -> None:
    taken = family("cause_feature")
    if not taken.of(name, call):
        pytest.skip("this machine has it")
    event = taken.event(name, call)
    assert (event["diagnosis"]["cause"], event["outcome"]) == (cause, PROBE)
    assert "listed" in next(e["fact"] for e in event["diagnosis"]["evidence"] if e["source"] == CPU)


def test_wxtrace_owns_up_to_being_in_the_way(family: Families) -> None:
    event = family("cause_feature").event("trace-me", "ptrace")
    diagnosis = event["diagnosis"]
    assert (diagnosis["cause"], diagnosis["confidence"], event["outcome"]) == ("tracer.interference", "proved", PROBE)
    assert diagnosis["refused_by"] == "wxtrace"
    strict = family("cause_feature").event("strict-mode", "prctl")
    assert (strict["diagnosis"]["cause"], strict["outcome"]) == ("tracer.interference", PROBE)
    assert "wxtrace's own filter is there" in strict["diagnosis"]["summary"]


ADVICE = [
    ("unknown", "EINVAL", ARGUMENTS, "advice is 999"),
    ("free-of-file", "EINVAL", SMAPS, "is no private anonymous memory"),
    ("wipe-of-shared", "EINVAL", SMAPS, "is no private anonymous memory"),
    ("discard-locked", "EINVAL", SMAPS, "is locked in RAM"),
    ("guard-locked", "EINVAL", SMAPS, "is locked in RAM"),
    ("remove-anonymous", "EINVAL", SMAPS, "has no file"),
    ("remove-private", "EACCES", SMAPS, "is private"),
    ("remove-read-only", "EACCES", SMAPS, "may not be written"),
    ("fill-read-only", "EINVAL", SMAPS, "is not writable"),
]


@pytest.mark.parametrize("name, errno, source, fact", ADVICE, ids=[row[0] for row in ADVICE])
def test_advice(family: Families, name: str, errno: str, source: str, fact: str) -> None:
    check(family("cause_advice"), Case(name, "madvise", errno, "argument.advice", source, fact, PROBE))


def test_pages_that_cannot_be_filled_are_no_proof(family: Families) -> None:
    case = Case("fill-beyond-the-file", "madvise", "EFAULT", "argument.advice", ARGUMENTS, "MADV_POPULATE_READ", PROBE)
    event = family("cause_advice").event(case.name, case.call)
    assert (event["diagnosis"]["cause"], event["diagnosis"]["confidence"]) == (case.cause, "consistent")
