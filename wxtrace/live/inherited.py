"""Does a seccomp filter that was inherited (a container's, a service's) touch our calls?

Some twenty canonical calls are tried in a child under our own filter. If each reaches its seccomp stop, no foreign
filter decides any of them and the target may be traced in accelerated mode.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import List, Tuple

from wxtrace.live import ptrace, seccomp
from wxtrace.model.abi import CALL_NUMBERS, X86_64

__all__ = ["inherited_filter_matters"]

_ANYWHERE, _PAGE = 0, 4096
_ANON = 0x22
_CANONICAL: Tuple[Tuple[str, Tuple[int, ...]], ...] = (
    ("mmap", (_ANYWHERE, _PAGE, 3, _ANON)),
    ("mmap", (_ANYWHERE, _PAGE, 5, _ANON)),
    ("mmap", (_ANYWHERE, _PAGE, 7, _ANON)),
    ("mprotect", (1, _PAGE, 1)),
    ("mprotect", (1, _PAGE, 3)),
    ("mprotect", (1, _PAGE, 4)),
    ("mprotect", (1, _PAGE, 5)),
    ("mprotect", (1, _PAGE, 7)),
    ("pkey_mprotect", (1, _PAGE, 5, (1 << 64) - 1)),
    ("munmap", (1, _PAGE)),
    ("mremap", (1, _PAGE, _PAGE, 0)),
    ("brk", (0,)),
    ("madvise", (1, _PAGE, 4)),
    ("shmat", ((1 << 64) - 1, 0, 0)),
    ("shmat", ((1 << 64) - 1, 0, 0o100000)),
    ("shmdt", (1,)),
    ("memfd_create", (0, 0)),
    ("mseal", (1, _PAGE, 0)),
    ("personality", (0xFFFFFFFF,)),
    ("personality", (0x400000,)),
    ("remap_file_pages", (1, _PAGE, 0, 0, 0)),
    ("pkey_alloc", (1, 0)),
)


def inherited_filter_matters() -> bool:
    """True when any canonical call does not reach the kernel's own code, or nothing can be told."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _try_all(read)
    os.close(read)
    try:
        ptrace.request(ptrace.PTRACE_SEIZE, pid, 0, ptrace.OPTIONS | ptrace.O_TRACESECCOMP | ptrace.O_EXITKILL)
        os.write(write, b"x")
        arrived = _arrivals(pid)
    except (OSError, ptrace.TaskGone):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, ptrace.WALL)
        return True
    finally:
        os.close(write)
    wanted = [CALL_NUMBERS[X86_64][name] for name, _ in _CANONICAL]
    return not _in_order(wanted, arrived)


def _try_all(go: int) -> None:
    try:
        libc = ctypes.PyDLL(None)
        os.read(go, 1)
        seccomp.install()
        for name, args in _CANONICAL:
            libc.syscall(CALL_NUMBERS[X86_64][name], *(ctypes.c_ulong(value) for value in args))
    finally:
        os._exit(0)


def _arrivals(pid: int) -> List[int]:
    """The numbers of every call that reached its seccomp stop, in order."""
    arrived: List[int] = []
    while True:
        _, status = os.waitpid(pid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            return arrived
        number = 0
        if status == ptrace.SECCOMP_STOP:
            arrived.append(ptrace.syscall_info(pid).number)
        elif status >> 16 == 0:
            number = os.WSTOPSIG(status)
        ptrace.request(ptrace.PTRACE_CONT, pid, 0, number)


def _in_order(wanted: List[int], arrived: List[int]) -> bool:
    """Whether every wanted call arrived (the interpreter makes memory calls of its own in between)."""
    rest = iter(arrived)
    return all(number in rest for number in wanted)
