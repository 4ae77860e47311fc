"""Arguments of mmap (mm/mmap.c:ksys_mmap_pgoff, do_mmap; the offset: arch/x86/kernel/sys_x86_64.c)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, refuses, rule
from wxtrace.model.causes.argument.entries import ALIGNMENT, FLAGS, LENGTH
from wxtrace.model.causes.argument.evidence import HIGHEST, alignment, argument, rounded
from wxtrace.model.causes.context import CallContext
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.mmap import Mmap

__all__ = ["file_grows_down", "fixed_address", "length", "mapping_type", "offset"]

_FIXED = f.MAP_FIXED | f.MAP_FIXED_NOREPLACE
_NEVER_DROPPABLE = f.MAP_LOCKED | f.MAP_HUGETLB | f.MAP_GROWSDOWN
_ABOVE_4G = 0x80
_LEGACY = 0x7C07F9F3
"""include/linux/mman.h:LEGACY_MAP_MASK of x86-64, with MAP_ABOVE4G (Linux 6.6); MAP_FIXED_NOREPLACE is not in it."""


@rule(ALIGNMENT)
def offset(ctx: CallContext) -> Answer:
    """The first thing that is looked at, before the descriptor."""
    assert isinstance(ctx.request, Mmap)
    return alignment(ctx, "the file offset", ctx.request.offset)


@rule(LENGTH)
def length(ctx: CallContext) -> Answer:
    """A length of 0, or one that rounds to 0."""
    assert isinstance(ctx.request, Mmap)
    asked = ctx.request.length
    if asked == 0:
        return refuses(ctx, LENGTH, argument("the length is 0"), errno=Errno.EINVAL)
    if rounded(ctx, asked) >= HIGHEST:
        return refuses(ctx, LENGTH, argument("the length is %#x" % asked), errno=Errno.ENOMEM, case="wraps")
    return LETS_THROUGH


@rule(ALIGNMENT)
def fixed_address(ctx: CallContext) -> Answer:
    """A fixed address is looked at when its place is known to be inside the address space (__get_unmapped_area)."""
    assert isinstance(ctx.request, Mmap)
    return alignment(ctx, "the address", ctx.request.addr) if ctx.request.flags & _FIXED else LETS_THROUGH


@rule(FLAGS)
def mapping_type(ctx: CallContext) -> Answer:
    """MAP_TYPE, and what goes with it."""
    assert isinstance(ctx.request, Mmap)
    flags = ctx.request.flags
    kind = flags & f.MAP_TYPE
    if not flags & f.MAP_ANONYMOUS:
        unknown = flags & ~(_LEGACY | f.MAP_SYNC)
        if (0, 0) < ctx.kernel < (6, 6):
            unknown |= flags & _ABOVE_4G
        if kind == f.MAP_SHARED_VALIDATE and unknown:
            return _refused(ctx, "validate", f.named_bits(flags & ~f.MAP_TYPE, f.MAP), Errno.EOPNOTSUPP)
        return LETS_THROUGH if kind in _OF_FILES else _refused(ctx, _type_case(ctx, kind), "%#x" % flags)
    if flags & f.MAP_HUGETLB:
        # Anonymous huge pages are a file of the kernel's own.
        if kind in _OF_FILES:
            return LETS_THROUGH
        return _refused(ctx, _type_case(ctx, kind), "%#x" % flags)
    if kind == f.MAP_SHARED and flags & f.MAP_GROWSDOWN:
        fact = argument("flags hold MAP_GROWSDOWN and MAP_SHARED")
        return refuses(ctx, FLAGS, fact, errno=Errno.EINVAL, case="shared-grows-down")
    if kind == f.MAP_DROPPABLE:
        if (0, 0) < ctx.kernel < (6, 11) or flags & _NEVER_DROPPABLE:
            return _refused(ctx, _type_case(ctx, kind), "%#x" % flags)
        return LETS_THROUGH
    if kind in (f.MAP_SHARED, f.MAP_PRIVATE):
        return LETS_THROUGH
    return _refused(ctx, "validate-anonymous" if kind == f.MAP_SHARED_VALIDATE else "type", "%#x" % flags)


_OF_FILES = frozenset({f.MAP_SHARED, f.MAP_PRIVATE, f.MAP_SHARED_VALIDATE})


def _type_case(ctx: CallContext, kind: int) -> str:
    if kind != f.MAP_DROPPABLE:
        return "type"
    return "droppable-old" if (0, 0) < ctx.kernel < (6, 11) else "droppable"


def _refused(ctx: CallContext, case: str, shown: str, errno: Errno = Errno.EINVAL) -> Answer:
    return refuses(ctx, FLAGS, argument("flags are %s" % shown), errno=errno, case=case)


@rule(FLAGS)
def file_grows_down(ctx: CallContext) -> Answer:
    """MAP_GROWSDOWN with a file, which is looked at behind the descriptor's own checks."""
    assert isinstance(ctx.request, Mmap)
    flags = ctx.request.flags
    has_file = not flags & f.MAP_ANONYMOUS or flags & f.MAP_HUGETLB
    if not flags & f.MAP_GROWSDOWN or not has_file:
        return LETS_THROUGH
    fact = argument("flags hold MAP_GROWSDOWN and a file")
    return refuses(ctx, FLAGS, fact, errno=Errno.EINVAL, case="file-grows-down")
