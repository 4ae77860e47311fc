"""Arguments of remap_file_pages (mm/mmap.c:SYSCALL_DEFINE5(remap_file_pages)): every one of them gives EINVAL."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.argument.entries import FLAGS, LENGTH, PROT
from wxtrace.model.causes.argument.evidence import HIGHEST, argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import place
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages

__all__ = ["arguments", "one_mapping", "shared"]

_SMAPS = "VmFlags in /proc/PID/smaps"


@rule(PROT, LENGTH)
def arguments(ctx: CallContext) -> Answer:
    """What is looked at before the map. Address and length are rounded down."""
    assert isinstance(ctx.request, RemapFilePages)
    request, page = ctx.request, ctx.host.page_size
    if request.prot:
        return refuses(ctx, PROT, argument("prot is %#x" % request.prot), case="remap")
    size = request.size // page * page
    if request.addr // page * page + size >= HIGHEST or size == 0:
        fact = argument("the length is %#x" % request.size)
        return refuses(ctx, LENGTH, fact, case="wraps" if size else "")
    if request.pgoff + size // page >= HIGHEST:
        return refuses(ctx, LENGTH, argument("the offset is page %#x" % request.pgoff), case="offset-wraps")
    return LETS_THROUGH


@rule(FLAGS)
def shared(ctx: CallContext) -> Answer:
    """The mapping at the start has to be shared and writable (VM_SHARED); where there is none, that is told first."""
    part = next(iter(ctx.standing_at(ctx.start)), None)
    if part is None:
        read = ctx.probe.vmas_complete or any(vma.line.start > ctx.start for vma in ctx.probe.vmas)
        return LETS_THROUGH if read else cannot_tell(ctx, FLAGS, Need.MAPPINGS)
    if not part.vma.flags:
        return cannot_tell(ctx, FLAGS, Need.VM_FLAGS)
    if part.vma.has("sh"):
        return LETS_THROUGH
    line = part.vma.line
    private = "%#x-%#x is not shared and writable (no `sh`)" % (line.start, line.end)
    return refuses(ctx, FLAGS, seen(private, _SMAPS), case="private-remap")


@rule(LENGTH)
def one_mapping(ctx: CallContext) -> Answer:
    """Every mapping of the range has to have the file and the flags of the first one."""
    parts = ctx.parts()
    end = ctx.start
    for part in parts:
        first, line = parts[0].vma, part.vma.line
        if line.start > end:
            # A hole is told by itself.
            return LETS_THROUGH
        end = line.end
        if (line.dev, line.inode) != (first.line.dev, first.line.inode) or part.vma.flags != first.flags:
            fact = seen("%s is another mapping" % place(line), "/proc/PID/smaps")
            return refuses(ctx, LENGTH, fact, case="differs")
    return LETS_THROUGH
