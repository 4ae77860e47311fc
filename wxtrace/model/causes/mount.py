"""mount.noexec and superblock.noexec: code from where nothing may be executed (fs/exec.c:path_noexec)."""

from __future__ import annotations

from typing import Any, Dict

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import pasteable, seen
from wxtrace.model.causes.opened import file_request, shown
from wxtrace.model.enumerations import Errno

__all__ = ["MOUNT_NOEXEC", "SUPERBLOCK_NOEXEC", "is_zero_device", "mount_noexec", "never_code", "superblock_noexec"]

_REMOUNT = admin(
    "Allow execution on that mount (mappings made before keep the old rule).", "mount -o remount,exec {quoted_mount}"
)
_ANONYMOUS = developer("Pass MAP_ANONYMOUS in place of a descriptor of /dev/zero: it gives the same memory.")

MOUNT_NOEXEC = Cause(
    "mount.noexec",
    "kernel",
    "Code is to be mapped, or a mapping made executable, from a file on a mount with the noexec option.",
    {"mmap": (Errno.EPERM,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
    (Need.ANSWERED, Need.VM_FLAGS, Need.MOUNT),
    "the file lies on a mount with the noexec option ({mount})",
    (developer("Put the file where execution is allowed (TMPDIR=… for self-extracting programs)."), _REMOUNT),
    "fs/exec.c:path_noexec, mm/mmap.c:do_mmap",
    {
        "later": Case(
            "the file was mapped from a mount with the noexec option ({mount}), so this memory can never be executable",
            (developer("Map the file again from a place where execution is allowed."), _REMOUNT),
        ),
        "unseen": Case(
            "this memory was mapped from a file on a noexec mount, so it can never become executable",
            (developer("Map the file again from a place where execution is allowed."),),
        ),
        "zero": Case(
            "/dev/zero lies on a mount with the noexec option ({mount})",
            (_ANONYMOUS, _REMOUNT),
        ),
        "zero-later": Case(
            "this memory was mapped from /dev/zero on a mount with the noexec option ({mount}), so it can never be "
            "executable",
            (_ANONYMOUS, _REMOUNT),
        ),
        "device": Case(
            "the device lies on a mount with the noexec option ({mount})",
            (developer("Map the device without PROT_EXEC, and copy code into memory of the program's own."), _REMOUNT),
        ),
    },
    "noexec_mount",
)
SUPERBLOCK_NOEXEC = Cause(
    "superblock.noexec",
    "kernel",
    "Code is to be mapped from an object that is never executable: /proc, /sys, secretmem, descriptors without a "
    "file (these two from Linux 6.17).",
    {"mmap": (Errno.EPERM,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
    (Need.ANSWERED, Need.VM_FLAGS, Need.DESCRIPTOR, Need.KERNEL),
    "this kind of file ({path}) can never be executed, whatever the mount says",
    (developer("Map it without PROT_EXEC, and copy code into anonymous memory."),),
    "fs/exec.c:path_noexec (SB_I_NOEXEC)",
    {"later": Case("this kind of object ({path}) can never be executed, so this memory cannot either")},
)
_NEVER_CODE = frozenset({"proc", "sysfs", "mqueue", "cgroup2", "cgroup", "selinuxfs", "binfmt_misc"})
"""File systems whose superblock has SB_I_NOEXEC, whatever the mount says."""
_WITHOUT_FILE = ("anon_inode:", "/secretmem", "pidfd:")


def never_code(fstype: str) -> bool:
    """Whether nothing on a file system of this type can be executed."""
    return fstype in _NEVER_CODE


def is_zero_device(path: str) -> bool:
    """Whether this is /dev/zero, wherever a root directory may lie."""
    return path.endswith("/dev/zero")


@rule(MOUNT_NOEXEC)
def mount_noexec(ctx: CallContext) -> Answer:
    """PROT_EXEC, as asked: on such a mount READ_IMPLIES_EXEC adds nothing (mm/mmap.c:do_mmap)."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None or not request.prot & f.PROT_EXEC:
        return LETS_THROUGH
    if descriptor is None:
        return cannot_tell(ctx, MOUNT_NOEXEC, Need.DESCRIPTOR)
    mount = descriptor.mount
    if mount is None:
        # Objects of the kernel's own lie on no mount; another file's may be of another namespace.
        own = descriptor.link.startswith((*_WITHOUT_FILE, "/memfd:", "/dev/zero (deleted)"))
        return LETS_THROUGH if own else cannot_tell(ctx, MOUNT_NOEXEC, Need.MOUNT)
    if "noexec" not in mount.options.split(","):
        return LETS_THROUGH
    shown_mount = seen("%s is mounted %s" % (mount.point, mount.options), "/proc/PID/mountinfo")
    case = ""
    if is_zero_device(descriptor.link):
        case = "zero"
    elif descriptor.kind in ("character device", "block device"):
        case = "device"
    words: Dict[str, Any] = {"mount": mount.point, "quoted_mount": pasteable(mount.point)}
    return refuses(ctx, MOUNT_NOEXEC, shown(ctx, request), shown_mount, case=case, **words)


@rule(SUPERBLOCK_NOEXEC)
def superblock_noexec(ctx: CallContext) -> Answer:
    """The same for file systems that are so by nature: the flag of the superblock is nowhere to be read."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None or not request.prot & f.PROT_EXEC:
        return LETS_THROUGH
    if descriptor is None:
        return cannot_tell(ctx, SUPERBLOCK_NOEXEC, Need.DESCRIPTOR)
    fstype = descriptor.mount.fstype if descriptor.mount is not None else ""
    if never_code(fstype):
        lies = seen("it lies on %s" % fstype, "/proc/PID/mountinfo")
        return refuses(ctx, SUPERBLOCK_NOEXEC, shown(ctx, request), lies, path=descriptor.link)
    if not descriptor.link.startswith(_WITHOUT_FILE):
        return LETS_THROUGH
    # From Linux 6.17 (fs/anon_inodes.c, mm/secretmem.c, fs/pidfs.c), and in some stable kernels before it.
    version = seen("this is Linux %s" % ctx.host.kernel, "uname")
    if ctx.kernel >= (6, 17):
        return refuses(ctx, SUPERBLOCK_NOEXEC, shown(ctx, request), version, path=descriptor.link)
    return may_refuse(ctx, SUPERBLOCK_NOEXEC, shown(ctx, request), version, path=descriptor.link)
