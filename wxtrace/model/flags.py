"""Names of the bits and numbers that memory calls take (include/uapi/linux/mman.h and friends).

This file knows numbers and their names, nothing else.
"""

from __future__ import annotations

import errno as _errno
from typing import Mapping

__all__ = [
    "ADDR_LIMIT_3GB",
    "ADVICE",
    "ADVICE_DOFORK",
    "ADVICE_DONTFORK",
    "GROWSDOWN",
    "GROWSUP",
    "MAP_ANONYMOUS",
    "MAP_FIXED",
    "MAP_FIXED_NOREPLACE",
    "MAP_GROWSDOWN",
    "MAP_HUGETLB",
    "MAP_LOCKED",
    "MAP_NORESERVE",
    "MAP_SHARED",
    "MAP_SHARED_VALIDATE",
    "MAP_STACK",
    "MAP_SYNC",
    "MAP_TYPE",
    "MREMAP_DONTUNMAP",
    "MREMAP_FIXED",
    "MREMAP_MAYMOVE",
    "PKEY_RIGHTS",
    "PROT_EXEC",
    "PROT_READ",
    "PROT_WRITE",
    "READ_IMPLIES_EXEC",
    "SHM_EXEC",
    "SHM_RDONLY",
    "SHM_REMAP",
    "SHM_RND",
    "errno_name",
    "named_bits",
    "named_value",
    "prot_letters",
    "prot_of_letters",
]

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
GROWSDOWN, GROWSUP = 0x01000000, 0x02000000
PROT = {
    PROT_READ: "PROT_READ",
    PROT_WRITE: "PROT_WRITE",
    PROT_EXEC: "PROT_EXEC",
    0x8: "PROT_SEM",
    GROWSDOWN: "PROT_GROWSDOWN",
    GROWSUP: "PROT_GROWSUP",
}

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_DROPPABLE = 1, 2, 3, 8
MAP_TYPE = 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_32BIT = 0x10, 0x20, 0x40
MAP_GROWSDOWN, MAP_LOCKED, MAP_NORESERVE = 0x100, 0x2000, 0x4000
MAP_STACK, MAP_HUGETLB, MAP_SYNC, MAP_FIXED_NOREPLACE = 0x20000, 0x40000, 0x80000, 0x100000
MAP_TYPES = {
    MAP_SHARED: "MAP_SHARED",
    MAP_PRIVATE: "MAP_PRIVATE",
    MAP_SHARED_VALIDATE: "MAP_SHARED_VALIDATE",
    MAP_DROPPABLE: "MAP_DROPPABLE",
}
MAP = {
    MAP_FIXED: "MAP_FIXED",
    MAP_ANONYMOUS: "MAP_ANONYMOUS",
    MAP_32BIT: "MAP_32BIT",
    MAP_GROWSDOWN: "MAP_GROWSDOWN",
    0x800: "MAP_DENYWRITE",
    0x1000: "MAP_EXECUTABLE",
    MAP_LOCKED: "MAP_LOCKED",
    MAP_NORESERVE: "MAP_NORESERVE",
    0x8000: "MAP_POPULATE",
    0x10000: "MAP_NONBLOCK",
    MAP_STACK: "MAP_STACK",
    MAP_HUGETLB: "MAP_HUGETLB",
    MAP_SYNC: "MAP_SYNC",
    MAP_FIXED_NOREPLACE: "MAP_FIXED_NOREPLACE",
}

MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
MREMAP = {
    MREMAP_MAYMOVE: "MREMAP_MAYMOVE",
    MREMAP_FIXED: "MREMAP_FIXED",
    MREMAP_DONTUNMAP: "MREMAP_DONTUNMAP",
}

