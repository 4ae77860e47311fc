"""brk: what it does not take, without an errno (mm/mmap.c:SYSCALL_DEFINE1(brk))."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.argument.entries import POINTER
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.brk import Brk

__all__ = ["BRK_COLLISION", "below_start", "collision"]

_GUARD_PAGES = 256
"""What stays free below memory that grows down (mm/mmap.c:stack_guard_gap)."""

BRK_COLLISION = Cause(
    "address.brk-collision",
    "kernel",
    "The heap cannot grow: another mapping lies right above it.",
    {"brk": (Errno.NONE,)},
    (Need.ANSWERED, Need.MAPPINGS, Need.BREAK),
    "the heap cannot grow to {wanted}: {other} is in the way",
    (developer("Map memory instead of growing the heap; malloc does so by itself."),),
    "mm/mmap.c:SYSCALL_DEFINE1(brk)",
    outcome=Outcome.PROBE,
)


@rule(POINTER)
def below_start(ctx: CallContext) -> Answer:
    """Below the start of the heap: a question rather than a request."""
    assert isinstance(ctx.request, Brk)
    start = ctx.probe.start_brk
    if not start:
        return cannot_tell(ctx, POINTER, Need.BREAK)
    if ctx.request.addr >= start:
        return LETS_THROUGH
    fact = seen("start_brk is %#x" % start, "/proc/PID/stat")
    return refuses(ctx, POINTER, fact, case="brk", start=hex(start))


@rule(BRK_COLLISION)
def collision(ctx: CallContext) -> Answer:
    """Growing into a mapping, or to less than a page from it, or from under one that covers the break."""
    assert isinstance(ctx.request, Brk)
    wanted, known, page = ctx.request.addr, ctx.probe.brk, ctx.host.page_size
    if known is None:
        return cannot_tell(ctx, BRK_COLLISION, Need.BREAK)
    old, new = -(-known // page) * page, -(-wanted // page) * page
    if new <= old:
        return LETS_THROUGH
    above = next((vma for vma in ctx.probe.vmas if vma.line.end > old), None)
    if above is None:
        return LETS_THROUGH if ctx.probe.vmas_complete else cannot_tell(ctx, BRK_COLLISION, Need.MAPPINGS)
    guard = _GUARD_PAGES * page if above.has("gd") else 0
    if new + page <= above.line.start - guard:
        return LETS_THROUGH
    fact = seen("the next mapping starts at %#x" % above.line.start, "/proc/PID/smaps")
    # What covers the place of the heap is shown under that name, whatever it is (fs/proc/task_mmu.c:get_vma_name).
    other = above.line.path if above.line.path not in ("", "[heap]") else "another mapping"
    return refuses(ctx, BRK_COLLISION, fact, wanted=hex(wanted), other=other)
