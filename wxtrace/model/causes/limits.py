"""Limits that were reached, with the numbers (mm/mmap.c:may_expand_vm, mm/util.c:__vm_enough_memory)."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, PROVED, Finding, Refusal, admin, developer, seen, size_text

__all__ = ["address_space", "data", "map_count", "memlock", "no_hugepages", "no_room", "overcommit"]

_TASK_SIZE = (1 << 47) - 4096
_SPLITTING = frozenset({"mprotect", "pkey_mprotect", "munmap", "madvise", "mseal"})


def _kilobytes(refusal: Refusal, key: str) -> Optional[int]:
    words = refusal.probe.status.get(key, "").split()
    return int(words[0]) * 1024 if words and words[0].isdigit() else None


def _growth(refusal: Refusal) -> int:
    """Bytes the call would add to the address space."""
    request = refusal.request
    if request.name == "mremap":
        return max(request.new_length - request.length, 0)
    if request.name == "brk":
        return max(request.addr - (refusal.probe.brk or request.addr), 0)
    return request.length


def _short(refusal: Refusal) -> bool:
    return refusal.errno in ("ENOMEM", "EAGAIN") or refusal.request.name == "brk"


def address_space(refusal: Refusal) -> Optional[Finding]:
    """RLIMIT_AS: VmSize and the request together; mprotect is never refused by it."""
    limit = refusal.probe.limits.get("Max address space")
    used = _kilobytes(refusal, "VmSize")
    if not _short(refusal) or refusal.request.name not in ("mmap", "mremap", "brk", "shmat"):
        return None
    if limit is None or used is None or used + _growth(refusal) <= limit:
        return None
    return Finding(
        "limit.address-space",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "RLIMIT_AS is %s: %s are mapped, and %s more were asked"
        % (size_text(limit), size_text(used), size_text(_growth(refusal))),
        (
            seen("soft limit %d bytes" % limit, "Max address space in /proc/PID/limits"),
            seen("%d bytes mapped" % used, "VmSize in /proc/PID/status"),
        ),
        (
            admin("Raise the limit (LimitAS= in the unit, ulimit -v in the shell).", "ulimit -v unlimited"),
            developer("Reserve less address space at once."),
        ),
    )


def data(refusal: Refusal) -> Optional[Finding]:
    """RLIMIT_DATA: private writable memory; an mprotect that adds W counts, and brk has a second formula."""
    limit = refusal.probe.limits.get("Max data size")
    used = _kilobytes(refusal, "VmData")
    if not _short(refusal) or limit is None or used is None:
        return None
    name = refusal.request.name
    if name in ("mprotect", "pkey_mprotect"):
        if not refusal.wants & f.PROT_WRITE:
            return None
    elif name not in ("brk", "mremap") and not (name == "mmap" and refusal.wants & f.PROT_WRITE):
        return None
    growth = _growth(refusal)
    brk_total = refusal.request.addr - refusal.probe.start_brk if name == "brk" else 0
    if used + growth <= limit and brk_total <= limit:
        return None
    return Finding(
        "limit.data",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "RLIMIT_DATA is %s: %s of private writable memory are in use, and %s more were asked"
        % (size_text(limit), size_text(used), size_text(growth)),
        (
            seen("soft limit %d bytes" % limit, "Max data size in /proc/PID/limits"),
            seen("%d bytes of data" % used, "VmData in /proc/PID/status"),
        ),
        (
            admin("Raise the limit (LimitDATA= in the unit, ulimit -d in the shell).", "ulimit -d unlimited"),
            developer("Reserve memory PROT_NONE and make it writable only as it is used."),
        ),
    )


def map_count(refusal: Refusal) -> Optional[Finding]:
    """vm.max_map_count: a new mapping, or a split, would be one too many."""
    text = refusal.probe.sysctl.get("vm.max_map_count", "")
    count = refusal.probe.map_count
    if not _short(refusal) or not text.isdigit() or count is None:
        return None
    limit = int(text)
    # maps shows one line more than there are VMAs ([vsyscall]); mremap needs a few to spare (mm/mremap.c).
    spare = 6 if refusal.request.name == "mremap" else 1
    if count + spare < limit:
        return None
    verb = "would split one of them" if refusal.request.name in _SPLITTING else "would add one"
    return Finding(
        "limit.map-count",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "the process has %d mappings, the most vm.max_map_count (%d) allows, and this call %s" % (count, limit, verb),
        (
            seen("%d lines" % count, "/proc/PID/maps"),
            seen("vm.max_map_count = %d" % limit, "/proc/sys/vm/max_map_count"),
        ),
        (
            developer("Change neighbouring pages together, so that mappings stay joined."),
            admin("Raise the limit.", "sysctl -w vm.max_map_count=%d" % max(262144, limit * 2)),
        ),
    )


def memlock(refusal: Refusal) -> Optional[Finding]:
    """RLIMIT_MEMLOCK under MAP_LOCKED or mlockall(MCL_FUTURE): EAGAIN, or EPERM when the limit is 0."""
    limit = refusal.probe.limits.get("Max locked memory")
    locked = _kilobytes(refusal, "VmLck")
    if refusal.errno not in ("EAGAIN", "EPERM") or limit is None or locked is None:
        return None
    if refusal.request.name not in ("mmap", "mremap", "brk", "shmat"):
        return None
    if refusal.errno == "EPERM" and not (limit == 0 and refusal.request.flags & f.MAP_LOCKED):
        return None
    if refusal.errno == "EAGAIN" and locked + _growth(refusal) <= limit:
        return None
    return Finding(
        "limit.memlock",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "RLIMIT_MEMLOCK is %s: %s are locked, and %s more were asked"
        % (size_text(limit), size_text(locked), size_text(_growth(refusal))),
        (
            seen("soft limit %d bytes" % limit, "Max locked memory in /proc/PID/limits"),
            seen("%d bytes locked" % locked, "VmLck in /proc/PID/status"),
        ),
        (admin("Raise the limit (LimitMEMLOCK= in the unit, ulimit -l in the shell).", "ulimit -l unlimited"),),
    )


def no_hugepages(refusal: Refusal) -> Optional[Finding]:
    """MAP_HUGETLB without free huge pages to reserve."""
    if refusal.errno != "ENOMEM" or refusal.request.name != "mmap" or not refusal.request.flags & f.MAP_HUGETLB:
        return None
    free = refusal.probe.meminfo.get("HugePages_Free")
    return Finding(
        "limit.hugepages",
        PROVED if free == 0 and refusal.kernel_decided else CONSISTENT,
        "no huge pages are set aside on this machine",
        (seen("HugePages_Free is %s" % free, "/proc/meminfo"),) if free is not None else (),
        (
            developer("Fall back to ordinary pages."),
            admin("Set huge pages aside.", "sysctl -w vm.nr_hugepages=64"),
        ),
    )


def no_room(refusal: Refusal) -> Optional[Finding]:
    """ENOMEM because the address space itself has no such range."""
    request = refusal.request
    if refusal.errno != "ENOMEM" or request.name not in ("mmap", "mremap"):
        return None
    length = request.new_length if request.name == "mremap" else request.length
    fixed = request.name == "mmap" and request.flags & f.MAP_FIXED
    if length <= _TASK_SIZE and not (fixed and request.addr + length > _TASK_SIZE):
        return None
    return Finding(
        "address.no-room",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "the address space of a program has no room for this range",
        (seen("%s asked, of at most %s" % (size_text(length), size_text(_TASK_SIZE)), "the arguments of the call"),),
        (developer("Ask for less, or let the kernel choose the address."),),
    )


def overcommit(refusal: Refusal) -> Optional[Finding]:
    """The kernel's guess that so much memory can never be there (vm.overcommit_memory)."""
    mode = refusal.probe.sysctl.get("vm.overcommit_memory")
    memory = refusal.probe.meminfo
    if not _short(refusal) or mode not in ("0", "2") or "MemTotal" not in memory:
        return None
    growth = _growth(refusal)
    if refusal.request.name in ("mmap", "mprotect", "pkey_mprotect") and not refusal.wants & f.PROT_WRITE:
        return None
    total = memory["MemTotal"] + memory.get("SwapTotal", 0)
    if mode == "0":
        if growth <= total:
            return None
        fact = seen("%s asked, RAM and swap are %s" % (size_text(growth), size_text(total)), "/proc/meminfo")
    else:
        limit, used = memory.get("CommitLimit", 0), memory.get("Committed_AS", 0)
        if used + growth <= limit * 9 // 10:
            return None
        fact = seen(
            "%s committed of %s, %s asked" % (size_text(used), size_text(limit), size_text(growth)), "/proc/meminfo"
        )
    return Finding(
        "limit.overcommit",
        CONSISTENT,
        "the kernel does not promise this much memory (vm.overcommit_memory=%s)" % mode,
        (fact,),
        (
            developer("Reserve with PROT_NONE or MAP_NORESERVE, and make pages writable as they are used."),
            admin("Allow overcommitment.", "sysctl -w vm.overcommit_memory=1"),
        ),
    )
