"""ptrace(2) and waitpid(2) as the tracer needs them.

Numbers by include/uapi/linux/ptrace.h: python-ptrace lacks half of them, and takes long to import (see
`wxtrace.live.arch.registers`). Calls go through PyDLL: the tracer has one thread, so giving up the interpreter lock
around each call buys nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from typing import NamedTuple, Tuple

from wxtrace.live.arch import SYS_PTRACE, SYS_TKILL

__all__ = [
    "EVENT_CLONE",
    "EVENT_EXEC",
    "EVENT_FORK",
    "EVENT_SECCOMP",
    "EVENT_STOP",
    "EVENT_VFORK",
    "EXIT_STOP",
    "OP_ENTRY",
    "OP_EXIT",
    "OP_SECCOMP",
    "SECCOMP_STOP",
    "SYSCALL_STOP",
    "SyscallInfo",
    "TaskGone",
    "signal_mask",
]

PTRACE_PEEKUSER = 3
PTRACE_POKEUSER = 6
PTRACE_CONT = 7
PTRACE_DETACH = 17
PTRACE_SYSCALL = 24
PTRACE_GETEVENTMSG = 0x4201
PTRACE_GETSIGINFO = 0x4202
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_LISTEN = 0x4208
PTRACE_GETSIGMASK = 0x420A
PTRACE_SETSIGMASK = 0x420B
PTRACE_GET_SYSCALL_INFO = 0x420E

EVENT_FORK, EVENT_VFORK, EVENT_CLONE, EVENT_EXEC = 1, 2, 3, 4
EVENT_EXIT, EVENT_SECCOMP = 6, 7
EVENT_STOP = 128

# SYSGOOD, FORK, VFORK, CLONE, EXEC and EXIT.
OPTIONS = 0x5F
O_TRACESECCOMP = 0x80
O_EXITKILL = 0x100000

OP_ENTRY, OP_EXIT, OP_SECCOMP = 1, 2, 3

SYSCALL_STOP = (signal.SIGTRAP | 0x80) << 8 | 0x7F
SECCOMP_STOP = EVENT_SECCOMP << 16 | signal.SIGTRAP << 8 | 0x7F
EXIT_STOP = EVENT_EXIT << 16 | signal.SIGTRAP << 8 | 0x7F
WALL = 0x40000000

_libc = ctypes.PyDLL(None, use_errno=True)
_fast_libc = ctypes.PyDLL(None)

_request = _fast_libc.ptrace
_request.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_request.restype = ctypes.c_long

_checked = _libc.ptrace
_checked.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_checked.restype = ctypes.c_long

raw_request = _request
"""ptrace without a look at errno, for the hot path: -1 means the task is gone or no longer stopped."""

waitpid = _libc.waitpid
waitpid.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
waitpid.restype = ctypes.c_int

prctl = _libc.prctl
prctl.argtypes = (ctypes.c_int,) + (ctypes.c_ulong,) * 4
prctl.restype = ctypes.c_int

_ENTRY = struct.Struct("<B3xIQQ7QI")
_EXIT = struct.Struct("<B3xIQQqB")
SYSCALL_INFO_SIZE = 96
_info = ctypes.create_string_buffer(SYSCALL_INFO_SIZE)
_info_address = ctypes.addressof(_info)
_word = ctypes.c_ulong()


class TaskGone(Exception):
    """The task died, or was killed out of its stop: its wait status follows."""


class SyscallInfo(NamedTuple):
    """One syscall stop. At an exit `number` is None and `result` set (negative errno on failure)."""

    op: int
    arch: int
    ip: int
    sp: int
    number: int
    args: Tuple[int, int, int, int, int, int]
    ret_data: int
    result: int


def request(what: int, tid: int, addr: int = 0, data: int = 0) -> int:
    """One ptrace request. Raises TaskGone on ESRCH, OSError else."""
    result = int(_checked(what, tid, addr, data))
    if result == -1:
        number = ctypes.get_errno()
        if number == 3:
            raise TaskGone(tid)
        raise OSError(number, os.strerror(number))
    return result


_NO_ARGS = (0, 0, 0, 0, 0, 0)


def syscall_info(tid: int) -> SyscallInfo:
    """PTRACE_GET_SYSCALL_INFO (Linux 5.3): which stop this is, by the kernel's own word."""
    if _request(PTRACE_GET_SYSCALL_INFO, tid, SYSCALL_INFO_SIZE, _info_address) <= 0:
        raise TaskGone(tid)
    op, arch, ip, sp, number, a, b, c, d, e, g, data = _ENTRY.unpack_from(_info)
    if op == OP_EXIT:
        return SyscallInfo(op, arch, ip, sp, -1, _NO_ARGS, 0, _EXIT.unpack_from(_info)[4])
    return SyscallInfo(op, arch, ip, sp, number, (a, b, c, d, e, g), data, 0)


def event_message(tid: int) -> int:
    """PTRACE_GETEVENTMSG: the new task's tid, the former tid at exec, the wait status at exit."""
    request(PTRACE_GETEVENTMSG, tid, 0, ctypes.addressof(_word))
    return int(_word.value)


def user_word(tid: int, offset: int) -> int:
    """PTRACE_PEEKUSER: the word at `offset` in struct user, as an unsigned number."""
    if _fast_libc.syscall(SYS_PTRACE, PTRACE_PEEKUSER, tid, offset, ctypes.byref(_word)) == -1:
        raise TaskGone(tid)
    return int(_word.value)


def siginfo(tid: int, size: int) -> bytes:
    """The raw siginfo_t of the signal this task stopped for."""
    buffer = ctypes.create_string_buffer(size)
    request(PTRACE_GETSIGINFO, tid, 0, ctypes.addressof(buffer))
    return buffer.raw


def signal_mask(tid: int) -> int:
    """The blocked-signal mask of a stopped task, as the kernel's 64-bit set."""
    mask = ctypes.c_uint64()
    request(PTRACE_GETSIGMASK, tid, 8, ctypes.addressof(mask))
    return int(mask.value)


def set_signal_mask(tid: int, mask: int) -> None:
    """Replace the blocked-signal mask (SIGKILL and SIGSTOP cannot be blocked)."""
    value = ctypes.c_uint64(mask)
    request(PTRACE_SETSIGMASK, tid, 8, ctypes.addressof(value))


def send_signal(tid: int, number: int) -> None:
    """tkill(2): one signal to one thread."""
    _libc.syscall(SYS_TKILL, tid, number)
