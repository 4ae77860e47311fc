"""Refusals that come from the address range itself."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, PROVED, Finding, Refusal, developer, seen

__all__ = ["across_mappings", "below_minimum", "brk_below_start", "brk_collision", "occupied", "unmapped"]

_CAP_SYS_RAWIO = 17


def unmapped(refusal: Refusal) -> Optional[Finding]:
    """A hole in the range: ENOMEM (EFAULT from mremap)."""
    request = refusal.request
    wanted = {"mremap": "EFAULT"}.get(request.name, "ENOMEM")
    if refusal.errno != wanted or request.name not in _RANGE_CALLS or not refusal.probe.vmas_complete:
        return None
    covered = refusal.start
    for part in refusal.parts():
        if part.vma.line.start > covered:
            break
        covered = max(covered, part.vma.line.end)
    if covered >= refusal.end or not _came_to(refusal, covered):
        return None
    following = min((vma.line.start for vma in refusal.probe.vmas if vma.line.start >= covered), default=refusal.end)
    hole = "%#x-%#x" % (covered, min(following, refusal.end))
    return Finding(
        "address.unmapped",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "nothing is mapped at %s, inside the range of the call" % hole,
        (seen("no mapping at %s" % hole, "/proc/PID/smaps after the call"),),
        (developer("Check address and length; memory may have been unmapped, or replaced by a smaller mapping."),),
    )


def _came_to(refusal: Refusal, hole: int) -> bool:
    """mprotect changes what lies before a hole first: if that is as it was, something before the hole refused."""
    if refusal.request.name not in ("mprotect", "pkey_mprotect"):
        return True
    wanted = f.prot_letters(refusal.wants)
    return all(part.after is None or part.after[:3] == wanted for part in refusal.touched if part.start < hole)


def across_mappings(refusal: Refusal) -> Optional[Finding]:
    """mremap that grows, from a range of several mappings or one that may not grow (mm/mremap.c:vma_to_resize)."""
    request, parts = refusal.request, refusal.parts()
    if request.name != "mremap" or refusal.errno != "EFAULT" or not parts:
        return None
    first = parts[0].vma
    if first.has("de") or first.has("pf"):
        return Finding(
            "address.special-mapping",
            PROVED if refusal.kernel_decided else CONSISTENT,
            "%s belongs to the kernel or a driver and cannot grow" % (first.line.path or "this mapping"),
            (seen("VM_DONTEXPAND or VM_PFNMAP is set (`de`, `pf`)", "VmFlags in /proc/PID/smaps"),),
            (developer("Map a larger area instead of growing this one."),),
        )
    if first.line.end >= refusal.end:
        return None
    return Finding(
        "argument.length",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "the old range reaches over the end of a mapping, and mremap grows one mapping only",
        (seen("the first mapping of the range ends at %#x" % first.line.end, "/proc/PID/smaps"),),
        (developer("Give the whole range one protection before it is resized, or resize each part."),),
    )


_RANGE_CALLS = frozenset({"mprotect", "pkey_mprotect", "madvise", "mseal", "mremap", "remap_file_pages"})


def occupied(refusal: Refusal) -> Optional[Finding]:
    """MAP_FIXED_NOREPLACE over anything."""
    if refusal.errno != "EEXIST":
        return None
    other = next((part.vma.line for part in refusal.parts()), None)
    where = "%#x-%#x %s" % (other.start, other.end, other.path or "(anonymous)") if other else "the range"
    return Finding(
        "address.occupied",
        PROVED if other is not None and refusal.kernel_decided else CONSISTENT,
        "MAP_FIXED_NOREPLACE found the range taken by %s" % where,
        (seen("%s is mapped" % where, "/proc/PID/smaps"),) if other else (),
        (developer("Choose another address, or let the kernel choose."),),
    )


def below_minimum(refusal: Refusal) -> Optional[Finding]:
    """A fixed address below vm.mmap_min_addr without CAP_SYS_RAWIO (security/commoncap.c:cap_mmap_addr)."""
    text = refusal.probe.sysctl.get("vm.mmap_min_addr", "")
    request = refusal.request
    if refusal.errno != "EPERM" or not text.isdigit() or request.name not in ("mmap", "mremap", "shmat"):
        return None
    address = request.new_addr if request.name == "mremap" else request.addr
    fixed = request.name != "mmap" or request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE)
    if address >= int(text) or not fixed:
        return None
    capabilities = int(refusal.probe.status.get("CapEff", "0") or "0", 16)
    has_rawio = bool(capabilities >> _CAP_SYS_RAWIO & 1)
    return Finding(
        "address.below-minimum",
        PROVED if refusal.kernel_decided and not has_rawio else CONSISTENT,
        "addresses below vm.mmap_min_addr (%s) are kept free to catch null pointers" % text,
        (
            seen("address %#x" % address, "the arguments of the call"),
            seen("vm.mmap_min_addr = %s" % text, "/proc/sys/vm/mmap_min_addr"),
            seen("CAP_SYS_RAWIO is %s" % ("there" if has_rawio else "missing"), "CapEff in /proc/PID/status"),
        ),
        (developer("Use a higher address."),),
    )


def brk_below_start(refusal: Refusal) -> Optional[Finding]:
    """brk below its start: a question rather than a request."""
    if refusal.request.name != "brk" or not refusal.probe.start_brk:
        return None
    if refusal.request.addr >= refusal.probe.start_brk:
        return None
    return Finding(
        "argument.pointer",
        PROVED,
        "the heap starts at %#x, and a break below it is never taken" % refusal.probe.start_brk,
        (seen("start_brk is %#x" % refusal.probe.start_brk, "/proc/PID/stat"),),
        (developer("Pass sbrk(0) plus what you need."),),
    )


def brk_collision(refusal: Refusal) -> Optional[Finding]:
    """brk into the next mapping, or within a page of it (mm/mmap.c:SYSCALL_DEFINE1(brk))."""
    if refusal.request.name != "brk" or refusal.probe.brk is None:
        return None
    above = next((vma.line for vma in refusal.probe.vmas if vma.line.start >= refusal.probe.brk), None)
    if above is None or above.start > refusal.request.addr + refusal.host.page_size:
        return None
    return Finding(
        "address.brk-collision",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "the heap cannot grow to %#x: %s is in the way" % (refusal.request.addr, above.path or "another mapping"),
        (seen("the next mapping starts at %#x" % above.start, "/proc/PID/smaps"),),
        (developer("Map memory instead of growing the heap."),),
    )
