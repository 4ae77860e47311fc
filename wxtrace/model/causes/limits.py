"""Limits that were reached, with the numbers (mm/mmap.c:may_expand_vm, mm/util.c:__vm_enough_memory)."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, number_of, seen, size_text

__all__ = ["address_space", "data", "map_count", "memlock", "no_hugepages", "open_files", "overcommit"]

_SPLITTING = frozenset({"mprotect", "pkey_mprotect", "munmap", "madvise", "mseal"})
_COPYING = frozenset({"fork", "clone", "clone3"})
"""A child has all private writable memory a second time, as far as promises go (kernel/fork.c:dup_mmap)."""
_CAP_IPC_LOCK, _CAP_SYS_ADMIN = 14, 21


def _kilobytes(refusal: Refusal, key: str) -> Optional[int]:
    words = refusal.probe.status.get(key, "").split()
    size = number_of(words[0]) if words else None
    return None if size is None else size * 1024


def growth(refusal: Refusal) -> int:
    """Bytes the call would add to the address space."""
    request = refusal.old
    if request.name == "mremap":
        return max(request.new_length - request.length, 0)
    if request.name == "brk":
        return max(request.addr - (refusal.probe.brk or request.addr), 0)
    if request.name in ("mprotect", "pkey_mprotect"):
        return _to_become_writable(refusal)
    if request.name in _COPYING:
        return _kilobytes(refusal, "VmData") or 0
    return request.length


def _to_become_writable(refusal: Refusal) -> int:
    """Bytes of the mapping that refused: those before it are writable by now, those behind were not looked at."""
    for part in refusal.parts():
        line = part.vma.line
        if line.perms[1] != "w" and line.perms[3] == "p":
            return min(line.end, refusal.end) - max(line.start, refusal.start)
    return refusal.old.length if refusal.probe.vmas_complete and not refusal.probe.vmas else 0


def _short(refusal: Refusal) -> bool:
    return refusal.errno in ("ENOMEM", "EAGAIN") or refusal.request.name == "brk"


def address_space(refusal: Refusal) -> Optional[Finding]:
    """RLIMIT_AS: VmSize and the request together; mprotect is never refused by it."""
    limit = refusal.probe.limits.get("Max address space")
    used = _kilobytes(refusal, "VmSize")
    if not _short(refusal) or refusal.request.name not in ("mmap", "mremap", "brk", "shmat", "io_setup"):
        return None
    if limit is None or used is None or used + growth(refusal) <= limit:
        return None
    return found(
        refusal,
        "limit.address-space",
        seen("soft limit %d bytes" % limit, "Max address space in /proc/PID/limits"),
        seen("%d bytes mapped" % used, "VmSize in /proc/PID/status"),
        limit=size_text(limit),
        used=size_text(used),
        more=size_text(growth(refusal)),
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
    brk_total = refusal.old.addr - refusal.probe.start_brk if name == "brk" else 0
    if used + growth(refusal) <= limit and brk_total <= limit:
        return None
    return found(
        refusal,
        "limit.data",
        seen("soft limit %d bytes" % limit, "Max data size in /proc/PID/limits"),
        seen("%d bytes of data" % used, "VmData in /proc/PID/status"),
        limit=size_text(limit),
        used=size_text(used),
        more=size_text(growth(refusal)),
    )


def map_count(refusal: Refusal) -> Optional[Finding]:
    """vm.max_map_count: a new mapping, or a split, would be one too many."""
    limit = number_of(refusal.probe.sysctl.get("vm.max_map_count"))
    count = refusal.probe.map_count
    if not _short(refusal) or limit is None or count is None:
        return None
    # maps shows one line more than there are VMAs ([vsyscall]); mremap needs a few to spare (mm/mremap.c).
    spare = 6 if refusal.request.name == "mremap" else 1
    if count + spare < limit:
        return None
    return found(
        refusal,
        "limit.map-count",
        seen("%d lines" % count, "/proc/PID/maps"),
        seen("vm.max_map_count = %d" % limit, "/proc/sys/vm/max_map_count"),
        limit=limit,
        verb="would split one of them" if refusal.request.name in _SPLITTING else "would add one",
        enough=max(262144, limit * 2),
    )


def memlock(refusal: Refusal) -> Optional[Finding]:
    """RLIMIT_MEMLOCK: under MAP_LOCKED, mlockall(MCL_FUTURE) and for secret memory; EPERM when the limit is 0."""
    limit = refusal.probe.limits.get("Max locked memory")
    locked = _kilobytes(refusal, "VmLck")
    name = refusal.request.name
    if limit is None or locked is None or name not in ("mmap", "mremap", "brk", "shmat"):
        return None
    may_lock = refusal.capable(_CAP_IPC_LOCK)
    if refusal.errno == "EPERM":
        if limit or not refusal.old.flags & f.MAP_LOCKED or name != "mmap" or may_lock:
            return None
        case = "none"
    elif refusal.errno == "EAGAIN" or name == "brk":
        if may_lock or locked + growth(refusal) <= limit:
            return None
        if name == "brk" and not any(vma.has("lo") and vma.line.path == "[heap]" for vma in refusal.probe.vmas):
            return None
        case = ""
    else:
        return None
    return found(
        refusal,
        "limit.memlock",
        seen("soft limit %d bytes" % limit, "Max locked memory in /proc/PID/limits"),
        seen("%d bytes locked" % locked, "VmLck in /proc/PID/status"),
        case=case,
        limit=size_text(limit),
        used=size_text(locked),
        more=size_text(growth(refusal)),
    )


def no_hugepages(refusal: Refusal) -> Optional[Finding]:
    """MAP_HUGETLB without enough free huge pages to reserve."""
    request = refusal.old
    if refusal.errno != "ENOMEM" or request.name != "mmap" or not request.flags & f.MAP_HUGETLB:
        return None
    free, reserved = refusal.probe.meminfo.get("HugePages_Free"), refusal.probe.meminfo.get("HugePages_Rsvd", 0)
    size = refusal.probe.meminfo.get("Hugepagesize", 2 << 20)
    fact = "HugePages_Free is %s" % free
    chosen = request.flags >> f.HUGE_SHIFT & f.HUGE_MASK
    if chosen and refusal.probe.huge_pages is not None:
        size, reserved = 1 << chosen, 0
        free = refusal.probe.huge_pages.get(str(size), 0)
        fact = "%d huge pages of %s are free" % (free, size_text(size))
    needed = -(-request.length // size)
    left = max((free or 0) - reserved, 0)
    evidence = () if free is None else (seen(fact, "/sys/kernel/mm/hugepages" if chosen else "/proc/meminfo"),)
    return found(
        refusal,
        "limit.hugepages",
        *evidence,
        case="few" if left else "",
        certain=free is not None and left < needed,
        more=size_text(request.length),
        free=size_text(left * size),
        enough=needed if needed * size <= refusal.probe.meminfo.get("MemTotal", 0) // 2 else None,
    )


def overcommit(refusal: Refusal) -> Optional[Finding]:
    """The kernel's guess that so much memory can never be there (vm.overcommit_memory)."""
    mode = refusal.probe.sysctl.get("vm.overcommit_memory")
    memory = refusal.probe.meminfo
    if not _short(refusal) or mode not in ("0", "2") or "MemTotal" not in memory or not _accounted(refusal):
        return None
    more = growth(refusal)
    if mode == "0":
        total = memory["MemTotal"] + memory.get("SwapTotal", 0)
        if more <= total:
            return None
        certain, room = True, "RAM and swap together are %s" % size_text(total)
        fact = "%s asked, RAM and swap are %s" % (size_text(more), size_text(total))
    else:
        limit, used = memory.get("CommitLimit", 0), memory.get("Committed_AS", 0)
        kept = _kilobyte_setting(refusal, "vm.user_reserve_kbytes")
        if not refusal.capable(_CAP_SYS_ADMIN):
            kept += _kilobyte_setting(refusal, "vm.admin_reserve_kbytes")
        if used + more <= limit - kept:
            return None
        # What others have promised changes all the time; the request alone does not.
        certain, room = more > limit, "%s of %s are promised already" % (size_text(used), size_text(limit))
        fact = "%s committed of %s, %s asked" % (size_text(used), size_text(limit), size_text(more))
    return found(
        refusal,
        "limit.overcommit",
        seen(fact, "/proc/meminfo"),
        seen("vm.overcommit_memory = %s" % mode, "/proc/sys/vm/overcommit_memory"),
        case="strict" if mode == "2" else "",
        certain=certain,
        mode=mode,
        more=size_text(more),
        room=room,
    )


