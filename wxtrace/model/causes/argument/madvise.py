"""Which advice which memory takes (mm/madvise.c:madvise_vma_behavior), and what madvise looks at before."""

from __future__ import annotations

from typing import Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, Verdict, cannot_tell, may_refuse, refuses, rule, vma_rule
from wxtrace.model.causes.argument.entries import ADVICE, ALIGNMENT, LENGTH
from wxtrace.model.causes.argument.evidence import HIGHEST, alignment, argument, rounded
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import is_special, place
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.madvise import Madvise

__all__ = ["arguments", "memory", "not_built_in", "not_carried_out", "privilege"]

_DONTNEED, _FREE, _REMOVE, _DOFORK = 4, 8, 9, 11
_DODUMP, _WIPEONFORK, _KEEPONFORK, _COLD, _PAGEOUT = 17, 18, 19, 20, 21
_POPULATE_READ, _POPULATE_WRITE, _DONTNEED_LOCKED, _COLLAPSE = 22, 23, 24, 25
_GUARD_INSTALL, _GUARD_REMOVE = 102, 103
_POISONING = frozenset({100, 101})
_OPTIONAL = frozenset({12, 13, 14, 15, _COLLAPSE}) | _POISONING
"""Advice about KSM, huge pages and broken pages, which a kernel may be built without (madvise_behavior_valid)."""
_MAY_COME_TO = {
    3: (Errno.EBADF,),
    _REMOVE: (Errno.EIO,),
    _POPULATE_READ: (Errno.EFAULT,),
    _POPULATE_WRITE: (Errno.EFAULT,),
    _COLLAPSE: (Errno.EAGAIN, Errno.EBUSY, Errno.ENOMEM),
    100: (Errno.EBUSY, Errno.EIO),
    101: (Errno.EBUSY, Errno.EIO),
}
"""What an advice may end with that was taken."""
_SINCE = {
    _FREE: (4, 5),
    _WIPEONFORK: (4, 14),
    _KEEPONFORK: (4, 14),
    _COLD: (5, 4),
    _PAGEOUT: (5, 4),
    _POPULATE_READ: (5, 14),
    _POPULATE_WRITE: (5, 14),
    _DONTNEED_LOCKED: (5, 18),
    _COLLAPSE: (6, 1),
    _GUARD_INSTALL: (6, 13),
    _GUARD_REMOVE: (6, 13),
}
"""The Linux version that brought an advice."""
_KEPT_IN_FLAGS = {
    0: ((), ("rr", "sr")),
    1: (("rr",), ("sr",)),
    2: (("sr",), ("rr",)),
    10: (("dc",), ()),
    _DOFORK: ((), ("dc",)),
    16: (("dd",), ()),
    _DODUMP: ((), ("dd",)),
    _WIPEONFORK: (("wf",), ()),
    _KEEPONFORK: ((), ("wf",)),
}
"""The flags that an advice sets, and those that it clears."""
_CAP_SYS_ADMIN = 21
_HUGE = 2 << 20
"""The smallest huge page of x86-64: what is not aligned to it is aligned to none."""
_SMAPS = "VmFlags in /proc/PID/smaps"


def _name(ctx: CallContext) -> str:
    assert isinstance(ctx.request, Madvise)
    return f.named_value(ctx.request.advice, f.ADVICE)


@rule(ADVICE, ALIGNMENT, LENGTH)
def arguments(ctx: CallContext) -> Answer:
    """EINVAL before any mapping is looked at: the advice, an unaligned address, a length that wraps."""
    assert isinstance(ctx.request, Madvise)
    request = ctx.request
    if request.advice not in f.ADVICE:
        return refuses(ctx, ADVICE, argument("advice is %d" % request.advice), errno=Errno.EINVAL)
    since = _SINCE.get(request.advice)
    if since is not None and (0, 0) < ctx.kernel < since:
        fact = seen("this is Linux %s" % ctx.host.kernel, "uname")
        came = "%d.%d" % since
        return refuses(ctx, ADVICE, fact, errno=Errno.EINVAL, case="old", advice=_name(ctx), since=came)
    unaligned = alignment(ctx, "the address", request.addr)
    if unaligned.verdict is not Verdict.LETS_THROUGH:
        return unaligned
    if request.addr + rounded(ctx, request.length) >= HIGHEST:
        return refuses(ctx, LENGTH, argument("the length is %#x" % request.length), errno=Errno.EINVAL, case="wraps")
    return LETS_THROUGH


