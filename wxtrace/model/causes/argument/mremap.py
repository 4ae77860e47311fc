"""Arguments of mremap (mm/mremap.c:check_mremap_params, mremap_to, check_prep_vma)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, Verdict, cannot_tell, refuses, rule
from wxtrace.model.causes.argument.entries import ALIGNMENT, FLAGS, LENGTH
from wxtrace.model.causes.argument.evidence import HIGHEST, alignment, argument, rounded
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import place
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.mremap import Mremap

__all__ = ["arguments", "copy", "given_up", "one_mapping", "target"]

_KNOWN = f.MREMAP_FIXED | f.MREMAP_MAYMOVE | f.MREMAP_DONTUNMAP
_TO_ADDRESS = f.MREMAP_FIXED | f.MREMAP_DONTUNMAP
"""With these the new address is looked at; MREMAP_DONTUNMAP alone takes it as a hint."""


@rule(FLAGS, ALIGNMENT, LENGTH)
def arguments(ctx: CallContext) -> Answer:
    """EINVAL from the flags, the old address and the lengths."""
    assert isinstance(ctx.request, Mremap)
    request = ctx.request
    flags, new_size = request.flags, request.new_size
    if flags & ~_KNOWN or (flags & _TO_ADDRESS and not flags & f.MREMAP_MAYMOVE):
        return _flags(ctx, "move")
    unaligned = alignment(ctx, "the address", request.old_address)
    if unaligned.verdict is not Verdict.LETS_THROUGH:
        return unaligned
    if new_size == 0:
        return refuses(ctx, LENGTH, argument("the length is 0"), errno=Errno.EINVAL)
    if rounded(ctx, new_size) >= HIGHEST:
        return _too_long(ctx, new_size, "wraps")
    old, new = request.old_size, new_size
    if ctx.kernel >= (6, 17):
        # Earlier kernels compare the lengths before they round them.
        old, new = rounded(ctx, old) % HIGHEST, rounded(ctx, new)
        if new > ctx.task_size:
            return _too_long(ctx, new_size, "beyond")
    return _flags(ctx, "resize") if flags & f.MREMAP_DONTUNMAP and old != new else LETS_THROUGH


@rule(FLAGS, ALIGNMENT, LENGTH)
def target(ctx: CallContext) -> Answer:
    """EINVAL from where the memory is to go. Before Linux 6.17 the old address is looked up first."""
    assert isinstance(ctx.request, Mremap)
    request = ctx.request
    if not request.flags & _TO_ADDRESS:
        return LETS_THROUGH
    if (0, 0) < ctx.kernel < (6, 17) and ctx.probe.vmas_complete and not ctx.standing_at(request.old_address):
        return LETS_THROUGH
    start, size = request.new_address, rounded(ctx, request.new_size)
    unaligned = alignment(ctx, "the new address", start)
    if unaligned.verdict is not Verdict.LETS_THROUGH:
        return unaligned
    if start + size > ctx.task_size:
        return _too_long(ctx, request.new_size, "beyond")
    old, end = request.old_address, request.old_address + rounded(ctx, request.old_size) % HIGHEST
    if old < start + size and start < end:
        fact = argument("%#x-%#x and %#x-%#x overlap" % (old, end, start, start + size))
        return refuses(ctx, FLAGS, fact, errno=Errno.EINVAL, case="overlap")
    return LETS_THROUGH


@rule(LENGTH)
def copy(ctx: CallContext) -> Answer:
    """An old length of 0 makes a second view, which only shared memory has."""
    assert isinstance(ctx.request, Mremap)
    if rounded(ctx, ctx.request.old_size) % HIGHEST:
        return LETS_THROUGH
    first = next(iter(ctx.standing_at(ctx.request.old_address)), None)
    if first is None or not first.vma.flags:
        return cannot_tell(ctx, LENGTH, Need.VM_FLAGS, errno=Errno.EINVAL)
    if first.vma.has("ms"):
        return LETS_THROUGH
    private = seen("the mapping at %#x is private" % ctx.request.old_address, "VmFlags in /proc/PID/smaps")
    return refuses(ctx, LENGTH, private, errno=Errno.EINVAL, case="copy")


@rule(LENGTH)
def given_up(ctx: CallContext) -> Answer:
    """EINVAL where what a shrinking gives up lies beyond the address space: it is unmapped like any other range."""
    assert isinstance(ctx.request, Mremap)
    request = ctx.request
    old, new = rounded(ctx, request.old_size) % HIGHEST, rounded(ctx, request.new_size)
    if new >= old or request.old_address + old <= ctx.task_size:
        return LETS_THROUGH
    fact = argument("the old length is %#x" % request.old_size)
    return refuses(ctx, LENGTH, fact, errno=Errno.EINVAL, case="beyond", limit=hex(ctx.task_size))


@rule(LENGTH)
def one_mapping(ctx: CallContext) -> Answer:
    """EFAULT for an old range that reaches over the end of a mapping; what a shrinking gives up may do so."""
    assert isinstance(ctx.request, Mremap)
    request = ctx.request
    old, new = rounded(ctx, request.old_size) % HIGHEST, rounded(ctx, request.new_size)
    first = next(iter(ctx.standing_at(request.old_address)), None)
    # Where nothing is mapped at the start, that is told before.
    if first is None or request.old_address + min(old, new) <= first.vma.line.end:
        return LETS_THROUGH
    # In place, nothing but growth is looked at.
    if new <= old and not request.flags & _TO_ADDRESS:
        return LETS_THROUGH
    moved_as_it_is = old == new and bool(request.flags & f.MREMAP_FIXED)
    if moved_as_it_is and ctx.kernel >= (6, 17):
        return _watched(ctx)
    fact = seen("the first mapping of the range ends at %#x" % first.vma.line.end, "/proc/PID/smaps")
    return refuses(ctx, LENGTH, fact, errno=Errno.EFAULT, case="several" if moved_as_it_is else "across")


def _watched(ctx: CallContext) -> Answer:
    """From Linux 6.17 several mappings move at once where nothing is resized, but for those of a userfaultfd."""
    for part in ctx.parts():
        flag = next((flag for flag in ("um", "uw", "ui") if part.vma.has(flag)), None)
        if flag is not None:
            fact = seen("%s has a userfaultfd (`%s`)" % (place(part.vma.line), flag), "VmFlags in /proc/PID/smaps")
            return refuses(ctx, LENGTH, fact, errno=Errno.EFAULT, case="watched")
    return LETS_THROUGH


def _flags(ctx: CallContext, case: str) -> Answer:
    assert isinstance(ctx.request, Mremap)
    shown = argument("flags are %s" % f.named_bits(ctx.request.flags, f.MREMAP))
    return refuses(ctx, FLAGS, shown, errno=Errno.EINVAL, case=case)


def _too_long(ctx: CallContext, length: int, case: str) -> Answer:
    fact = argument("the new length is %#x" % length)
    return refuses(ctx, LENGTH, fact, errno=Errno.EINVAL, case=case, limit=hex(ctx.task_size))
