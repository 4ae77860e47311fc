"""Refusals that come from the address range itself."""

from __future__ import annotations

from typing import Optional

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, number_of, seen, size_text

__all__ = [
    "across_mappings",
    "below_minimum",
    "brk_below_start",
    "brk_collision",
    "cannot_stay",
    "no_gap",
    "no_room",
    "not_together",
    "occupied",
    "unmapped",
    "vsyscall",
]

_CAP_SYS_RAWIO = 17
_RANGE_CALLS = frozenset({"mprotect", "pkey_mprotect", "madvise", "mseal", "mremap", "remap_file_pages"})
_ERRNOS = {"mremap": "EFAULT", "remap_file_pages": "EINVAL"}
_WATCHED = ("um", "uw", "ui")
_ARGUMENTS = "the arguments of the call"


def _place(line: MapLine) -> str:
    return "%#x-%#x %s" % (line.start, line.end, line.path or "(anonymous)")


def unmapped(refusal: Refusal) -> Optional[Finding]:
    """A hole in the range: ENOMEM (EFAULT from mremap)."""
    request = refusal.old
    if refusal.errno != _ERRNOS.get(request.name, "ENOMEM") or request.name not in _RANGE_CALLS:
        return None
    if not refusal.probe.vmas_complete:
        return None
    covered = refusal.start
    end = max(refusal.end, covered + 1)
    if refusal.moves_several:
        if refusal.moved:
            return None
        # Holes behind the first mapping are moved with the rest.
        end = covered + 1
    for part in refusal.parts():
        if part.vma.line.start > covered:
            break
        covered = max(covered, part.vma.line.end)
    if covered >= end or not _came_to(refusal, covered):
        return None
    following = min((vma.line.start for vma in refusal.probe.vmas if vma.line.start >= covered), default=end)
    hole = "%#x-%#x" % (covered, min(following, end))
    fact = seen("no mapping at %s" % hole, "/proc/PID/smaps after the call")
    return found(refusal, "address.unmapped", fact, case="advice" if request.name == "madvise" else "", hole=hole)


def _came_to(refusal: Refusal, hole: int) -> bool:
    """mprotect changes what lies before a hole first: if that is as it was, something before the hole refused."""
    if refusal.request.name not in ("mprotect", "pkey_mprotect"):
        return True
    wanted = f.prot_letters(refusal.wants)
    return all(part.after is None or part.after[:3] == wanted for part in refusal.touched if part.start < hole)


def across_mappings(refusal: Refusal) -> Optional[Finding]:
    """mremap that grows, from a range of several mappings or one that may not grow (mm/mremap.c:check_prep_vma)."""
    request, parts = refusal.old, refusal.parts()
    if request.name != "mremap" or refusal.errno != "EFAULT" or not parts:
        return None
    first = parts[0].vma
    # One that is merely too short is told from one that may not grow by its end (mm/mremap.c checks it first).
    if first.line.end >= refusal.end and (first.has("de") or first.has("pf")):
        fact = seen("VM_DONTEXPAND or VM_PFNMAP is set (`de`, `pf`)", "VmFlags in /proc/PID/smaps")
        path = first.line.path or "this mapping"
        return found(refusal, "address.special-mapping", fact, case="grow", path=path)
    if first.line.end >= refusal.end:
        return None
    fact = seen("the first mapping of the range ends at %#x" % first.line.end, "/proc/PID/smaps")
    # From 6.17 several mappings move at once where nothing is resized (mm/mremap.c:remap_move).
    moved = request.new_length == request.length and refusal.kernel < (6, 17)
    return found(refusal, "argument.length", fact, case="several" if moved else "across")


def not_together(refusal: Refusal) -> Optional[Finding]:
    """mremap of several mappings, one of which userfaultfd watches (mm/mremap.c:vma_multi_allowed)."""
    parts = refusal.parts()
    if refusal.errno != "EFAULT" or not refusal.moves_several or not parts:
        return None
    line = parts[0].vma.line
    if not any(parts[0].vma.has(flag) for flag in _WATCHED) or not (refusal.moved or line.end < refusal.end):
        return None
    fact = seen("userfaultfd watches %s (`um`, `uw` or `ui`)" % _place(line), "VmFlags in /proc/PID/smaps")
    return found(refusal, "address.special-mapping", fact, case="together", place="%#x-%#x" % (line.start, line.end))


def vsyscall(refusal: Refusal) -> Optional[Finding]:
    """[vsyscall] has a line in maps, but is no mapping (arch/x86/entry/vsyscall/vsyscall_64.c:gate_vma)."""
    end = max(refusal.end, refusal.start + 1)
    line = next((vma.line for vma in refusal.probe.vmas if vma.line.path == "[vsyscall]"), None)
    if refusal.errno != "ENOMEM" or refusal.request.name not in _RANGE_CALLS or line is None:
        return None
    if line.end <= refusal.start or line.start >= end:
        return None
    fact = seen("the range has a part of %s" % _place(line), "/proc/PID/smaps")
    return found(refusal, "address.special-mapping", fact, case="vsyscall", path=line.path)


