"""Calls that could never work: their own arguments contradict the interface (EINVAL and friends).

Order and conditions: mm/mmap.c:ksys_mmap_pgoff, do_mmap; mm/mprotect.c:do_mprotect_pkey; mm/mremap.c; mm/mseal.c.
"""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, seen

__all__ = [
    "huge_range",
    "mmap_arguments",
    "mprotect_arguments",
    "mremap_arguments",
    "mseal_arguments",
    "munmap_arguments",
    "offset_alignment",
]

_KNOWN_PROT = 0x0F | f.GROWSDOWN | f.GROWSUP
_ARGUMENTS = "the arguments of the call"
_WRAPPING = frozenset({"mprotect", "pkey_mprotect", "mmap", "madvise", "shmat"})


def _flags(refusal: Refusal, case: str, shown: str) -> Finding:
    return found(refusal, "argument.flags", seen("flags are %s" % shown, _ARGUMENTS), case=case)


def _alignment(refusal: Refusal, what: str, value: int) -> Optional[Finding]:
    page = refusal.host.page_size
    if value % page == 0:
        return None
    fact = "%#x is %d bytes past a multiple of %d" % (value, value % page, page)
    return found(refusal, "argument.alignment", seen(fact, _ARGUMENTS), what=what)


def _length(refusal: Refusal, case: str = "") -> Finding:
    return found(
        refusal,
        "argument.length",
        seen("the length is %s" % (hex(refusal.old.length) if refusal.old.length else "0"), _ARGUMENTS),
        case=case,
        limit=hex(refusal.task_size),
    )


def _ends_beyond(refusal: Refusal, start: int, length: int) -> bool:
    return length > refusal.task_size or start > refusal.task_size - length


def huge_range(refusal: Refusal) -> Optional[Finding]:
    """A length that wraps around, or rounds to nothing: ENOMEM before anything is looked up."""
    request, page = refusal.old, refusal.host.page_size
    if refusal.errno != "ENOMEM" or request.name not in _WRAPPING:
        return None
    rounded = (request.length + page - 1) // page * page
    if request.length and (rounded & (1 << 64) - 1 == 0 or request.addr + rounded > 1 << 64):
        return _length(refusal, "wraps")
    return None


def offset_alignment(refusal: Refusal) -> Optional[Finding]:
    """The first thing mmap looks at, before the descriptor (arch/x86/kernel/sys_x86_64.c:SYSCALL_DEFINE6(mmap))."""
    if refusal.errno != "EINVAL":
        return None
    return _alignment(refusal, "the file offset", refusal.old.offset)


def mmap_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL and EOPNOTSUPP of mmap, behind those of the offset, the descriptor and huge pages."""
    flags = refusal.old.flags
    kind, has_file = flags & f.MAP_TYPE, not flags & f.MAP_ANONYMOUS
    if refusal.errno == "EOPNOTSUPP" and kind == f.MAP_SHARED_VALIDATE and has_file and not flags & f.MAP_SYNC:
        return _flags(refusal, "validate", f.named_bits(flags & ~f.MAP_TYPE, f.MAP))
    if refusal.errno != "EINVAL":
        return None
    if refusal.old.length == 0:
        return _length(refusal)
    if flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE):
        unaligned = _alignment(refusal, "the address", refusal.old.addr)
        if unaligned is not None:
            return unaligned
    if kind not in f.MAP_TYPES or (kind == f.MAP_DROPPABLE and (has_file or refusal.kernel < (6, 11))):
        return _flags(refusal, "type", "%#x" % flags)
    if flags & f.MAP_GROWSDOWN and (has_file or kind != f.MAP_PRIVATE):
        case = "file-grows-down" if has_file else "shared-grows-down"
        what = "a file" if has_file else f.MAP_TYPES[kind]
        return found(refusal, "argument.flags", seen("flags hold MAP_GROWSDOWN and %s" % what, _ARGUMENTS), case=case)
    return None


def mprotect_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL of mprotect and pkey_mprotect before any mapping is changed."""
    if refusal.errno != "EINVAL":
        return None
    prot = refusal.old.prot or 0
    if prot & f.GROWSDOWN and prot & f.GROWSUP:
        return found(refusal, "argument.growsdown", seen("both bits are set", _ARGUMENTS), case="both")
    unaligned = _alignment(refusal, "the address", refusal.old.addr)
    if unaligned is not None:
        return unaligned
    if prot & ~_KNOWN_PROT:
        return found(refusal, "argument.prot", seen("prot is %#x" % prot, _ARGUMENTS))
    first = next(iter(refusal.parts()), None)
    if prot & (f.GROWSDOWN | f.GROWSUP) and refusal.looked_at and (first is None or not first.vma.has("gd")):
        fact = seen("the mapping at %#x does not grow down" % refusal.old.addr, _ARGUMENTS)
        return found(refusal, "argument.growsdown", fact)
    return None


