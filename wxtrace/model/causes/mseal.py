"""Memory sealed by mseal: its place and its protection are fixed for good (mm/mseal.c, from Linux 6.10)."""

from __future__ import annotations

from typing import List, Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, first_of, may_refuse, refuses, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import has_object, is_special, place
from wxtrace.model.enumerations import Confidence, Errno, Outcome
from wxtrace.model.syscalls.madvise import Madvise
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["MSEAL", "sealed", "sealed_part", "sealed_target"]

_SINCE, _VMA_BY_VMA, _ZERO_IS_ANONYMOUS = (6, 10), (6, 12), (6, 17)
_SMAPS = "VmFlags in /proc/PID/smaps"
_DISCARDING = frozenset({4, 8, 9, 10, 18, 24, 102})
"""Advice that throws content away: DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, DONTNEED_LOCKED, GUARD_INSTALL."""
_CASES = {"shmdt": "detach", "brk": "shrink", "shmat": "target", "mmap": "target"}

MSEAL = Cause(
    "mseal",
    "kernel",
    "The range holds memory that was sealed with mseal: its place and its protection are fixed for good.",
    {
        "mprotect": (Errno.EPERM,),
        "pkey_mprotect": (Errno.EPERM,),
        "munmap": (Errno.EPERM,),
        "mmap": (Errno.EPERM,),
        "mremap": (Errno.EPERM,),
        "shmat": (Errno.EPERM,),
        "remap_file_pages": (Errno.EPERM,),
        "madvise": (Errno.EPERM,),
        "brk": (Errno.NONE,),
        "shmdt": (Errno.NONE,),
    },
    (Need.ANSWERED, Need.VM_FLAGS),
    "the range holds sealed memory, which can be neither unmapped, moved, replaced nor given another protection",
    (
        developer(
            "Make the change before mseal, and keep what must change out of the sealed range; nothing unseals it."
        ),
    ),
    "mm/mseal.c, mm/vma.h:can_modify_vma",
    {
        "advice": Case(
            "the range holds sealed memory that is not writable, and this advice would throw its content away",
            (developer("Give the advice before mseal; sealed memory may be discarded only while it is writable."),),
        ),
        "detach": Case(
            "shmdt reported success, but the segment holds sealed memory, which stays mapped",
            (developer("Do not count on the address being free: sealed memory stays until the process ends."),),
        ),
        "shrink": Case(
            "the heap cannot shrink over sealed memory: brk answered with the old break and changed nothing"
        ),
        "target": Case("the range to be replaced holds sealed memory, which must stay as it is"),
    },
    "mseal_ops",
    outcomes={"madvise": Outcome.REFUSED},
)


@rule(MSEAL)
def sealed(ctx: CallContext) -> Answer:
    """A sealed VMA anywhere in what the call would unmap, move, replace or discard."""
    request = ctx.request
    if isinstance(request, Mprotect) and not _SINCE <= ctx.kernel < _VMA_BY_VMA:
        return LETS_THROUGH
    if isinstance(request, Madvise):
        return _discarded(ctx, request)
    if request.name in ("brk", "shmdt", "shmat"):
        replaces = not isinstance(request, Shmat) or request.shmflg & f.SHM_REMAP
        return _first(ctx, ctx.replaced() if replaces else [], _CASES[request.name])
    if isinstance(request, Mmap) and not request.flags & f.MAP_FIXED:
        return LETS_THROUGH
    # On 6.10 and 6.11 all of the range is looked at before mprotect changes a part of it.
    parts = ctx.parts() if isinstance(request, Mprotect) else ctx.reached()
    return _first(ctx, parts, _CASES.get(request.name, ""))


@rule(MSEAL)
def sealed_target(ctx: CallContext) -> Answer:
    """A sealed VMA where mremap is to move something to: unmapped when the source has passed its checks."""
    return _first(ctx, ctx.replaced(), "target") if ctx.request.name == "mremap" else LETS_THROUGH