def occupied(refusal: Refusal) -> Optional[Finding]:
    """MAP_FIXED_NOREPLACE over anything, and the same for map_shadow_stack."""
    if refusal.errno != "EEXIST":
        return None
    other = next((part.vma.line for part in refusal.parts()), None)
    if other is None:
        return found(refusal, "address.occupied", certain=False, other="something")
    fact = seen("%s is mapped" % _place(other), "/proc/PID/smaps")
    return found(refusal, "address.occupied", fact, other=_place(other))


def below_minimum(refusal: Refusal) -> Optional[Finding]:
    """A fixed address below vm.mmap_min_addr without CAP_SYS_RAWIO (security/commoncap.c:cap_mmap_addr)."""
    minimum = number_of(refusal.probe.sysctl.get("vm.mmap_min_addr"))
    request = refusal.old
    if refusal.errno != "EPERM" or minimum is None or request.name not in ("mmap", "mremap", "shmat"):
        return None
    address = request.new_addr if request.name == "mremap" else request.addr
    fixed = request.name != "mmap" or request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE)
    if address >= minimum or not fixed:
        return None
    has_rawio = refusal.capable(_CAP_SYS_RAWIO)
    return found(
        refusal,
        "address.below-minimum",
        seen("address %#x" % address, _ARGUMENTS),
        seen("vm.mmap_min_addr = %d" % minimum, "/proc/sys/vm/mmap_min_addr"),
        seen("CAP_SYS_RAWIO is %s" % ("there" if has_rawio else "missing"), "CapEff in /proc/PID/status"),
        certain=not has_rawio,
        minimum=minimum,
    )


def no_room(refusal: Refusal) -> Optional[Finding]:
    """ENOMEM because the address space of a program ends before the range does."""
    request = refusal.old
    if refusal.errno != "ENOMEM" or request.name not in ("mmap", "mremap"):
        return None
    length = request.new_length if request.name == "mremap" else request.length
    fixed = request.name == "mmap" and request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE)
    if length <= refusal.task_size and not (fixed and request.addr + length > refusal.task_size):
        return None
    asked, size = size_text(length), size_text(refusal.task_size)
    fact = seen("%s asked, of at most %s" % (asked, size), _ARGUMENTS)
    return found(refusal, "address.no-room", fact, asked=asked, size=size)


def no_gap(refusal: Refusal) -> Optional[Finding]:
    """ENOMEM because no gap between the mappings is large enough."""
    request, page = refusal.old, refusal.host.page_size
    if refusal.errno != "ENOMEM" or request.name not in ("mmap", "mremap"):
        return None
    length, flags = request.length, request.flags if request.name == "mmap" else 0
    if request.name == "mremap":
        length = request.new_length
    if flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE):
        return None
    low = bool(flags & f.MAP_32BIT)
    gap = refusal.probe.largest_low_gap if low else refusal.probe.largest_gap
    if gap is None or gap >= length + page:
        return None
    fact = seen("the largest gap has %d bytes" % gap, "/proc/PID/maps")
    return found(refusal, "address.no-room", fact, case="low" if low else "full", gap=size_text(gap))


def cannot_stay(refusal: Refusal) -> Optional[Finding]:
    """mremap that may not move and has no room behind it (mm/mremap.c:expand_vma)."""
    request, page = refusal.old, refusal.host.page_size
    if request.name != "mremap" or refusal.errno != "ENOMEM" or request.flags & f.MREMAP_MAYMOVE:
        return None
    if request.new_length <= request.length:
        return None
    end = request.addr + (request.new_length + page - 1) // page * page
    own = request.addr + (request.length + page - 1) // page * page
    other = next((vma.line for vma in refusal.probe.vmas if vma.line.end > own and vma.line.start < end), None)
    if other is None:
        return None
    fact = seen("%s is mapped behind it" % _place(other), "/proc/PID/smaps")
    return found(refusal, "address.no-room", fact, case="in-the-way", other=_place(other))


def brk_below_start(refusal: Refusal) -> Optional[Finding]:
    """brk below its start: a question rather than a request."""
    start = refusal.probe.start_brk
    if refusal.request.name != "brk" or not start or refusal.old.addr >= start:
        return None
    fact = seen("start_brk is %#x" % start, "/proc/PID/stat")
    return found(refusal, "argument.pointer", fact, case="brk", start=hex(start))


def brk_collision(refusal: Refusal) -> Optional[Finding]:
    """brk into the next mapping, or within a page of it (mm/mmap.c:SYSCALL_DEFINE1(brk))."""
    if refusal.request.name != "brk" or refusal.probe.brk is None:
        return None
    above = next((vma for vma in refusal.probe.vmas if vma.line.start >= refusal.probe.brk), None)
    if above is None:
        return None
    # Memory that grows down keeps a gap of 256 pages below it (mm/mmap.c:stack_guard_gap).
    gap = refusal.host.page_size * (257 if above.has("gd") else 1)
    if above.line.start > refusal.old.addr + gap:
        return None
    fact = seen("the next mapping starts at %#x" % above.line.start, "/proc/PID/smaps")
    other = above.line.path or "another mapping"
    return found(refusal, "address.brk-collision", fact, wanted=hex(refusal.old.addr), other=other)
