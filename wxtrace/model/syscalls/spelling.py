"""How values of arguments are spelt for a person: names where strace has names. Pure tables and arithmetic."""

from __future__ import annotations

from typing import Mapping

from wxtrace.model import flags as f
from wxtrace.model.syscalls.row import Spelling, signed32, unsigned32

__all__ = [
    "address",
    "bits",
    "bits32",
    "hexadecimal",
    "hexadecimal32",
    "length",
    "map_flags",
    "memfd_flags",
    "number",
    "prot",
    "unsigned",
    "value32",
]


def address(value: int) -> str:
    """NULL, or in hex."""
    return "NULL" if value == 0 else hex(value)


def length(value: int) -> int:
    """Bytes."""
    return value


def number(value: int) -> int:
    """An int."""
    return signed32(value)


def hexadecimal(value: int) -> str:
    """0, or in hex."""
    return hex(value) if value else "0"


def unsigned(value: int) -> int:
    """An unsigned int."""
    return unsigned32(value)


def hexadecimal32(value: int) -> str:
    """An unsigned int: 0, or in hex."""
    return hexadecimal(unsigned32(value))


def prot(value: int) -> str:
    """The kernel takes the whole word (mm/mprotect.c:SYSCALL_DEFINE3(mprotect))."""
    return f.named_bits(value, f.PROT, "PROT_NONE")


def bits32(names: Mapping[int, str], zero: str = "0") -> Spelling:
    """A set of flags in an unsigned int."""
    return lambda value: f.named_bits(unsigned32(value), names, zero)


def value32(names: Mapping[int, str]) -> Spelling:
    """One of several values in an unsigned int."""
    return lambda value: f.named_value(unsigned32(value), names)


def map_flags(value: int) -> str:
    """The flags of mmap: a type, bits, and the size of huge pages as a power of two."""
    value = unsigned32(value)
    kind = f.MAP_TYPES.get(value & f.MAP_TYPE)
    rest = value & ~f.MAP_TYPE if kind else value
    words = [kind] if kind else []
    if rest or not kind:
        words.append(_with_huge_size(rest, f.MAP, f.MAP_HUGETLB, "MAP_HUGE_SHIFT"))
    return "|".join(words)


def memfd_flags(value: int) -> str:
    """Flags of memfd_create."""
    return _with_huge_size(unsigned32(value), f.MEMFD, f.MFD_HUGETLB, "MFD_HUGE_SHIFT")


def _with_huge_size(value: int, names: Mapping[int, str], huge: int, shift: str) -> str:
    """The size of the pages stands in the upper bits, as a power of two (uapi/asm-generic/hugetlb_encode.h)."""
    size = value >> f.HUGE_SHIFT & f.HUGE_MASK
    if not value & huge or not size:
        return f.named_bits(value, names)
    return "%s|%d<<%s" % (f.named_bits(value & ~(f.HUGE_MASK << f.HUGE_SHIFT), names), size, shift)


def bits(names: Mapping[int, str]) -> Spelling:
    """A set of flags in an unsigned long."""
    return lambda value: f.named_bits(value, names)