def munmap_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL of munmap before any mapping is looked at (mm/vma.c:do_vmi_munmap)."""
    if refusal.errno != "EINVAL":
        return None
    request = refusal.old
    unaligned = _alignment(refusal, "the address", request.addr)
    if unaligned is not None:
        return unaligned
    if request.length == 0:
        return _length(refusal)
    return _length(refusal, "beyond") if _ends_beyond(refusal, request.addr, request.length) else None


def mremap_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL of mremap from its arguments alone (mm/mremap.c:check_mremap_params)."""
    if refusal.errno != "EINVAL":
        return None
    request = refusal.old
    flags, known = request.flags, f.MREMAP_FIXED | f.MREMAP_MAYMOVE | f.MREMAP_DONTUNMAP
    moving = flags & (f.MREMAP_FIXED | f.MREMAP_DONTUNMAP)
    if flags & ~known or (moving and not flags & f.MREMAP_MAYMOVE):
        return _flags(refusal, "move", f.named_bits(flags, f.MREMAP))
    unaligned = _alignment(refusal, "the address", request.addr)
    if unaligned is not None:
        return unaligned
    if request.new_length == 0:
        return found(refusal, "argument.length", seen("the length is 0", _ARGUMENTS))
    if request.new_length > refusal.task_size:
        return _no_such_length(refusal, request.new_length)
    page = refusal.host.page_size
    if flags & f.MREMAP_DONTUNMAP and _pages(request.length, page) != _pages(request.new_length, page):
        return _flags(refusal, "resize", f.named_bits(flags, f.MREMAP))
    if flags & f.MREMAP_FIXED:
        unaligned = _alignment(refusal, "the new address", request.new_addr)
        if unaligned is not None:
            return unaligned
        if _ends_beyond(refusal, request.new_addr, request.new_length):
            return _no_such_length(refusal, request.new_length)
        if request.addr < request.new_addr + request.new_length and request.new_addr < request.addr + request.length:
            fact = "%#x-%#x and %#x-%#x overlap" % (
                request.addr,
                request.addr + request.length,
                request.new_addr,
                request.new_addr + request.new_length,
            )
            return found(refusal, "argument.flags", seen(fact, _ARGUMENTS), case="overlap")
    first = next(iter(refusal.parts() or refusal.standing_at(request.addr)), None)
    if request.length == 0 and first is not None and not first.vma.has("ms"):
        private = seen("the mapping at %#x is private" % request.addr, "VmFlags in /proc/PID/smaps")
        return found(refusal, "argument.length", private, case="copy")
    return None


def _pages(length: int, page: int) -> int:
    return (length + page - 1) // page


def _no_such_length(refusal: Refusal, length: int) -> Finding:
    return found(
        refusal,
        "argument.length",
        seen("the new length is %#x" % length, _ARGUMENTS),
        case="beyond",
        limit=hex(refusal.task_size),
    )


def mseal_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL of mseal (mm/mseal.c:do_mseal); an empty range is granted, a hole is ENOMEM."""
    if refusal.errno != "EINVAL":
        return None
    request = refusal.old
    if request.flags:
        return _flags(refusal, "mseal", "%#x" % request.flags)
    unaligned = _alignment(refusal, "the address", request.addr)
    if unaligned is not None:
        return unaligned
    return found(refusal, "argument.length", seen("length %d" % request.length, _ARGUMENTS), case="mseal")
