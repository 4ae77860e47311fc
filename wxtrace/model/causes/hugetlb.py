"""hugetlb: memory of huge pages is mapped in whole huge pages only, and in sizes that the machine offers.

What cuts such a mapping later is in `wxtrace.model.causes.may_split`.
"""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen, size_text
from wxtrace.model.causes.opened import ARGUMENTS, file_request, huge_page_size, offered_sizes, shown
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.memfd import MemfdCreate
from wxtrace.model.syscalls.mmap import Mmap

__all__ = ["HUGETLB", "alignment", "offset", "size_or_file"]

_SIZES = "/sys/kernel/mm/hugepages"

HUGETLB = Cause(
    "hugetlb",
    "kernel",
    "Memory of huge pages can be changed in whole huge pages only, and only in sizes the machine offers.",
    {
        "mmap": (Errno.EINVAL,),
        "mprotect": (Errno.EINVAL,),
        "pkey_mprotect": (Errno.EINVAL,),
        "munmap": (Errno.EINVAL,),
        "mremap": (Errno.EINVAL,),
        "memfd_create": (Errno.ENODEV,),
    },
    (Need.ANSWERED, Need.VM_FLAGS),
    "this memory consists of huge pages, and the call would cut one",
    (developer("Change whole huge pages: address and length must be multiples of their size."),),
    "mm/hugetlb.c:hugetlb_vm_op_split",
    {
        "grow": Case("memory of huge pages cannot be grown by mremap", (developer("Map a larger area and copy."),)),
        "alignment": Case(
            "the address of huge pages must be a multiple of their size ({size})",
            (developer("Pass a multiple of the size, or let the kernel choose the address."),),
        ),
        "offset": Case(
            "the offset in a file of huge pages must be a multiple of their size ({size})",
            (developer("Map from a multiple of the size, and skip what comes before."),),
        ),
        "size": Case(
            "the machine has no huge pages of {size}",
            (developer("Ask for a size listed in /sys/kernel/mm/hugepages, or for none."),),
        ),
        "file": Case(
            "MAP_HUGETLB is for anonymous memory and files of hugetlbfs, and this is another file",
            (developer("Drop MAP_HUGETLB, or use memfd_create with MFD_HUGETLB."),),
        ),
    },
    outcome=Outcome.FAILED,
)


@rule(HUGETLB)
def size_or_file(ctx: CallContext) -> Answer:
    """MAP_HUGETLB or MFD_HUGETLB with a size nobody offers, or for a file of another kind (ksys_mmap_pgoff)."""
    request = ctx.request
    if isinstance(request, Mmap):
        if not request.flags & f.MAP_HUGETLB:
            return LETS_THROUGH
        if file_request(ctx) is not None:
            return _other_file(ctx, request)
        asked = request.flags
    else:
        assert isinstance(request, MemfdCreate)
        if not request.flags & f.MFD_HUGETLB:
            return LETS_THROUGH
        asked = request.flags
    chosen, known = asked >> f.HUGE_SHIFT & f.HUGE_MASK, offered_sizes(ctx)
    if known is None:
        return cannot_tell(ctx, HUGETLB, Need.MEMORY)
    if (1 << chosen in known) if chosen else known:
        return LETS_THROUGH
    offered = ", ".join(size_text(size) for size in known) or "none"
    fact = seen("sizes on this machine: %s" % offered, _SIZES)
    return refuses(ctx, HUGETLB, fact, case="size", size=size_text(1 << chosen) if chosen else "any size")


@rule(HUGETLB)
def alignment(ctx: CallContext) -> Answer:
    """A fixed address inside a huge page (mm/hugetlb.c:hugetlb_get_unmapped_area)."""
    request, size = ctx.request, huge_page_size(ctx)
    if not isinstance(request, Mmap) or size is None or not request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE):
        return LETS_THROUGH
    if request.addr % size == 0:
        return LETS_THROUGH
    fact = seen("address %#x" % request.addr, ARGUMENTS)
    return refuses(ctx, HUGETLB, fact, case="alignment", size=size_text(size))


@rule(HUGETLB)
def offset(ctx: CallContext) -> Answer:
    """An offset inside a huge page (fs/hugetlbfs/inode.c:hugetlbfs_file_mmap)."""
    request, size = file_request(ctx), huge_page_size(ctx)
    if request is None or size is None or request.offset % size == 0:
        return LETS_THROUGH
    fact = seen("offset %#x" % request.offset, ARGUMENTS)
    return refuses(ctx, HUGETLB, shown(ctx, request), fact, case="offset", size=size_text(size))


def _other_file(ctx: CallContext, request: Mmap) -> Answer:
    descriptor = ctx.probe.descriptor
    if descriptor is None:
        return cannot_tell(ctx, HUGETLB, Need.DESCRIPTOR)
    if huge_page_size(ctx) is not None:
        return LETS_THROUGH
    if descriptor.link.startswith(("/memfd:", "/anon_hugepage")):
        # One that could not be asked.
        return cannot_tell(ctx, HUGETLB, Need.DESCRIPTOR)
    return refuses(ctx, HUGETLB, shown(ctx, request), case="file")