@rule(ADVICE)
def privilege(ctx: CallContext) -> Answer:
    """EPERM for advice that breaks pages (mm/madvise.c:madvise_inject_error)."""
    assert isinstance(ctx.request, Madvise)
    if ctx.request.advice not in _POISONING or ctx.capable(_CAP_SYS_ADMIN):
        return LETS_THROUGH
    if "CapEff" not in ctx.probe.status:
        return cannot_tell(ctx, ADVICE, Need.CAPABILITIES, errno=Errno.EPERM)
    fact = argument("advice is %s" % _name(ctx))
    return refuses(ctx, ADVICE, fact, errno=Errno.EPERM, case="privileged", advice=_name(ctx))


@vma_rule(ADVICE)
def memory(ctx: CallContext, part: Part) -> Answer:
    """A mapping that cannot take the advice; those before it have taken it."""
    if not part.vma.flags:
        return cannot_tell(ctx, ADVICE, Need.VM_FLAGS, errno=(Errno.EINVAL, Errno.EACCES))
    obstacle = _obstacle(ctx, part) or _not_split(ctx, part)
    if obstacle is None:
        return LETS_THROUGH
    errno, case, shown = obstacle
    fact = seen("%s %s" % (place(part.vma.line), shown), _SMAPS)
    return refuses(ctx, ADVICE, fact, errno=errno, case=case, advice=_name(ctx))


Obstacle = Optional[Tuple[Errno, str, str]]
_LOCKED = Errno.EINVAL, "locked", "is locked in RAM (`lo`)"
_DRIVER = Errno.EINVAL, "memory", "belongs to the kernel or a driver (`pf`, `io`, `de` or `mm`)"
_HUGE_PAGES = Errno.EINVAL, "memory", "consists of huge pages (`ht`)"
_NO_PRIVATE = Errno.EINVAL, "file", "is no private anonymous memory"


def _obstacle(ctx: CallContext, part: Part) -> Obstacle:
    """Errno, case of the table and what stands in the way; None where this mapping takes the advice."""
    assert isinstance(ctx.request, Madvise)
    advice, vma = ctx.request.advice, part.vma
    has_file = bool(vma.line.inode)
    special = any(vma.has(flag) for flag in ("io", "de", "pf", "mm"))
    if advice == _REMOVE:
        return _no_hole(part)
    if advice in (_DONTNEED, _DONTNEED_LOCKED, _FREE):
        return _not_discarded(ctx, part)
    if advice in (_COLD, _PAGEOUT):
        if vma.has("lo"):
            return _LOCKED
        return _HUGE_PAGES if vma.has("ht") else _DRIVER if vma.has("pf") else None
    if advice == _WIPEONFORK:
        return _NO_PRIVATE if has_file or vma.has("sh") else None
    if advice == _DOFORK:
        return _DRIVER if vma.has("io") else None
    if advice in (_DODUMP, _KEEPONFORK) and vma.has("dp"):
        return Errno.EINVAL, "memory", "is droppable (`dp`)"
    if advice == _DODUMP:
        return _DRIVER if special and not vma.has("ht") else None
    if advice in (_GUARD_INSTALL, _GUARD_REMOVE):
        return _no_guard(ctx, part, special)
    if advice in (_POPULATE_READ, _POPULATE_WRITE):
        if vma.has("io") or vma.has("pf"):
            return _DRIVER
        if advice == _POPULATE_WRITE:
            return None if part.before & f.PROT_WRITE else (Errno.EINVAL, "populate", "is not writable")
        return None if part.before & f.PROT_READ else (Errno.EINVAL, "memory", "is not readable")
    return None


