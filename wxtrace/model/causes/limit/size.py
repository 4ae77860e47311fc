"""limit.address-space and limit.data: how large an address space may become (mm/mmap.c:may_expand_vm)."""

from __future__ import annotations

from typing import Any, Dict, Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import (
    LETS_THROUGH,
    Answer,
    cannot_tell,
    may_refuse,
    refuses,
    rule,
    vma_rule,
)
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen, size_text
from wxtrace.model.causes.limit.growth import Growth, covered, growth, moved_part, status_bytes
from wxtrace.model.causes.opened import is_shared
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap

__all__ = ["ADDRESS_SPACE", "DATA", "address_space", "break_data", "data", "data_at_mprotect"]

_NUMBERS = (Need.ANSWERED, Need.LIMITS, Need.USE)

ADDRESS_SPACE = Cause(
    "limit.address-space",
    "kernel",
    "The address space would become larger than RLIMIT_AS (ulimit -v); reserved memory counts as well.",
    {
        "mmap": (Errno.ENOMEM,),
        "mremap": (Errno.ENOMEM,),
        "shmat": (Errno.ENOMEM,),
        "io_setup": (Errno.ENOMEM,),
        "brk": (Errno.NONE,),
    },
    _NUMBERS,
    "the process may map {limit} (RLIMIT_AS): {used} are mapped, and {more} more were asked",
    (
        admin("Raise the limit (LimitAS= in the unit, ulimit -v in the shell).", "ulimit -v unlimited"),
        developer("Reserve less address space at once."),
    ),
    "mm/mmap.c:may_expand_vm",
    example="rlimit_as",
)

DATA = Cause(
    "limit.data",
    "kernel",
    "Private writable memory would exceed RLIMIT_DATA (ulimit -d); making memory writable counts as well.",
    {
        "mmap": (Errno.ENOMEM,),
        "mprotect": (Errno.ENOMEM,),
        "pkey_mprotect": (Errno.ENOMEM,),
        "mremap": (Errno.ENOMEM,),
        "brk": (Errno.NONE,),
    },
    _NUMBERS,
    "the process may have {limit} of private writable memory (RLIMIT_DATA): it has {used}, and wants {more} more",
    (
        admin("Raise the limit (LimitDATA= in the unit, ulimit -d in the shell).", "ulimit -d unlimited"),
        developer("Reserve memory PROT_NONE and make it writable only as it is used."),
    ),
    "mm/mmap.c:may_expand_vm, SYSCALL_DEFINE1(brk)",
    example="rlimit_data_mprotect",
)
_LIMITS = {ADDRESS_SPACE.id: ("Max address space", "VmSize", "mapped"), DATA.id: ("Max data size", "VmData", "of data")}


@rule(ADDRESS_SPACE)
def address_space(ctx: CallContext) -> Answer:
    """RLIMIT_AS: VmSize and what is asked for together. mprotect adds nothing."""
    grown = growth(ctx)
    return LETS_THROUGH if grown is None else _expands(ctx, ADDRESS_SPACE, grown)


@rule(DATA)
def data(ctx: CallContext) -> Answer:
    """RLIMIT_DATA: the same for memory that is private, writable and no stack."""
    grown = growth(ctx)
    if grown is None:
        return LETS_THROUGH
    if isinstance(ctx.request, Mremap) and moved_part(ctx, ctx.request) is None:
        return cannot_tell(ctx, DATA, Need.MAPPINGS)
    return _expands(ctx, DATA, grown) if _is_data(ctx) else LETS_THROUGH


@rule(DATA)
def break_data(ctx: CallContext) -> Answer:
    """The other limit of brk, in bytes: heap and the program's own data together (include/linux/mm.h)."""
    if not isinstance(ctx.request, Brk):
        return LETS_THROUGH
    missing = _not_read(ctx, "Max data size", "VmData")
    if missing is not None:
        return cannot_tell(ctx, DATA, missing)
    limit, start, own = ctx.probe.limits["Max data size"], ctx.probe.start_brk, ctx.probe.data_size
    if limit is None or ctx.request.addr < start:
        return LETS_THROUGH
    if not start:
        return cannot_tell(ctx, DATA, Need.BREAK)
    heap = ctx.request.addr - start
    if heap + (own or 0) > limit:
        return _exceeds(ctx, DATA, limit, heap - ((ctx.probe.brk or start) - start))
    return LETS_THROUGH if own is not None else cannot_tell(ctx, DATA, Need.BREAK)


