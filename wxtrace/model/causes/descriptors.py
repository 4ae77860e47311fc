"""Refusals that come from the descriptor, the file behind it or its mount, at mmap (mm/mmap.c:do_mmap)."""

from __future__ import annotations

import shlex
from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, PROVED, Finding, Refusal, admin, developer, seen
from wxtrace.model.event import Evidence, Fix

__all__ = [
    "append_only",
    "bad_descriptor",
    "noexec_at_mmap",
    "not_mappable",
    "offset_overflow",
    "read_mode",
    "remount_fix",
    "write_mode",
    "write_sealed_at_mmap",
]

_ACCESS_MODE, _O_RDONLY, _O_WRONLY, _O_PATH = 3, 0, 1, 0o10000000
_F_SEAL_WRITE, _F_SEAL_FUTURE_WRITE = 8, 16
_NAMES = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR"}


def _shared(refusal: Refusal) -> bool:
    return refusal.request.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE)


def _mode(refusal: Refusal) -> Optional[int]:
    descriptor = refusal.probe.descriptor
    return None if descriptor is None or descriptor.flags is None else descriptor.flags & _ACCESS_MODE


def _opened(refusal: Refusal) -> Evidence:
    descriptor = refusal.probe.descriptor
    mode = _mode(refusal)
    assert descriptor is not None and mode is not None
    return seen(
        "descriptor %d (%s) was opened %s" % (refusal.request.fd, descriptor.link, _NAMES.get(mode, str(mode))),
        "/proc/PID/fdinfo/%d" % refusal.request.fd,
    )


def _confidence(refusal: Refusal) -> str:
    """A security module is asked first (mm/util.c:vm_mmap_pgoff): with one at work this is not the only reading."""
    return PROVED if refusal.kernel_decided and not refusal.lsm_may_refuse else CONSISTENT


def bad_descriptor(refusal: Refusal) -> Optional[Finding]:
    """EBADF: closed, or opened O_PATH."""
    if refusal.errno != "EBADF" or refusal.request.name != "mmap":
        return None
    descriptor = refusal.probe.descriptor
    if descriptor is not None and descriptor.link and (descriptor.flags or 0) & _O_PATH:
        fact = "descriptor %d was opened O_PATH" % refusal.request.fd
    else:
        fact = "descriptor %d is not open" % refusal.request.fd
    return Finding(
        "fd.bad",
        PROVED,
        "the descriptor cannot be mapped: " + fact,
        (seen(fact, "/proc/PID/fd"),),
        (developer("Pass MAP_ANONYMOUS, or a descriptor opened for reading."),),
    )


def write_mode(refusal: Refusal) -> Optional[Finding]:
    """A writable shared mapping needs a descriptor opened for reading and writing."""
    wants_write = bool(refusal.wants & f.PROT_WRITE)
    if refusal.errno != "EACCES" or _mode(refusal) != _O_RDONLY or not (_shared(refusal) and wants_write):
        return None
    return Finding(
        "fd.write-mode",
        _confidence(refusal),
        "a shared writable mapping needs a descriptor opened for writing, and this one is read-only",
        (_opened(refusal), seen("MAP_SHARED with PROT_WRITE was asked", "the arguments of the call")),
        (developer("Open the file O_RDWR, or map it MAP_PRIVATE if the file need not change."),),
    )


def read_mode(refusal: Refusal) -> Optional[Finding]:
    """Every mapping needs a readable descriptor, PROT_NONE and PROT_WRITE alike."""
    if refusal.errno != "EACCES" or _mode(refusal) != _O_WRONLY:
        return None
    return Finding(
        "fd.read-mode",
        _confidence(refusal),
        "every mapping needs a descriptor opened for reading, whatever its protection, and this one is write-only",
        (_opened(refusal),),
        (developer("Open the file O_RDWR."),),
    )


def append_only(refusal: Refusal) -> Optional[Finding]:
    """An append-only inode on a writable descriptor cannot be mapped shared."""
    descriptor = refusal.probe.descriptor
    if refusal.errno != "EACCES" or descriptor is None or not descriptor.append_only or not _shared(refusal):
        return None
    return Finding(
        "fd.append-only",
        _confidence(refusal),
        "the file is append-only, and a shared mapping through a writable descriptor could change it anywhere",
        (_opened(refusal), seen("the file has the append-only attribute", "FS_IOC_GETFLAGS")),
        (
            developer("Map it through an O_RDONLY descriptor, or MAP_PRIVATE."),
            admin("Remove the attribute.", "chattr -a FILE"),
        ),
    )