def _no_hole(part: Part) -> Obstacle:
    """MADV_REMOVE (mm/madvise.c:madvise_remove)."""
    vma = part.vma
    if vma.has("lo"):
        return _LOCKED
    if not vma.line.inode:
        return Errno.EINVAL, "remove", "has no file that could get a hole"
    if not vma.has("ms"):
        return Errno.EACCES, "remove", "is private (no `ms`)"
    if not (vma.has("sh") and vma.has("mw")):
        return Errno.EACCES, "read-only", "may not be written (no `sh` or no `mw`)"
    return None


def _not_discarded(ctx: CallContext, part: Part) -> Obstacle:
    """MADV_DONTNEED, MADV_DONTNEED_LOCKED and MADV_FREE (mm/madvise.c:madvise_dontneed_free_valid_vma)."""
    assert isinstance(ctx.request, Madvise)
    advice, vma = ctx.request.advice, part.vma
    if vma.has("ht"):
        unaligned = max(vma.line.start, ctx.start) % _HUGE != 0
        return _HUGE_PAGES if advice == _FREE or unaligned else None
    if vma.has("lo") and advice != _DONTNEED_LOCKED:
        return _LOCKED
    if vma.has("pf"):
        return _DRIVER
    return None if advice != _FREE or _is_anonymous(part) else _NO_PRIVATE


def _no_guard(ctx: CallContext, part: Part, special: bool) -> Obstacle:
    """Guard pages (mm/madvise.c:is_valid_guard_vma); Linux 6.15 brought them to files."""
    assert isinstance(ctx.request, Madvise)
    vma = part.vma
    if vma.has("lo") and ctx.request.advice == _GUARD_INSTALL:
        return _LOCKED
    if special or vma.has("ht"):
        return _DRIVER if special else _HUGE_PAGES
    early = (0, 0) < ctx.kernel < (6, 15)
    return _NO_PRIVATE if early and not (_is_anonymous(part) and vma.has("mw")) else None


def _not_split(ctx: CallContext, part: Part) -> Obstacle:
    """Advice that is kept in the flags of the mapping needs one of its own (mm/madvise.c:madvise_update_vma)."""
    assert isinstance(ctx.request, Madvise)
    vma, (sets, clears) = part.vma, _KEPT_IN_FLAGS.get(ctx.request.advice, ((), ()))
    if all(vma.has(flag) for flag in sets) and not any(vma.has(flag) for flag in clears):
        return None
    cuts = [address for address in (ctx.start, ctx.end) if vma.line.start < address < vma.line.end]
    if is_special(vma.line.path) and cuts:
        return Errno.EINVAL, "part", "would have to be split"
    inside = vma.has("ht") and any(address % _HUGE for address in cuts)
    return (Errno.EINVAL, "part", "consists of huge pages (`ht`)") if inside else None


def _is_anonymous(part: Part) -> bool:
    """mm.h:vma_is_anonymous: no operations. A private mapping of /dev/zero has none; [vdso] and its like have."""
    line = part.vma.line
    if line.path.startswith("/dev/zero"):
        return not part.vma.has("ms")
    return not line.inode and not is_special(line.path)


@rule(ADVICE)
def not_built_in(ctx: CallContext) -> Answer:
    """EINVAL where the kernel was built without what the advice is about, or for a mapping that was not looked at."""
    assert isinstance(ctx.request, Madvise)
    without = () if ctx.probe.vmas_complete else (Need.MAPPINGS,)
    if ctx.request.advice not in _OPTIONAL and not without:
        return LETS_THROUGH
    fact, name = argument("advice is %s" % _name(ctx)), _name(ctx)
    sure = not without
    return may_refuse(
        ctx, ADVICE, fact, errno=Errno.EINVAL, without=without, case="memory", by_exclusion=sure, advice=name
    )


@rule(ADVICE)
def not_carried_out(ctx: CallContext) -> Answer:
    """What only shows when the advice is taken: pages that cannot be filled, found, merged or freed."""
    assert isinstance(ctx.request, Madvise)
    may = _MAY_COME_TO.get(ctx.request.advice)
    if may is None:
        return LETS_THROUGH
    fact = argument("advice is %s" % _name(ctx))
    case = "guarded" if Errno.EFAULT in may else "memory"
    return may_refuse(ctx, ADVICE, fact, errno=may, case=case, advice=_name(ctx))
