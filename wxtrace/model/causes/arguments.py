"""Calls that could never work: their own arguments contradict the interface (EINVAL and friends).

Order and conditions: mm/mmap.c:ksys_mmap_pgoff, do_mmap; mm/mprotect.c:do_mprotect_pkey; mm/mremap.c; mm/mseal.c.
"""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import PROVED, Finding, Refusal, developer, seen

__all__ = ["bad_arguments", "bad_memfd", "huge_range"]

_KNOWN_PROT = 0x0F | f.GROWSDOWN | f.GROWSUP
_KNOWN_MEMFD = 0x1F | 0x3F << 26
_KNOWN_ADVICE = frozenset(f.ADVICE)


def _finding(cause: str, summary: str, fact: str, fix: str) -> Finding:
    return Finding(cause, PROVED, summary, (seen(fact, "the arguments of the call"),), (developer(fix),))


def bad_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL that the arguments alone explain, in the order in which the kernel looks at them."""
    if refusal.errno != "EINVAL":
        return None
    request, page = refusal.request, refusal.host.page_size
    name = request.name
    if name == "mmap" and request.offset % page:
        return _alignment("the file offset", request.offset, page)
    if name in ("mprotect", "pkey_mprotect"):
        prot = request.prot or 0
        if prot & f.GROWSDOWN and prot & f.GROWSUP:
            return _finding(
                "argument.growsdown",
                "PROT_GROWSDOWN and PROT_GROWSUP exclude each other",
                "both bits are set",
                "Set at most one of the two.",
            )
    if name in _ALIGNED and request.addr % page:
        return _alignment("the address", request.addr, page)
    if name in ("mprotect", "pkey_mprotect") and (request.prot or 0) & ~_KNOWN_PROT:
        return _finding(
            "argument.prot",
            "the protection has bits that mprotect does not know",
            "prot is %#x" % (request.prot or 0),
            "Pass PROT_READ, PROT_WRITE and PROT_EXEC only; mmap ignores unknown bits, mprotect does not.",
        )
    if (request.prot or 0) & f.GROWSDOWN and name in ("mprotect", "pkey_mprotect"):
        return _finding(
            "argument.growsdown",
            "PROT_GROWSDOWN is only for memory that grows, such as the main stack",
            "the mapping at %#x does not grow down" % request.addr,
            "Drop PROT_GROWSDOWN for ordinary memory.",
        )
    if name in ("mmap", "munmap") and request.length == 0:
        return _length(name)
    if name == "mmap":
        return _mmap_flags(refusal)
    if name == "mremap":
        return _mremap(refusal)
    if name == "mseal":
        return _mseal(refusal)
    if name == "madvise" and request.flags not in _KNOWN_ADVICE:
        return _finding(
            "argument.advice",
            "madvise does not know this advice",
            "advice is %d" % request.flags,
            "Treat EINVAL as “not supported by this kernel”.",
        )
    if name == "madvise":
        return _finding(
            "argument.advice",
            "this advice cannot be taken for this kind of memory, or by this kernel",
            "advice is %s" % f.named_value(request.flags, f.ADVICE),
            "Treat EINVAL as “not supported here”.",
        )
    if name in ("shmat", "shmdt"):
        return _finding(
            "argument.shm",
            "no such shared memory segment, or its range is taken",
            "shmid %d, address %#x" % (request.fd, request.addr),
            "Check the id (shmget) and let the kernel choose the address.",
        )
    return None


_ALIGNED = frozenset({"mprotect", "pkey_mprotect", "munmap", "madvise", "mseal", "mremap"})


def _alignment(what: str, value: int, page: int) -> Finding:
    return _finding(
        "argument.alignment",
        "%s is not a multiple of the page size" % what,
        "%#x is %d bytes past a multiple of %d" % (value, value % page, page),
        "Round down to a multiple of sysconf(_SC_PAGE_SIZE).",
    )


def _length(name: str) -> Finding:
    return _finding(
        "argument.length", "%s of zero bytes" % name, "the length is 0", "Do not make the call for nothing."
    )


def _mmap_flags(refusal: Refusal) -> Optional[Finding]:
    flags, page = refusal.request.flags, refusal.host.page_size
    if flags & f.MAP_TYPE not in f.MAP_TYPES:
        return _finding(
            "argument.flags",
            "mmap needs exactly one of MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE",
            "flags are %#x" % flags,
            "Add MAP_PRIVATE or MAP_SHARED.",
        )
    if flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE) and refusal.request.addr % page:
        return _alignment("the address", refusal.request.addr, page)
    if flags & f.MAP_GROWSDOWN and not flags & f.MAP_ANONYMOUS:
        return _finding(
            "argument.flags", "a file cannot grow down", "flags hold MAP_GROWSDOWN and a file", "Drop MAP_GROWSDOWN."
        )
    return None


def _mremap(refusal: Refusal) -> Optional[Finding]:
    request, page = refusal.request, refusal.host.page_size
    flags = request.flags
    known = f.MREMAP_FIXED | f.MREMAP_MAYMOVE | f.MREMAP_DONTUNMAP
    if flags & ~known or (flags & (f.MREMAP_FIXED | f.MREMAP_DONTUNMAP) and not flags & f.MREMAP_MAYMOVE):
        return _finding(
            "argument.flags",
            "mremap flags that do not go together",
            "flags are %s" % f.named_bits(flags, f.MREMAP),
            "MREMAP_FIXED and MREMAP_DONTUNMAP need MREMAP_MAYMOVE.",
        )
    if request.new_length == 0:
        return _length("mremap")
    if flags & f.MREMAP_FIXED and request.new_addr % page:
        return _alignment("the new address", request.new_addr, page)
    return None


def _mseal(refusal: Refusal) -> Optional[Finding]:
    request = refusal.request
    if request.flags:
        return _finding("argument.flags", "mseal takes no flags", "flags are %#x" % request.flags, "Pass 0.")
    return _finding(
        "argument.length",
        "the range of mseal is empty or wraps around",
        "length %d" % request.length,
        "Seal at least one page.",
    )


def bad_memfd(refusal: Refusal) -> Optional[Finding]:
    """memfd_create EINVAL: flags the kernel does not know, or two that exclude each other, or a name of 250 bytes."""
    if refusal.request.name != "memfd_create" or refusal.errno != "EINVAL":
        return None
    return _finding(
        "memfd.flags",
        "memfd_create does not know these flags (or the name is longer than 249 bytes)",
        "flags are %s" % f.named_bits(refusal.request.flags, f.MEMFD),
        "Try again without the newer flags (MFD_EXEC and MFD_NOEXEC_SEAL need Linux 6.3).",
    )


def huge_range(refusal: Refusal) -> Optional[Finding]:
    """A length that wraps around, or rounds to nothing: ENOMEM before anything is looked up."""
    request, page = refusal.request, refusal.host.page_size
    if refusal.errno != "ENOMEM" or request.name not in ("mprotect", "pkey_mprotect", "mmap", "madvise"):
        return None
    rounded = (request.length + page - 1) // page * page
    if rounded & (1 << 64) - 1 == 0 or request.addr + rounded > 1 << 64:
        return _finding(
            "argument.length",
            "the length wraps around the end of the address space",
            "length is %#x" % request.length,
            "Check the size computation for a negative number.",
        )
    return None
