"""What each traced call takes: argument names, and the symbolic spelling a person reads.

Pure tables and arithmetic; text that the target chose is never looked at here.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.syscalls.table import call_name, row_of

__all__ = [
    "MAP_CHANGING",
    "RETURNS_ADDRESS",
    "WITHOUT_ERRNO",
    "Request",
    "request_of",
    "symbolic_args",
]

Words = Tuple[int, ...]


def _signed32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def _address(value: int) -> str:
    return "NULL" if value == 0 else hex(value)


def _map_flags(value: int) -> str:
    kind = f.MAP_TYPES.get(value & f.MAP_TYPE)
    rest = value & ~f.MAP_TYPE if kind else value
    huge = (value >> 26) & 0x3F
    if value & f.MAP_HUGETLB and huge:
        rest &= ~(0x3F << 26)
    words = [kind] if kind else []
    if rest or not kind:
        words.append(f.named_bits(rest, f.MAP))
    if value & f.MAP_HUGETLB and huge:
        words.append("%d<<MAP_HUGE_SHIFT" % huge)
    return "|".join(words)


def _personality(value: int) -> str:
    value &= 0xFFFFFFFF
    if value == 0xFFFFFFFF:
        return "0xffffffff"
    base, bits = value & 0xFFFF, value & ~0xFFFF
    name = "PER_LINUX" if base == 0 else hex(base)
    return name if not bits else "%s|%s" % (name, f.named_bits(bits, f.PERSONALITY))


_SPELL: Dict[str, Callable[[int], Any]] = {
    "address": _address,
    "length": int,
    "int": _signed32,
    "hex": lambda v: hex(v) if v else "0",
    "hex32": lambda v: hex(v & 0xFFFFFFFF) if v & 0xFFFFFFFF else "0",
    "unsigned": lambda v: v & 0xFFFFFFFF,
    "prot": lambda v: f.named_bits(v & 0xFFFFFFFFFFFFFFFF, f.PROT, "PROT_NONE"),
    "map": lambda v: _map_flags(v & 0xFFFFFFFF),
    "mremap": lambda v: f.named_bits(v, f.MREMAP),
    "advice": lambda v: f.named_value(v & 0xFFFFFFFF, f.ADVICE),
    "memfd": lambda v: f.named_bits(v & 0xFFFFFFFF, f.MEMFD),
    "shm": lambda v: f.named_bits(v & 0xFFFFFFFF, f.SHM),
    "prctl": lambda v: f.named_value(v & 0xFFFFFFFF, f.PRCTL),
    "seccomp_op": lambda v: f.named_value(v & 0xFFFFFFFF, f.SECCOMP_OP),
    "seccomp_flags": lambda v: f.named_bits(v & 0xFFFFFFFF, f.SECCOMP_FLAG),
    "personality": _personality,
    "ptrace": lambda v: f.named_value(v & 0xFFFFFFFF, f.PTRACE),
    "clone": lambda v: f.named_bits(v & 0xFFFFFF00, f.CLONE),
}

_MMAP = (
    ("addr", "address"),
    ("length", "length"),
    ("prot", "prot"),
    ("flags", "map"),
    ("fd", "int"),
    ("offset", "hex"),
)
_ARGUMENTS: Dict[str, Tuple[Tuple[str, str], ...]] = {
    "mmap": _MMAP,
    "mmap2": (*_MMAP[:5], ("pgoffset", "hex")),
    "mprotect": (("addr", "address"), ("len", "length"), ("prot", "prot")),
    "pkey_mprotect": (
        ("addr", "address"),
        ("len", "length"),
        ("prot", "prot"),
        ("pkey", "int"),
    ),
    "munmap": (("addr", "address"), ("length", "length")),
    "brk": (("addr", "address"),),
    "mremap": (
        ("old_address", "address"),
        ("old_size", "length"),
        ("new_size", "length"),
        ("flags", "mremap"),
        ("new_address", "address"),
    ),
    "madvise": (("addr", "address"), ("length", "length"), ("advice", "advice")),
    "process_madvise": (
        ("pidfd", "int"),
        ("iovec", "address"),
        ("vlen", "length"),
        ("advice", "advice"),
        ("flags", "hex32"),
    ),
    "shmat": (("shmid", "int"), ("shmaddr", "address"), ("shmflg", "shm")),
    "shmdt": (("shmaddr", "address"),),
    "clone": (("flags", "clone"), ("stack", "address")),
    "clone3": (("cl_args", "address"), ("size", "length")),
    "fork": (),
    "vfork": (),
    "ptrace": (
        ("request", "ptrace"),
        ("pid", "int"),
        ("addr", "address"),
        ("data", "address"),
    ),
    "personality": (("persona", "personality"),),
    "prctl": (("option", "prctl"), ("arg2", "hex"), ("arg3", "hex"), ("arg4", "hex"), ("arg5", "hex")),
    "arch_prctl": (("code", "hex32"), ("addr", "address")),
    "io_setup": (("nr_events", "unsigned"), ("ctx_idp", "address")),
    "io_destroy": (("ctx_id", "address"),),
    "remap_file_pages": (
        ("addr", "address"),
        ("size", "length"),
        ("prot", "prot"),
        ("pgoff", "length"),
        ("flags", "map"),
    ),
    "seccomp": (
        ("operation", "seccomp_op"),
        ("flags", "seccomp_flags"),
        ("args", "address"),
    ),
    "memfd_create": (("name", "address"), ("flags", "memfd")),
    "memfd_secret": (("flags", "hex32"),),
    "pkey_alloc": (("flags", "hex"), ("access_rights", "hex")),
    "pkey_free": (("pkey", "int"),),
    "map_shadow_stack": (("addr", "address"), ("size", "length"), ("flags", "hex32")),
    "mseal": (("addr", "address"), ("len", "length"), ("flags", "hex")),
}

RETURNS_ADDRESS = frozenset({"mmap", "mmap2", "brk", "mremap", "shmat", "map_shadow_stack"})
"""Calls whose result is an address (shown in hex), not a count or a status."""

WITHOUT_ERRNO = frozenset({"brk", "shmdt"})
"""Calls that may do nothing and say nothing: brk gives the old break, shmdt 0 for a segment that is sealed."""

MAP_CHANGING = frozenset(
    {
        "mmap",
        "mmap2",
        "munmap",
        "mprotect",
        "pkey_mprotect",
        "mremap",
        "brk",
        "shmat",
        "shmdt",
        "remap_file_pages",
        "map_shadow_stack",
        "io_setup",
        "io_destroy",
        "mseal",
        "madvise",
        "prctl",
        "arch_prctl",
    }
)
"""Calls after which /proc/PID/maps may read otherwise."""


class Request(NamedTuple):
    """What one call asks of memory, whichever ABI spelt it. Lengths and offsets in bytes."""

    name: str
    addr: int = 0
    length: int = 0
    prot: Optional[int] = None
    flags: int = 0
    fd: int = -1
    offset: int = 0
    new_length: int = 0
    new_addr: int = 0


def request_of(abi: int, number: int, args: Words) -> Request:
    """Normalise one call: `mmap2` counts its offset in units of 4096 bytes (arch/x86/entry/syscalls/syscall_32.tbl)."""
    name = call_name(abi, number)
    maker = _REQUESTS.get(name)
    if maker is None:
        return Request(name)
    return maker(name, args)


def _mmap(name: str, a: Words) -> Request:
    scale = 4096 if name == "mmap2" else 1
    return Request("mmap", a[0], a[1], a[2], a[3] & 0xFFFFFFFF, _signed32(a[4]), a[5] * scale)


def _range(name: str, a: Words) -> Request:
    return Request(name, a[0], a[1])


_REQUESTS: Dict[str, Callable[[str, Words], Request]] = {
    "mmap": _mmap,
    "mmap2": _mmap,
    "mprotect": lambda name, a: Request(name, a[0], a[1], a[2]),
    "pkey_mprotect": lambda name, a: Request(name, a[0], a[1], a[2], _signed32(a[3])),
    "munmap": _range,
    "mseal": lambda name, a: Request(name, a[0], a[1], flags=a[2]),
    "madvise": lambda name, a: Request(name, a[0], a[1], flags=a[2] & 0xFFFFFFFF),
    "brk": lambda name, a: Request(name, a[0]),
    "mremap": lambda name, a: Request(name, a[0], a[1], flags=a[3], new_length=a[2], new_addr=a[4]),
    "shmat": lambda name, a: Request(name, a[1], flags=a[2] & 0xFFFFFFFF, fd=_signed32(a[0])),
    "shmdt": lambda name, a: Request(name, a[0]),
    "io_destroy": lambda name, a: Request(name, a[0]),
    "remap_file_pages": lambda name, a: Request(name, a[0], a[1], prot=a[2], offset=a[3] * 4096),
    "map_shadow_stack": _range,
    "memfd_create": lambda name, a: Request(name, flags=a[1] & 0xFFFFFFFF),
    "personality": lambda name, a: Request(name, flags=a[0] & 0xFFFFFFFF),
    "prctl": lambda name, a: Request(name, addr=a[1], flags=a[0] & 0xFFFFFFFF),
    "arch_prctl": lambda name, a: Request(name, addr=a[1], flags=a[0] & 0xFFFFFFFF),
    "seccomp": lambda name, a: Request(name, flags=a[0] & 0xFFFFFFFF),
    "ptrace": lambda name, a: Request(name, flags=a[0] & 0xFFFFFFFF, fd=_signed32(a[1])),
}


def symbolic_args(abi: int, number: int, args: Words, unreadable: bool = False) -> Dict[str, Any]:
    """`{"addr": "0x7f…", "len": 4096, "prot": "PROT_READ|PROT_EXEC"}` in the order of the call.

    `unreadable`: they were to be in memory that is not there, and only its address is known.
    """
    if unreadable:
        return {"arg": _address(args[0])}
    name = call_name(abi, number)
    names = _ARGUMENTS.get(name)
    if names is None:
        return {key: spelt(value) for (key, spelt), value in zip(row_of(abi, number).arguments, args)}
    if name == "prctl":
        return _prctl_args(args)
    return {key: _SPELL[kind](value) for (key, kind), value in zip(names, args)}


def _prctl_args(args: Words) -> Dict[str, Any]:
    option = args[0] & 0xFFFFFFFF
    shown: Dict[str, Any] = {"option": _SPELL["prctl"](option)}
    if option == f.PR_SET_MDWE:
        shown["bits"] = f.named_bits(args[1], f.MDWE)
    elif option == f.PR_SET_SECCOMP:
        shown["mode"] = f.named_value(args[1], {1: "SECCOMP_MODE_STRICT", 2: "SECCOMP_MODE_FILTER"})
    else:
        shown["arg2"] = hex(args[1])
    return shown
