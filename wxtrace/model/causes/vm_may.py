"""What a mapping may become was settled when it was made: VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC (mm/mmap.c:do_mmap)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.address.special import SPECIAL_MAPPING
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import pasteable, seen
from wxtrace.model.causes.fd import DRIVER, WRITE_MODE
from wxtrace.model.causes.mappings import is_plain, is_special, place
from wxtrace.model.causes.memfd import WRITE_SEAL
from wxtrace.model.causes.mount import MOUNT_NOEXEC, SUPERBLOCK_NOEXEC, is_zero_device, never_code
from wxtrace.model.causes.shadow_stack import SHADOW_STACK
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Evidence

__all__ = ["may_not_become"]

_SMAPS = "VmFlags in /proc/PID/smaps"
_BITS = (
    (f.PROT_READ, "mr", "VM_MAYREAD", "readable"),
    (f.PROT_WRITE, "mw", "VM_MAYWRITE", "writable"),
    (f.PROT_EXEC, "me", "VM_MAYEXEC", "executable"),
)


@vma_rule(WRITE_MODE, DRIVER, WRITE_SEAL, MOUNT_NOEXEC, SUPERBLOCK_NOEXEC, SPECIAL_MAPPING, SHADOW_STACK)
def may_not_become(ctx: CallContext, part: Part) -> Answer:
    """A wanted bit without its VM_MAY* bit (mm/mprotect.c:do_mprotect_pkey), whatever took it away."""
    vma, wants = part.vma, ctx.wants_of(part)
    if not vma.flags:
        return _not_looked_at(ctx, part, wants)
    for bit, flag, name, becomes in _BITS:
        if wants & bit and not vma.has(flag):
            absent = "%s can never become %s: %s is missing (no `%s`)" % (place(vma.line), becomes, name, flag)
            return _why(ctx, part, bit, becomes, seen(absent, _SMAPS))
    return LETS_THROUGH


def _not_looked_at(ctx: CallContext, part: Part, wants: int) -> Answer:
    gained = wants & ~part.before
    if not gained & (f.PROT_WRITE | f.PROT_EXEC) or is_plain(part.vma):
        return LETS_THROUGH
    cause = WRITE_MODE if gained & f.PROT_WRITE else MOUNT_NOEXEC
    return cannot_tell(ctx, cause, Need.VM_FLAGS, errno=Errno.EACCES)


def _why(ctx: CallContext, part: Part, bit: int, becomes: str, absent: Evidence) -> Answer:
    vma, path = part.vma, part.vma.line.path
    if is_special(path):
        return refuses(ctx, SPECIAL_MAPPING, absent, errno=Errno.EACCES, path=path)
    if vma.has("ss"):
        return refuses(ctx, SHADOW_STACK, absent, errno=Errno.EACCES, case="memory")
    if bit == f.PROT_EXEC:
        return _never_executable(ctx, part, absent)
    if bit == f.PROT_WRITE and vma.has("ms") and not vma.has("sh"):
        attached = path.startswith("/SYSV")
        how = "it was attached with SHM_RDONLY" if attached else "its descriptor was O_RDONLY"
        shared = seen("%s: so `ms` shows that it is shared, and `sh` is missing" % how, _SMAPS)
        case = "segment" if attached else "later"
        return refuses(ctx, WRITE_MODE, absent, shared, errno=Errno.EACCES, case=case)
    if bit == f.PROT_WRITE and vma.has("ms") and path.startswith("/memfd:"):
        kept = seen("it was made after the seal: `ms sh` without `mw`", _SMAPS)
        return refuses(ctx, WRITE_SEAL, absent, kept, errno=Errno.EACCES, case="later")
    return refuses(ctx, DRIVER, absent, errno=Errno.EACCES, case="later", path=path, wanted=becomes)


def _never_executable(ctx: CallContext, part: Part, absent: Evidence) -> Answer:
    line, errno = part.vma.line, Errno.EACCES
    mount = ctx.probe.mounts.get(line.dev)
    if mount is not None and "noexec" in mount.options.split(","):
        shown, point = seen("%s is mounted %s" % (mount.point, mount.options), "/proc/PID/mountinfo"), mount.point
        evidence, quoted = (absent, shown), pasteable(point)
        case = "zero-later" if is_zero_device(line.path) else "later"
        return refuses(ctx, MOUNT_NOEXEC, *evidence, errno=errno, case=case, mount=point, quoted_mount=quoted)
    fstype = mount.fstype if mount is not None else ""
    never = line.path.startswith(("anon_inode:", "/secretmem", "/proc/", "/sys/", "pidfd:"))
    if never or never_code(fstype):
        return refuses(ctx, SUPERBLOCK_NOEXEC, absent, errno=errno, case="later", path=line.path)
    if line.path.startswith("/dev/") and not line.path.startswith("/dev/shm/"):
        # A noexec mount of /dev looks the same.
        return may_refuse(ctx, DRIVER, absent, errno=errno, case="later", path=line.path, wanted="executable")
    return refuses(ctx, MOUNT_NOEXEC, absent, errno=errno, case="unseen")