def _accounted(refusal: Refusal) -> bool:
    """Whether the kernel counts this memory as promised: private writable, or shared without a file."""
    request = refusal.old
    if request.name in ("mprotect", "pkey_mprotect"):
        return bool(refusal.wants & f.PROT_WRITE)
    if request.name == "mmap":
        shared = request.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE)
        return bool(request.flags & f.MAP_ANONYMOUS if shared else refusal.wants & f.PROT_WRITE)
    return request.name in ("mremap", "brk") or request.name in _COPYING


def _kilobyte_setting(refusal: Refusal, name: str) -> int:
    return (number_of(refusal.probe.sysctl.get(name)) or 0) * 1024


def open_files(refusal: Refusal) -> Optional[Finding]:
    """EMFILE and ENFILE: no descriptor is left for what the call makes."""
    if refusal.errno == "ENFILE":
        most = number_of(refusal.probe.sysctl.get("fs.file-max"))
        shown = seen("fs.file-max = %s" % ("unknown" if most is None else most), "/proc/sys/fs/file-max")
        # Where it is not limited in earnest, it is the largest number there is.
        enough = most * 2 if most is not None and most < 1 << 40 else None
        return found(refusal, "limit.fds", shown, case="machine", certain=False, enough=enough)
    limit, count = refusal.probe.limits.get("Max open files"), refusal.probe.open_fds
    if refusal.errno != "EMFILE" or limit is None:
        return None
    evidence = [seen("soft limit %d" % limit, "Max open files in /proc/PID/limits")]
    if count is not None:
        evidence.append(seen("%d are open" % count, "/proc/PID/fd"))
    return found(
        refusal,
        "limit.fds",
        *evidence,
        limit=limit,
        count=limit if count is None else count,
        enough=max(limit * 2, 4096),
    )