@vma_rule(DATA)
def data_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """One mapping that turns into data (mm/mprotect.c:mprotect_fixup), with those of the range before it."""
    if not _becomes_data(ctx, part):
        return LETS_THROUGH
    missing = _not_read(ctx, "Max data size", "VmData")
    if missing is not None:
        return cannot_tell(ctx, DATA, missing)
    own = _pages(ctx, part)
    size, most = status_bytes(ctx, "VmSize"), ctx.probe.limits.get("Max address space")
    if most is not None and size is not None and size // ctx.host.page_size + own > most // ctx.host.page_size:
        # No more could be mapped either: the kernel then asks for nothing, as before and after are the same.
        return LETS_THROUGH
    # What the call has changed already is in VmData, and not among those that are still to change.
    before = [other for other in ctx.parts() if other.vma.line.start < part.vma.line.start]
    waiting = [other for other in before if _becomes_data(ctx, other) and other.vma.line.perms[1] != "w"]
    pages = own + sum(_pages(ctx, other) for other in waiting)
    return _expands(ctx, DATA, Growth(pages, pages))


def _is_data(ctx: CallContext) -> bool:
    """Whether the new memory is private, writable and no stack (mm/vma.h:is_data_mapping)."""
    request = ctx.request
    if isinstance(request, Mmap):
        private = not is_shared(request) and not request.flags & f.MAP_GROWSDOWN
        return bool(ctx.wants & f.PROT_WRITE) and private
    if isinstance(request, Mremap):
        part = moved_part(ctx, request)
        return part is not None and bool(part.before & f.PROT_WRITE) and _may_be_data(part)
    return isinstance(request, Brk)


def _becomes_data(ctx: CallContext, part: Part) -> bool:
    gains = ctx.wants & f.PROT_WRITE and not part.before & f.PROT_WRITE
    return bool(gains) and _may_be_data(part)


def _may_be_data(part: Part) -> bool:
    return part.vma.line.perms[3] == "p" and not part.vma.has("gd")


def _pages(ctx: CallContext, part: Part) -> int:
    return covered(ctx, [part], max(ctx.start, ctx.passed), ctx.end)


def _not_read(ctx: CallContext, limit: str, used: str) -> Optional[Need]:
    if limit not in ctx.probe.limits:
        return Need.LIMITS
    return Need.USE if ctx.probe.limits[limit] is not None and status_bytes(ctx, used) is None else None


def _expands(ctx: CallContext, cause: Cause, grown: Growth) -> Answer:
    limit_name, used_name, _ = _LIMITS[cause.id]
    missing = _not_read(ctx, limit_name, used_name)
    if missing is not None:
        return cannot_tell(ctx, cause, missing)
    page, limit, used = ctx.host.page_size, ctx.probe.limits[limit_name], status_bytes(ctx, used_name)
    if limit is None or used is None:
        return LETS_THROUGH
    room = limit // page - used // page
    if grown.least > room:
        return _exceeds(ctx, cause, limit, grown.least * page)
    if grown.most is None:
        return cannot_tell(ctx, cause, *grown.missing)
    return (
        LETS_THROUGH if grown.most <= room else may_refuse(ctx, cause, **_numbers(ctx, cause, limit, grown.most * page))
    )


def _exceeds(ctx: CallContext, cause: Cause, limit: int, more: int) -> Answer:
    name, used_name, what = _LIMITS[cause.id]
    used = status_bytes(ctx, used_name)
    evidence = [seen("soft limit %d bytes" % limit, "%s in /proc/PID/limits" % name)]
    if used is not None:
        evidence.append(seen("%d bytes %s" % (used, what), "%s in /proc/PID/status" % used_name))
    # With a limit of 0 the kernel lets data grow to the hard limit (may_expand_vm, for valgrind).
    certain = cause is not DATA or limit > 0 or isinstance(ctx.request, Brk)
    return refuses(ctx, cause, *evidence, certain=certain, **_numbers(ctx, cause, limit, more))


def _numbers(ctx: CallContext, cause: Cause, limit: int, more: int) -> Dict[str, Any]:
    used = status_bytes(ctx, _LIMITS[cause.id][1]) or 0
    return {"limit": size_text(limit), "used": size_text(used), "more": size_text(more)}
