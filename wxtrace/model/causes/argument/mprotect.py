"""Arguments of mprotect and pkey_mprotect (mm/mprotect.c:do_mprotect_pkey)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, Verdict, cannot_tell, refuses, rule
from wxtrace.model.causes.argument.entries import ALIGNMENT, GROWSDOWN, LENGTH, PROT
from wxtrace.model.causes.argument.evidence import HIGHEST, alignment, argument, rounded
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.mprotect import Mprotect

__all__ = ["arguments", "growth"]

_GROWS = f.GROWSDOWN | f.GROWSUP
_KNOWN = 0x0F | _GROWS
"""PROT_READ, PROT_WRITE, PROT_EXEC, PROT_SEM (include/linux/mman.h:arch_validate_prot), and the two that grow."""


@rule(GROWSDOWN, ALIGNMENT, LENGTH, PROT)
def arguments(ctx: CallContext) -> Answer:
    """What is looked at before the map; a length of 0 is granted, whatever the rest."""
    assert isinstance(ctx.request, Mprotect)
    start, length, prot = ctx.request.addr, ctx.request.length, ctx.request.prot
    if prot & _GROWS == _GROWS:
        return refuses(ctx, GROWSDOWN, argument("both bits are set"), errno=Errno.EINVAL, case="both")
    unaligned = alignment(ctx, "the address", start)
    if unaligned.verdict is not Verdict.LETS_THROUGH:
        return unaligned
    if length == 0:
        return LETS_THROUGH
    if start + rounded(ctx, length) >= HIGHEST:
        return refuses(ctx, LENGTH, argument("the length is %#x" % length), errno=Errno.ENOMEM, case="wraps")
    if prot & ~_KNOWN:
        return refuses(ctx, PROT, argument("prot is %#x" % prot), errno=Errno.EINVAL)
    return LETS_THROUGH


@rule(GROWSDOWN)
def growth(ctx: CallContext) -> Answer:
    """PROT_GROWSDOWN where the first mapping of the range does not grow down; on x86 nothing grows up."""
    assert isinstance(ctx.request, Mprotect)
    request = ctx.request
    if not request.prot & _GROWS or request.length == 0:
        return LETS_THROUGH
    if not ctx.probe.vmas_complete and not ctx.parts():
        return cannot_tell(ctx, GROWSDOWN, Need.MAPPINGS)
    first = next(iter(ctx.parts()), None)
    # Where nothing is mapped, that is what is told (ENOMEM).
    if first is None:
        return LETS_THROUGH
    if request.prot & f.GROWSUP:
        if first.vma.line.start > request.addr:
            return LETS_THROUGH
        return refuses(ctx, GROWSDOWN, argument("PROT_GROWSUP is set"), errno=Errno.EINVAL, case="up")
    if not first.vma.flags:
        return cannot_tell(ctx, GROWSDOWN, Need.VM_FLAGS)
    if first.vma.has("gd"):
        return LETS_THROUGH
    return refuses(ctx, GROWSDOWN, argument("the mapping at %#x does not grow down" % request.addr))
