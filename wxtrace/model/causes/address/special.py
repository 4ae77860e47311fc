"""address.special-mapping: what the kernel or a driver has mapped, and cannot be cut, grown or given a protection."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import IF_DENIED, Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import place
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.mremap import Mremap

__all__ = ["SPECIAL_MAPPING", "cannot_grow", "not_together", "vsyscall"]

_WATCHED = ("um", "uw", "ui")

SPECIAL_MAPPING = Cause(
    "address.special-mapping",
    "kernel",
    "The mapping belongs to the kernel or a driver (vdso, vvar, a device) and cannot be cut, grown or given this "
    "protection.",
    {
        "mprotect": (Errno.EACCES, Errno.EINVAL, Errno.ENOMEM),
        "pkey_mprotect": (Errno.EACCES, Errno.EINVAL, Errno.ENOMEM),
        "munmap": (Errno.EINVAL,),
        "mmap": (Errno.EINVAL,),
        "shmat": (Errno.EINVAL,),
        "mremap": (Errno.EFAULT, Errno.EINVAL),
        "madvise": (Errno.ENOMEM,),
        "mseal": (Errno.ENOMEM,),
    },
    (Need.ANSWERED, Need.VM_FLAGS),
    "the kernel's own mapping {path} cannot be given this protection",
    (developer("Leave {path} alone."),),
    "mm/mmap.c:special_mapping_split, mm/mremap.c:check_prep_vma",
    {
        "leave": Case(
            "{path} belongs to the kernel or a driver, and MREMAP_DONTUNMAP cannot leave it behind empty",
            (developer("Move it without MREMAP_DONTUNMAP."),),
        ),
        "vsyscall": Case("{path} is no memory of the process: the kernel only shows it in the map"),
        "grow": Case(
            "{path} belongs to the kernel or a driver and cannot grow",
            (developer("Map a larger area instead of growing this one."),),
        ),
        "together": Case(
            "userfaultfd watches the mapping at {place}, and such a mapping does not move together with others",
            (developer("Move each mapping by a call of its own."),),
        ),
        "cut": Case("the kernel's own mapping {path} cannot be changed in part, only as a whole"),
    },
    outcome=Outcome.FAILED,
    outcomes=IF_DENIED,
)


@rule(SPECIAL_MAPPING)
def vsyscall(ctx: CallContext) -> Answer:
    """[vsyscall] has a line in maps, but is no mapping (arch/x86/entry/vsyscall/vsyscall_64.c:gate_vma)."""
    parts = ctx.standing_at(ctx.start) if isinstance(ctx.request, Mremap) else ctx.parts()
    part = next((part for part in parts if part.vma.line.path == "[vsyscall]"), None)
    if part is None:
        return LETS_THROUGH
    fact = seen("the range has a part of %s" % place(part.vma.line), "/proc/PID/smaps")
    errno = Errno.EFAULT if ctx.request.name == "mremap" else Errno.ENOMEM
    return refuses(ctx, SPECIAL_MAPPING, fact, errno=errno, case="vsyscall", path=part.vma.line.path)


@rule(SPECIAL_MAPPING)
def cannot_grow(ctx: CallContext) -> Answer:
    """mremap of a mapping that has VM_DONTEXPAND or VM_PFNMAP, which is looked at when the range is known to fit."""
    assert isinstance(ctx.request, Mremap)
    first = next(iter(ctx.standing_at(ctx.request.old_address)), None)
    page = ctx.host.page_size
    old, new = (-(-size // page) for size in (ctx.request.old_size, ctx.request.new_size))
    # Lengths of huge pages are rounded to whole ones, and have a check of their own.
    if new <= old or first is None or first.vma.has("ht"):
        return LETS_THROUGH
    if not first.vma.flags:
        return cannot_tell(ctx, SPECIAL_MAPPING, Need.VM_FLAGS, errno=Errno.EFAULT)
    if not (first.vma.has("de") or first.vma.has("pf")):
        return LETS_THROUGH
    fact = seen("VM_DONTEXPAND or VM_PFNMAP is set (`de`, `pf`)", "VmFlags in /proc/PID/smaps")
    path = first.vma.line.path or "this mapping"
    return refuses(ctx, SPECIAL_MAPPING, fact, errno=Errno.EFAULT, case="grow", path=path)


@rule(SPECIAL_MAPPING)
def not_together(ctx: CallContext) -> Answer:
    """mremap of several mappings, one of which userfaultfd watches (mm/mremap.c:vma_multi_allowed, Linux 6.17)."""
    parts = ctx.parts()
    if not ctx.moves_several or not parts:
        return LETS_THROUGH
    vma, line = parts[0].vma, parts[0].vma.line
    if not ctx.moved and line.end >= ctx.end:
        return LETS_THROUGH
    if not vma.flags:
        return cannot_tell(ctx, SPECIAL_MAPPING, Need.VM_FLAGS, errno=Errno.EFAULT)
    if not any(vma.has(flag) for flag in _WATCHED):
        return LETS_THROUGH
    fact = seen("userfaultfd watches %s (`um`, `uw` or `ui`)" % place(line), "VmFlags in /proc/PID/smaps")
    stands = "%#x-%#x" % (line.start, line.end)
    return refuses(ctx, SPECIAL_MAPPING, fact, errno=Errno.EFAULT, case="together", place=stands)
