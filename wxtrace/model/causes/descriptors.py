"""Refusals that come from the descriptor, the file behind it or its mount, at mmap (mm/mmap.c:do_mmap)."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, pasteable, seen
from wxtrace.model.event import Evidence

__all__ = [
    "append_only",
    "bad_descriptor",
    "driver_refused",
    "no_dax",
    "noexec_at_mmap",
    "not_mappable",
    "offset_overflow",
    "read_mode",
    "secret_memory",
    "swap_file",
    "write_mode",
    "write_sealed_at_mmap",
]

_ACCESS_MODE, _O_RDONLY, _O_WRONLY, _O_PATH = 3, 0, 1, 0o10000000
_F_SEAL_WRITE, _F_SEAL_FUTURE_WRITE = 8, 16
_NAMES = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR"}
_ARGUMENTS = "the arguments of the call"
_NEVER_CODE = ("proc", "sysfs", "mqueue", "cgroup2", "cgroup", "debugfs", "tracefs", "securityfs", "selinuxfs")
"""File systems whose superblock has SB_I_NOEXEC, whatever the mount says."""
_DRIVERS_OWN = frozenset({"EIO", "EINVAL", "EACCES", "ENXIO", "EAGAIN", "EPERM", "EOPNOTSUPP"})


def _shared(refusal: Refusal) -> bool:
    return refusal.old.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE)


def _of_file(refusal: Refusal) -> bool:
    return refusal.request.name == "mmap" and not refusal.old.flags & f.MAP_ANONYMOUS


def _mode(refusal: Refusal) -> Optional[int]:
    descriptor = refusal.probe.descriptor
    return None if descriptor is None or descriptor.flags is None else descriptor.flags & _ACCESS_MODE


def _path(refusal: Refusal) -> str:
    descriptor = refusal.probe.descriptor
    return descriptor.link if descriptor is not None and descriptor.link else "this descriptor"


def _is(refusal: Refusal) -> Evidence:
    return seen("descriptor %d is %s" % (refusal.old.fd, _path(refusal)), "/proc/PID/fd")


def _named(refusal: Refusal) -> Optional[str]:
    """The path for a command; a file without a name has none."""
    path = _path(refusal)
    return None if path.endswith(" (deleted)") else pasteable(path)


def _opened(refusal: Refusal) -> Evidence:
    mode = _mode(refusal) or 0
    return seen(
        "descriptor %d (%s) was opened %s" % (refusal.old.fd, _path(refusal), _NAMES.get(mode, str(mode))),
        "/proc/PID/fdinfo/%d" % refusal.old.fd,
    )


def bad_descriptor(refusal: Refusal) -> Optional[Finding]:
    """EBADF: closed, or opened O_PATH."""
    if refusal.errno != "EBADF" or refusal.request.name != "mmap":
        return None
    descriptor = refusal.probe.descriptor
    if descriptor is not None and descriptor.link and (descriptor.flags or 0) & _O_PATH:
        fact = "descriptor %d was opened O_PATH" % refusal.old.fd
    else:
        fact = "descriptor %d is not open" % refusal.old.fd
    return found(refusal, "fd.bad", seen(fact, "/proc/PID/fd"), fact=fact)


def write_mode(refusal: Refusal) -> Optional[Finding]:
    """A writable shared mapping needs a descriptor opened for reading and writing."""
    wants_write = bool(refusal.wants & f.PROT_WRITE)
    if refusal.errno != "EACCES" or _mode(refusal) != _O_RDONLY or not (_shared(refusal) and wants_write):
        return None
    asked = seen("MAP_SHARED with PROT_WRITE was asked", _ARGUMENTS)
    return found(refusal, "fd.write-mode", _opened(refusal), asked)


def read_mode(refusal: Refusal) -> Optional[Finding]:
    """Every mapping needs a readable descriptor, PROT_NONE and PROT_WRITE alike."""
    if refusal.errno != "EACCES" or _mode(refusal) != _O_WRONLY:
        return None
    return found(refusal, "fd.read-mode", _opened(refusal))


def append_only(refusal: Refusal) -> Optional[Finding]:
    """An append-only inode on a writable descriptor cannot be mapped shared."""
    descriptor = refusal.probe.descriptor
    if refusal.errno != "EACCES" or descriptor is None or not descriptor.append_only or not _shared(refusal):
        return None
    return found(
        refusal,
        "fd.append-only",
        _opened(refusal),
        seen("the file has the append-only attribute", "FS_IOC_GETFLAGS"),
        quoted_path=_named(refusal),
    )


def swap_file(refusal: Refusal) -> Optional[Finding]:
    """ETXTBSY is given for swap files only: running programs are guarded at open."""
    if refusal.errno != "ETXTBSY" or not _of_file(refusal):
        return None
    return found(refusal, "fd.swap-file", _is(refusal), quoted_path=_named(refusal))


def no_dax(refusal: Refusal) -> Optional[Finding]:
    """MAP_SYNC on a file without DAX; MAP_SHARED with the bit is refused as well, although mmap(2) says ignored."""
    if refusal.errno != "EOPNOTSUPP" or not _of_file(refusal) or not refusal.old.flags & f.MAP_SYNC:
        return None
    evidence = [seen("flags hold MAP_SYNC", _ARGUMENTS), _is(refusal)]
    mount = refusal.probe.descriptor.mount if refusal.probe.descriptor is not None else None
    if mount is not None:
        evidence.append(seen("%s is %s, %s" % (mount.point, mount.fstype, mount.super_options), "/proc/PID/mountinfo"))
    return found(refusal, "fd.no-dax", *evidence)


def noexec_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """EPERM for PROT_EXEC on a noexec mount, or on a file system that is noexec by nature (fs/exec.c:path_noexec)."""
    descriptor = refusal.probe.descriptor
    if refusal.errno != "EPERM" or descriptor is None or not refusal.wants & f.PROT_EXEC:
        return None
    mount = descriptor.mount
    if mount is not None and "noexec" in mount.options.split(","):
        shown = seen("%s is mounted %s" % (mount.point, mount.options), "/proc/PID/mountinfo")
        return found(
            refusal, "mount.noexec", _is(refusal), shown, mount=mount.point, quoted_mount=pasteable(mount.point)
        )
    fstype = mount.fstype if mount is not None else ""
    if fstype in _NEVER_CODE:
        shown = seen("it lies on %s" % fstype, "/proc/PID/mountinfo")
        return found(refusal, "superblock.noexec", _is(refusal), shown, path=descriptor.link)
    if descriptor.link.startswith(("anon_inode:", "/secretmem", "pidfd:", "/proc/", "/sys/")):
        # The superblock flag itself is nowhere to be read; these have had it from Linux 6.17 (fs/anon_inodes.c).
        shown = seen("this is Linux %s" % refusal.host.kernel, "uname")
        recent = refusal.kernel >= (6, 17)
        return found(refusal, "superblock.noexec", _is(refusal), shown, certain=recent, path=descriptor.link)
    return None


def write_sealed_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """EPERM for a writable shared mapping of a write-sealed memfd (mm/memfd.c:memfd_check_seals_mmap)."""
    descriptor = refusal.probe.descriptor
    if refusal.errno != "EPERM" or descriptor is None or not descriptor.seals or not _shared(refusal):
        return None
    if not descriptor.seals & (_F_SEAL_WRITE | _F_SEAL_FUTURE_WRITE):
        return None
    # Before 6.7 F_SEAL_WRITE refused even a read-only shared mapping (commit 28464bbb2ddc).
    old = refusal.kernel < (6, 7) and bool(descriptor.seals & _F_SEAL_WRITE)
    if not refusal.wants & f.PROT_WRITE and not old:
        return None
    fact = "descriptor %d (%s) has seals %#x" % (refusal.old.fd, descriptor.link, descriptor.seals)
    return found(refusal, "memfd.write-seal", seen(fact, "F_GET_SEALS"))


def not_mappable(refusal: Refusal) -> Optional[Finding]:
    """ENODEV: the object has no mmap operation."""
    if refusal.errno != "ENODEV" or refusal.request.name != "mmap":
        return None
    descriptor = refusal.probe.descriptor
    kind = (descriptor.kind if descriptor else None) or "file"
    # Most regular files and devices can be mapped: it is this one that cannot.
    case = "" if kind in ("directory", "pipe", "socket") else "this"
    return found(refusal, "fd.not-mappable", _is(refusal), case=case, kind=kind)


def offset_overflow(refusal: Refusal) -> Optional[Finding]:
    """EOVERFLOW: the end of the mapping lies beyond the largest file offset."""
    if refusal.errno != "EOVERFLOW" or refusal.request.name != "mmap":
        return None
    fact = "offset %#x, length %#x" % (refusal.old.offset, refusal.old.length)
    return found(refusal, "fd.offset-overflow", seen(fact, _ARGUMENTS))


def secret_memory(refusal: Refusal) -> Optional[Finding]:
    """memfd_secret's own rules: shared mappings only (mm/secretmem.c:secretmem_mmap_prepare)."""
    if refusal.errno != "EINVAL" or not _of_file(refusal) or _shared(refusal):
        return None
    if not _path(refusal).startswith("/secretmem"):
        return None
    return found(refusal, "secretmem", _is(refusal), seen("MAP_PRIVATE was asked", _ARGUMENTS))


def driver_refused(refusal: Refusal) -> Optional[Finding]:
    """What is left for a file: its own mmap operation. EIO and ENXIO come from nowhere else."""
    descriptor = refusal.probe.descriptor
    if not _of_file(refusal) or descriptor is None or refusal.errno not in _DRIVERS_OWN:
        return None
    ordinary = descriptor.kind == "regular file" and not descriptor.link.startswith(("/proc/", "/sys/"))
    if ordinary and refusal.errno not in ("EIO", "ENXIO"):
        return None
    own = refusal.errno in ("EIO", "ENXIO")
    return found(refusal, "fd.driver", _is(refusal), certain=own, path=descriptor.link)