@vma_rule(MSEAL)
def sealed_part(ctx: CallContext, part: Part) -> Answer:
    """mprotect looks at each VMA from 6.12 on, behind the security modules; before that at all of them, first."""
    return LETS_THROUGH if (0, 0) < ctx.kernel < _VMA_BY_VMA else _answer(ctx, part, "")


def _first(ctx: CallContext, parts: List[Part], case: str) -> Answer:
    answer = first_of(_answer(ctx, part, case) for part in parts)
    if answer is LETS_THROUGH and not ctx.probe.vmas_complete and _has_seals(ctx):
        return cannot_tell(ctx, MSEAL, Need.MAPPINGS)
    return answer


def _discarded(ctx: CallContext, request: Madvise) -> Answer:
    """mm/mseal.c:can_modify_vma_madv: only anonymous memory that cannot be written is kept from being discarded."""
    if request.advice not in _DISCARDING:
        return LETS_THROUGH
    parts = [part for part in ctx.parts() if _is_anonymous(ctx, part)]
    locked = [part for part in parts if not part.before & f.PROT_WRITE]
    answer = _first(ctx, locked, "advice")
    if answer is not LETS_THROUGH:
        return answer
    # Writable, but perhaps not by the rights that this thread has on its protection key.
    keyed = next((part for part in parts if part.vma.pkey and _is_sealed(ctx, part)), None)
    if keyed is None:
        return LETS_THROUGH
    fact = seen("%s is sealed (`sl`), and has the protection key %d" % (place(keyed.vma.line), keyed.vma.pkey), _SMAPS)
    return may_refuse(ctx, MSEAL, fact, case="advice", at_most=Confidence.POSSIBLE)


def _is_anonymous(ctx: CallContext, part: Part) -> bool:
    line = part.vma.line
    if line.perms[3:] != "p":
        return False
    return not has_object(line) or (line.path.startswith("/dev/zero") and ctx.kernel >= _ZERO_IS_ANONYMOUS)


def _has_seals(ctx: CallContext) -> bool:
    return ctx.kernel == (0, 0) or ctx.kernel >= _SINCE


def _is_sealed(ctx: CallContext, part: Part) -> Optional[bool]:
    if part.vma.flags:
        return part.vma.has("sl")
    if _sealing(ctx, part) is not None:
        return True
    return None if _has_seals(ctx) else False


def _sealing(ctx: CallContext, part: Part) -> Optional[int]:
    """The event that sealed a VMA, as far as it was seen."""
    line = part.vma.line
    return next((t.sealed_by for t in ctx.touched if t.sealed_by and line.start <= t.start < line.end), None)


def _answer(ctx: CallContext, part: Part, case: str) -> Answer:
    sealed = _is_sealed(ctx, part)
    if sealed is None:
        return cannot_tell(ctx, MSEAL, Need.VM_FLAGS)
    if not sealed:
        return LETS_THROUGH
    line, by = part.vma.line, _sealing(ctx, part)
    evidence = [seen("%s is sealed (`sl`)" % place(line), _SMAPS)] if part.vma.flags else []
    if by is not None:
        evidence.append(seen("it was sealed at event %d" % by, "the mseal call"))
    elif is_special(line.path):
        own = "the kernel seals its own mappings when a program starts"
        evidence.append(seen(own, "CONFIG_MSEAL_SYSTEM_MAPPINGS (mm/mseal.c, Linux 6.15)"))
    else:
        evidence.append(seen("it was sealed before wxtrace came", "mseal is not among the calls seen"))
    if case == "advice" and line.start > ctx.start and ctx.kernel >= _VMA_BY_VMA:
        taken = "the advice was taken for %#x-%#x before it" % (ctx.start, line.start)
        evidence.append(seen(taken, "the order of mm/madvise.c:madvise_walk_vmas"))
    return refuses(ctx, MSEAL, *evidence, case=case, related=(by,) if by is not None else ())