ADVICE_DONTFORK, ADVICE_DOFORK = 10, 11
ADVICE = {
    0: "MADV_NORMAL",
    1: "MADV_RANDOM",
    2: "MADV_SEQUENTIAL",
    3: "MADV_WILLNEED",
    4: "MADV_DONTNEED",
    8: "MADV_FREE",
    9: "MADV_REMOVE",
    ADVICE_DONTFORK: "MADV_DONTFORK",
    ADVICE_DOFORK: "MADV_DOFORK",
    12: "MADV_MERGEABLE",
    13: "MADV_UNMERGEABLE",
    14: "MADV_HUGEPAGE",
    15: "MADV_NOHUGEPAGE",
    16: "MADV_DONTDUMP",
    17: "MADV_DODUMP",
    18: "MADV_WIPEONFORK",
    19: "MADV_KEEPONFORK",
    20: "MADV_COLD",
    21: "MADV_PAGEOUT",
    22: "MADV_POPULATE_READ",
    23: "MADV_POPULATE_WRITE",
    24: "MADV_DONTNEED_LOCKED",
    25: "MADV_COLLAPSE",
    100: "MADV_HWPOISON",
    101: "MADV_SOFT_OFFLINE",
    102: "MADV_GUARD_INSTALL",
    103: "MADV_GUARD_REMOVE",
}

MFD_HUGETLB, MFD_NOEXEC_SEAL, MFD_EXEC = 0x4, 0x8, 0x10
HUGE_SHIFT, HUGE_MASK = 26, 0x3F
"""The base-2 logarithm of the size of huge pages stands in these bits of the flags of mmap and memfd_create."""
PKEY_RIGHTS = {1: "PKEY_DISABLE_ACCESS", 2: "PKEY_DISABLE_WRITE"}

MEMFD = {
    0x1: "MFD_CLOEXEC",
    0x2: "MFD_ALLOW_SEALING",
    MFD_HUGETLB: "MFD_HUGETLB",
    MFD_NOEXEC_SEAL: "MFD_NOEXEC_SEAL",
    MFD_EXEC: "MFD_EXEC",
}

SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC = 0o10000, 0o20000, 0o40000, 0o100000
SHM = {
    SHM_RDONLY: "SHM_RDONLY",
    SHM_RND: "SHM_RND",
    SHM_REMAP: "SHM_REMAP",
    SHM_EXEC: "SHM_EXEC",
}

PR_SET_NAME, PR_SET_SECCOMP, PR_SET_MDWE, PR_GET_MDWE = 15, 22, 65, 66
PRCTL = {
    PR_SET_NAME: "PR_SET_NAME",
    PR_SET_SECCOMP: "PR_SET_SECCOMP",
    35: "PR_SET_MM",
    38: "PR_SET_NO_NEW_PRIVS",
    59: "PR_SET_SYSCALL_USER_DISPATCH",
    PR_SET_MDWE: "PR_SET_MDWE",
    PR_GET_MDWE: "PR_GET_MDWE",
    0x53564D41: "PR_SET_VMA",
}
MDWE = {1: "PR_MDWE_REFUSE_EXEC_GAIN", 2: "PR_MDWE_NO_INHERIT"}

SECCOMP_SET_MODE_STRICT, SECCOMP_SET_MODE_FILTER = 0, 1
SECCOMP_OP = {
    SECCOMP_SET_MODE_STRICT: "SECCOMP_SET_MODE_STRICT",
    SECCOMP_SET_MODE_FILTER: "SECCOMP_SET_MODE_FILTER",
    2: "SECCOMP_GET_ACTION_AVAIL",
    3: "SECCOMP_GET_NOTIF_SIZES",
}
SECCOMP_FILTER_FLAG_TSYNC, SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 8
SECCOMP_FLAG = {
    SECCOMP_FILTER_FLAG_TSYNC: "SECCOMP_FILTER_FLAG_TSYNC",
    2: "SECCOMP_FILTER_FLAG_LOG",
    4: "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    SECCOMP_FILTER_FLAG_NEW_LISTENER: "SECCOMP_FILTER_FLAG_NEW_LISTENER",
    16: "SECCOMP_FILTER_FLAG_TSYNC_ESRCH",
    32: "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
}

