"""Where the addresses of a program end, and where the kernel looks for room below that.

arch/x86/include/asm/page_64_types.h:TASK_SIZE, arch/x86/kernel/sys_x86_64.c:arch_get_unmapped_area_topdown.
"""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.row import CallRequest

__all__ = ["USUAL_BITS", "searched_below", "task_size"]

USUAL_BITS = 47
"""Of an address, unless 5-level paging is in use."""


def task_size(abi: int, address_bits: int, page_size: int, personality: int) -> int:
    """The first address behind a program's own, in bytes. `address_bits`: as in facts.Host."""
    if abi == Abi.I386:
        return 0xC0000000 if personality & f.ADDR_LIMIT_3GB else 0xFFFFE000
    return (1 << address_bits) - page_size


def searched_below(request: CallRequest, end: int, page_size: int) -> int:
    """Where the kernel stops looking for a gap: only a hint that lies above 2^47 makes it use what 56 bits give."""
    window = (1 << USUAL_BITS) - page_size
    hint = 0
    if isinstance(request, Mmap):
        hint = request.addr
    elif isinstance(request, Mremap) and request.flags & f.MREMAP_DONTUNMAP:
        hint = request.new_address
    return end if hint > window else min(end, window)
