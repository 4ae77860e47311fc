"""Calls that are not traced, by name: a filter may kill or trap a program for any of them.

Names and arguments are those of python-ptrace (Linux 5.8); the names of newer calls stand here. Only its tables are
run: its packages would bring half of the standard library along.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from runpy import run_path
from typing import Any, Dict, List, Optional, Tuple

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.row import Other, Spelling, Syscall

__all__ = ["number_of", "untraced_row"]

_TABLES = {Abi.X86_64: "x86_64.py", Abi.I386: "i386.py"}
_FIRST_POINTER = 1 << 12

# fmt: off
_SINCE_320 = (  # i386, from 320 on (arch/x86/entry/syscalls/syscall_32.tbl)
    "utimensat", "signalfd", "timerfd_create", "eventfd", "fallocate", "timerfd_settime", "timerfd_gettime",
    "signalfd4", "eventfd2", "epoll_create1", "dup3", "pipe2", "inotify_init1", "preadv", "pwritev",
    "rt_tgsigqueueinfo", "perf_event_open", "recvmmsg", "fanotify_init", "fanotify_mark", "prlimit64",
    "name_to_handle_at", "open_by_handle_at", "clock_adjtime", "syncfs", "sendmmsg", "setns", "process_vm_readv",
    "process_vm_writev", "kcmp", "finit_module", "sched_setattr", "sched_getattr", "renameat2", "seccomp", "getrandom",
    "memfd_create", "bpf", "execveat", "socket", "socketpair", "bind", "connect", "listen", "accept4", "getsockopt",
    "setsockopt", "getsockname", "getpeername", "sendto", "sendmsg", "recvfrom", "recvmsg", "shutdown", "userfaultfd",
    "membarrier", "mlock2", "copy_file_range", "preadv2", "pwritev2", "pkey_mprotect", "pkey_alloc", "pkey_free",
    "statx", "arch_prctl", "io_pgetevents", "rseq",
)
_SINCE_393 = ("semget", "semctl", "shmget", "shmctl", "shmat", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl")
_SINCE_403 = (
    "clock_gettime64", "clock_settime64", "clock_adjtime64", "clock_getres_time64", "clock_nanosleep_time64",
    "timer_gettime64", "timer_settime64", "timerfd_gettime64", "timerfd_settime64", "utimensat_time64",
    "pselect6_time64", "ppoll_time64",
)
_SINCE_416 = (
    "io_pgetevents_time64", "recvmmsg_time64", "mq_timedsend_time64", "mq_timedreceive_time64", "semtimedop_time64",
    "rt_sigtimedwait_time64", "futex_time64", "sched_rr_get_interval_time64",
)
_SINCE_424 = (  # the same number in every ABI (scripts/syscall.tbl)
    "pidfd_send_signal", "io_uring_setup", "io_uring_enter", "io_uring_register", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "pidfd_open", "clone3", "close_range", "openat2", "pidfd_getfd", "faccessat2",
    "process_madvise", "epoll_pwait2", "mount_setattr", "quotactl_fd", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self", "memfd_secret", "process_mrelease", "futex_waitv", "set_mempolicy_home_node",
    "cachestat", "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait", "futex_requeue", "statmount",
    "listmount", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules", "mseal", "setxattrat", "getxattrat",
    "listxattrat", "removexattrat", "open_tree_attr",
)
# fmt: on
_RENAMED: Tuple[Dict[int, str], ...] = (
    {283: "timerfd_create"},
    {22: "umount", 52: "umount2", 106: "stat", 107: "lstat", 108: "fstat"},
)
"""By ABI: what python-ptrace calls otherwise than the kernel's tables."""


@lru_cache(maxsize=256)
def untraced_row(abi: int, number: int) -> Syscall:
    """`syscall_N` where its name is not known."""
    name = _names(abi).get(number, "syscall_%d" % number)
    prototype = _table("prototypes.py").get("SYSCALL_PROTOTYPES", {}).get(name)
    words: Tuple[Tuple[str, Spelling], ...] = tuple(("arg%d" % i, hex) for i in range(6))
    if prototype is not None:
        words = tuple((argument, _spelt) for _, argument in prototype[1][:6])
    return Syscall(name, {}, words, lambda args: Other(name))


def number_of(abi: int, name: str) -> Optional[int]:
    """The number of a call that is not traced; None for a name that is none."""
    return next((number for number, known in _names(abi).items() if known == name), None)


def _spelt(value: int) -> Any:
    return value if value < _FIRST_POINTER else hex(value)


@lru_cache(maxsize=2)
def _names(abi: int) -> Dict[int, str]:
    file = _TABLES.get(Abi(abi))
    names = _table(os.path.join("linux", file)).get("SYSCALL_NAMES", {}) if file is not None else {}
    names = dict(names)
    newer: List[Tuple[int, Tuple[str, ...]]] = [(424, _SINCE_424)]
    if abi == Abi.I386:
        newer += [(320, _SINCE_320), (393, _SINCE_393), (403, _SINCE_403), (416, _SINCE_416)]
    for first, those in newer:
        names.update(enumerate(those, first))
    names.update(_RENAMED[abi])
    return names


@lru_cache(maxsize=8)
def _table(file: str) -> Dict[str, Any]:
    """What one module of ptrace.syscall defines; nothing where it is not there."""
    package = find_spec("ptrace")
    for folder in package.submodule_search_locations or () if package is not None else ():
        path = os.path.join(folder, "syscall", file)
        if os.path.exists(path):
            return run_path(path)
    return {}
