"""Causes in the descriptor, the file and its mount, provoked in the real kernel."""

from __future__ import annotations

from typing import Callable

import pytest
from cases import ARGUMENTS, FAILED, PROBE, SMAPS, Case, Family, check

pytestmark = pytest.mark.trace

FD, INFO = "/proc/PID/fd", "/proc/PID/fdinfo/"
READ_ONLY, WRITE_ONLY = "was opened O_RDONLY", "was opened O_WRONLY"
CASES = [
    Case("write-mode-mmap", "mmap", "EACCES", "fd.write-mode", INFO + "3", READ_ONLY, first=True),
    Case("write-mode-validate", "mmap", "EACCES", "fd.write-mode", INFO + "3", READ_ONLY, first=True),
    Case("write-mode-mprotect", "mprotect", "EACCES", "fd.write-mode", SMAPS, "its descriptor was O_RDONLY"),
    Case("segment-mprotect", "mprotect", "EACCES", "fd.write-mode", SMAPS, "attached with SHM_RDONLY"),
    Case("read-mode", "mmap", "EACCES", "fd.read-mode", INFO + "4", WRITE_ONLY, first=True),
    Case("read-mode-none", "mmap", "EACCES", "fd.read-mode", INFO + "4", WRITE_ONLY, first=True),
    Case("append-only", "mmap", "EACCES", "fd.append-only", "FS_IOC_GETFLAGS", "append-only attribute", first=True),
    Case("closed", "mmap", "EBADF", "fd.bad", FD, "99 is not open", FAILED),
    Case("path-only", "mmap", "EBADF", "fd.bad", FD, "opened O_PATH", FAILED),
    Case("directory", "mmap", "ENODEV", "fd.not-mappable", FD, "is /tmp", FAILED),
    Case("pipe", "mmap", "ENODEV", "fd.not-mappable", FD, "is pipe:[", FAILED),
    Case("null", "mmap", "ENODEV", "fd.not-mappable", FD, "is /dev/null", FAILED),
    Case("overflow", "mmap", "EOVERFLOW", "fd.offset-overflow", ARGUMENTS, "offset 0x7ffffffffffff000", FAILED),
    Case("no-dax", "mmap", "EOPNOTSUPP", "fd.no-dax", ARGUMENTS, "flags hold MAP_SYNC", PROBE),
    Case("driver-mmap", "mmap", "EIO", "fd.driver", FD, "is /proc/version", FAILED),
    Case("uring-offset", "mmap", "ENOMEM", "fd.driver", FD, "is anon_inode:[io_uring]", FAILED),
    Case("perf-pages", "mmap", "EINVAL", "fd.driver", FD, "is anon_inode:[perf_event]", FAILED),
    Case("driver-writable", "mmap", "EACCES", "fd.driver", FD, "is /sys/kernel/btf", first=True),
    Case("driver-mprotect", "mprotect", "EACCES", "fd.driver", SMAPS, "VM_MAYWRITE is missing"),
    Case("proc-code", "mmap", "EPERM", "superblock.noexec", "/proc/PID/mountinfo", "it lies on proc"),
    Case("secret-code", "mmap", "EPERM", "superblock.noexec", FD, "is /secretmem"),
    Case("secret-mprotect", "mprotect", "EACCES", "superblock.noexec", SMAPS, "VM_MAYEXEC is missing"),
    Case("secret-private", "mmap", "EINVAL", "secretmem", ARGUMENTS, "MAP_PRIVATE was asked", FAILED),
    Case("seal-mmap", "mmap", "EPERM", "memfd.write-seal", "F_GET_SEALS", "has seals 0x8"),
    Case("future-seal-mmap", "mmap", "EPERM", "memfd.write-seal", "F_GET_SEALS", "has seals 0x10"),
    Case("seal-mprotect", "mprotect", "EACCES", "memfd.write-seal", SMAPS, "`ms sh` without `mw`"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_cause(family: Callable[[str], Family], case: Case) -> None:
    check(family("cause_descriptor"), case)


def test_a_command_never_names_a_file_that_is_gone(family: Callable[[str], Family]) -> None:
    event = family("cause_descriptor").event("append-only", "mmap")
    assert [fix["command"] for fix in event["diagnosis"]["fixes"]] == [None, None]
