"""limit.hugepages: more huge pages than are set aside (mm/hugetlb.c:hugetlb_reserve_pages)."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen, size_text
from wxtrace.model.causes.opened import default_huge_page_size, huge_page_size
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.mmap import Mmap

__all__ = ["HUGEPAGES", "hugepages"]

HUGEPAGES = Cause(
    "limit.hugepages",
    "kernel",
    "Huge pages were asked (MAP_HUGETLB, or a file of them), and not enough of them are set aside.",
    {"mmap": (Errno.ENOMEM,)},
    (Need.ANSWERED, Need.MEMORY),
    "no huge pages are set aside on this machine",
    (
        developer("Fall back to ordinary pages."),
        admin("Set huge pages aside.", "sysctl -w vm.nr_hugepages={enough}"),
    ),
    "mm/hugetlb.c:hugetlb_reserve_pages",
    {"few": Case("{more} of huge pages were asked, and {free} are free on this machine")},
    outcome=Outcome.PROBE,
)


@rule(HUGEPAGES)
def hugepages(ctx: CallContext) -> Answer:
    """All of a mapping is reserved when it is made, unless it is to have no reserve."""
    request, size = ctx.request, huge_page_size(ctx)
    if not isinstance(request, Mmap) or size is None or request.flags & f.MAP_NORESERVE:
        return LETS_THROUGH
    needed = -(-request.length // size)
    left, fact, source = _left(ctx, size)
    words: Dict[str, Any] = {
        "more": size_text(request.length),
        "free": size_text((left or 0) * size),
        "enough": needed if needed * size <= ctx.probe.meminfo.get("MemTotal", 0) // 2 else None,
    }
    case = "few" if left else ""
    if left is None:
        return may_refuse(ctx, HUGEPAGES, without=(Need.MEMORY,), case=case, **words)
    if needed <= left:
        return LETS_THROUGH
    evidence = seen(fact, source)
    if request.flags & f.MAP_ANONYMOUS:
        return refuses(ctx, HUGEPAGES, evidence, case=case, **words)
    # What another mapping of the file has reserved need not be reserved again.
    return may_refuse(ctx, HUGEPAGES, evidence, case=case, by_exclusion=True, **words)


def _left(ctx: CallContext, size: int) -> Tuple[Optional[int], str, str]:
    """Huge pages that can still be reserved, and how that is known."""
    sizes, memory = ctx.probe.huge_pages, ctx.probe.meminfo
    if size == default_huge_page_size(ctx) and "HugePages_Free" in memory:
        free = memory["HugePages_Free"]
        left = max(free - memory.get("HugePages_Rsvd", 0), 0) if sizes is None else sizes.get(str(size), 0)
        return left, "HugePages_Free is %d" % free, "/proc/meminfo"
    if sizes is None:
        return None, "", ""
    left = sizes.get(str(size), 0)
    return left, "%d huge pages of %s are free" % (left, size_text(size)), "/sys/kernel/mm/hugepages"