READ_IMPLIES_EXEC, ADDR_LIMIT_3GB = 0x400000, 0x8000000
PERSONALITY = {
    0x20000: "UNAME26",
    0x40000: "ADDR_NO_RANDOMIZE",
    0x80000: "FDPIC_FUNCPTRS",
    0x100000: "MMAP_PAGE_ZERO",
    0x200000: "ADDR_COMPAT_LAYOUT",
    READ_IMPLIES_EXEC: "READ_IMPLIES_EXEC",
    0x800000: "ADDR_LIMIT_32BIT",
    0x1000000: "SHORT_INODE",
    0x2000000: "WHOLE_SECONDS",
    0x4000000: "STICKY_TIMEOUTS",
    ADDR_LIMIT_3GB: "ADDR_LIMIT_3GB",
}

PTRACE = {
    0: "PTRACE_TRACEME",
    1: "PTRACE_PEEKTEXT",
    2: "PTRACE_PEEKDATA",
    3: "PTRACE_PEEKUSER",
    4: "PTRACE_POKETEXT",
    5: "PTRACE_POKEDATA",
    6: "PTRACE_POKEUSER",
    7: "PTRACE_CONT",
    8: "PTRACE_KILL",
    9: "PTRACE_SINGLESTEP",
    12: "PTRACE_GETREGS",
    13: "PTRACE_SETREGS",
    16: "PTRACE_ATTACH",
    17: "PTRACE_DETACH",
    24: "PTRACE_SYSCALL",
    0x4200: "PTRACE_SETOPTIONS",
    0x4201: "PTRACE_GETEVENTMSG",
    0x4202: "PTRACE_GETSIGINFO",
    0x4204: "PTRACE_GETREGSET",
    0x4206: "PTRACE_SEIZE",
    0x4207: "PTRACE_INTERRUPT",
    0x4208: "PTRACE_LISTEN",
}

CLONE = {
    0x100: "CLONE_VM",
    0x200: "CLONE_FS",
    0x400: "CLONE_FILES",
    0x800: "CLONE_SIGHAND",
    0x1000: "CLONE_PIDFD",
    0x2000: "CLONE_PTRACE",
    0x4000: "CLONE_VFORK",
    0x8000: "CLONE_PARENT",
    0x10000: "CLONE_THREAD",
    0x20000: "CLONE_NEWNS",
    0x40000: "CLONE_SYSVSEM",
    0x80000: "CLONE_SETTLS",
    0x100000: "CLONE_PARENT_SETTID",
    0x200000: "CLONE_CHILD_CLEARTID",
    0x800000: "CLONE_UNTRACED",
    0x1000000: "CLONE_CHILD_SETTID",
    0x2000000: "CLONE_NEWCGROUP",
    0x4000000: "CLONE_NEWUTS",
    0x8000000: "CLONE_NEWIPC",
    0x10000000: "CLONE_NEWUSER",
    0x20000000: "CLONE_NEWPID",
    0x40000000: "CLONE_NEWNET",
}

_LETTERS = ("---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx")


def prot_letters(prot: int) -> str:
    """The three letters that /proc/PID/maps shows for the low bits of `prot`."""
    return _LETTERS[prot & 7]


def prot_of_letters(letters: str) -> int:
    """The PROT_* bits behind the first three characters of a maps permission field."""
    return _LETTERS.index(letters[:3])


def named_bits(value: int, names: Mapping[int, str], zero: str = "0") -> str:
    """`A|B|0x40`: every known bit by its name, the rest in hex; `zero` when there is none."""
    parts = []
    for bit, name in names.items():
        if value & bit:
            parts.append(name)
            value &= ~bit
    if value:
        parts.append(hex(value))
    return "|".join(parts) or zero


def named_value(value: int, names: Mapping[int, str]) -> str:
    """The name of one value out of an enumeration, or the number when it has none."""
    return names.get(value, hex(value) if value > 9 else str(value))


_KERNEL_NAMES = {35: "EDEADLK", 95: "EOPNOTSUPP", 524: "ENOTSUPP"}
"""Where the C library has two names for a number, or none (include/linux/errno.h)."""
_RESTARTS = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}
"""include/linux/errno.h: only a tracer sees these; the kernel makes the call again, or gives EINTR."""


def errno_name(number: int) -> str:
    """`EACCES` for 13; `E524` for a number no header names (a filter may answer any up to 4095)."""
    return _KERNEL_NAMES.get(number) or _errno.errorcode.get(number) or _RESTARTS.get(number) or "E%d" % number