def noexec_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """EPERM for PROT_EXEC on a noexec mount, or on a file system that is noexec by nature (fs/exec.c:path_noexec)."""
    descriptor = refusal.probe.descriptor
    if refusal.errno != "EPERM" or descriptor is None or not refusal.wants & f.PROT_EXEC:
        return None
    mount = descriptor.mount
    if mount is not None and "noexec" in mount.options.split(","):
        return Finding(
            "mount.noexec",
            PROVED if refusal.kernel_decided else CONSISTENT,
            "the file lies on a mount with the noexec option (%s)" % mount.point,
            (
                seen("descriptor %d is %s" % (refusal.request.fd, descriptor.link), "/proc/PID/fd"),
                seen("%s is mounted %s" % (mount.point, mount.options), "/proc/PID/mountinfo"),
            ),
            (
                developer("Put the file where execution is allowed (TMPDIR=… for self-extracting programs)."),
                remount_fix(mount.point),
            ),
        )
    if descriptor.link.startswith(("anon_inode:", "/secretmem", "/proc/", "/sys/")) or (
        mount is not None and mount.fstype in ("proc", "sysfs", "mqueue", "cgroup2")
    ):
        return Finding(
            "superblock.noexec",
            CONSISTENT,
            "this kind of file can never be executed, whatever the mount says",
            (seen("descriptor %d is %s" % (refusal.request.fd, descriptor.link), "/proc/PID/fd"),),
            (developer("Map it without PROT_EXEC."),),
        )
    return None


def remount_fix(point: str) -> Fix:
    """The command that lifts noexec; existing mappings keep their limits all the same."""
    safe = point if point.isprintable() else None
    return admin(
        "Allow execution on that mount (mappings made before keep the old rule).",
        "mount -o remount,exec " + shlex.quote(safe) if safe else None,
    )


def write_sealed_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """EPERM for a writable shared mapping of a write-sealed memfd (mm/memfd.c:memfd_check_seals_mmap)."""
    descriptor = refusal.probe.descriptor
    if refusal.errno != "EPERM" or descriptor is None or not descriptor.seals or not _shared(refusal):
        return None
    if not refusal.wants & f.PROT_WRITE or not descriptor.seals & (_F_SEAL_WRITE | _F_SEAL_FUTURE_WRITE):
        return None
    return Finding(
        "memfd.write-seal",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "the memfd is sealed against writing, so no writable shared mapping can be made any more",
        (
            seen(
                "descriptor %d (%s) has seals %#x" % (refusal.request.fd, descriptor.link, descriptor.seals),
                "F_GET_SEALS",
            ),
        ),
        (developer("Make the writable mapping before the seal is set, or map it MAP_PRIVATE."),),
    )


def not_mappable(refusal: Refusal) -> Optional[Finding]:
    """ENODEV: the object has no mmap operation."""
    if refusal.errno != "ENODEV" or refusal.request.name != "mmap":
        return None
    descriptor = refusal.probe.descriptor
    kind = (descriptor.kind if descriptor else None) or "this kind of file"
    return Finding(
        "fd.not-mappable",
        PROVED,
        "a %s cannot be mapped at all" % kind,
        (seen("descriptor %d is %s" % (refusal.request.fd, descriptor.link if descriptor else "?"), "/proc/PID/fd"),),
        (developer("Read it instead of mapping it."),),
    )


def offset_overflow(refusal: Refusal) -> Optional[Finding]:
    """EOVERFLOW: the end of the mapping lies beyond the largest file offset."""
    if refusal.errno != "EOVERFLOW" or refusal.request.name != "mmap":
        return None
    return Finding(
        "fd.offset-overflow",
        PROVED,
        "offset and length reach beyond the largest file offset",
        (
            seen(
                "offset %#x, length %#x" % (refusal.request.offset, refusal.request.length), "the arguments of the call"
            ),
        ),
        (developer("Check the offset computation."),),
    )
