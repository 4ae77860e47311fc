"""The short way for the calls that programs make by the thousand.

A plain call that the kernel answers with success needs nothing but its record: no lookup by name, no object, no
/proc. Whatever is not exactly that goes the long way through the tracer, which does the same and more.
"""

from __future__ import annotations

import ctypes
import struct
import time
from typing import Callable, Dict

from wxtrace.live import ptrace
from wxtrace.live.gate import Gate
from wxtrace.live.recorder import Recorder
from wxtrace.live.seccomp import COOKIE
from wxtrace.live.task import Task
from wxtrace.live.x86 import AUDIT_ARCH
from wxtrace.model import flags as f
from wxtrace.model.abi import CALL_NUMBERS, X86_64
from wxtrace.model.facts import BY_KERNEL

__all__ = ["HotPath"]

_ARCH = AUDIT_ARCH[X86_64]
_ENTRY = struct.Struct("<B3xIQQ7QI")
_EXIT = struct.Struct("<B23xq")
_NUMBERS = CALL_NUMBERS[X86_64]
_MADVISE = _NUMBERS["madvise"]
_PROTECTS = frozenset({_NUMBERS["mprotect"], _NUMBERS["pkey_mprotect"]})
_MMAP = _NUMBERS["mmap"]
_PLAIN = frozenset(_NUMBERS[name] for name in ("mmap", "mprotect", "pkey_mprotect", "munmap", "madvise"))
_TRACED = frozenset(_NUMBERS.values())
_GROWS = f.GROWSDOWN | f.GROWSUP
_NOT_PLAIN = ~(f.MAP_ANONYMOUS | f.MAP_FIXED | f.MAP_NORESERVE | f.MAP_STACK | f.MAP_FIXED_NOREPLACE | 2)
_PRIVATE_ANONYMOUS, _KIND = 0x22, 0x23

Resume = Callable[[int, int, int, int], int]


class HotPath:
    """Two questions a stop: may this one go the short way, and if so it is done."""

    def __init__(self, recorder: Recorder, gate: Gate, resume: Callable[[Task], None]) -> None:
        self._recorder = recorder
        self._gate = gate
        self._resume = resume
        self._info = ctypes.create_string_buffer(ptrace.SYSCALL_INFO_SIZE)
        self._address = ctypes.addressof(self._info)
        self._request: Resume = ptrace.raw_request
        self._start = recorder.start_ns
        # The call each task is in, as unpacked at its seccomp stop.
        self._calls: Dict[int, tuple[int, ...]] = {}

    def entered(self, task: Task) -> bool:
        """At a seccomp stop: resumed to the exit stop, or False with nothing done."""
        if task.full or not task.recording or task.quiesce is not None:
            return False
        if task.personality & f.READ_IMPLIES_EXEC:
            return False
        tid = task.tid
        request = self._request
        if request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, self._address) <= 0:
            return False
        call = _ENTRY.unpack_from(self._info)
        number = call[4]
        if number not in _PLAIN or call[1] != _ARCH or call[11] != COOKIE:
            return False
        if number == _MMAP:
            flags = call[8]
            if flags & _KIND != _PRIVATE_ANONYMOUS or flags & _NOT_PLAIN:
                return False
        elif number in _PROTECTS and call[7] & _GROWS:
            return False
        self._calls[tid] = call
        task.info = (X86_64, number, call[5:11])
        task.reached_kernel = True
        if task.space.users != 1 and number != _MADVISE and not self._gate.enter(task, task.space):
            self._recorder.arm()
            return True
        request(ptrace.PTRACE_SYSCALL, tid, 0, 0)
        return True

    def left(self, task: Task) -> bool:
        """At a syscall stop: recorded and resumed, or False with nothing done (`task.info` still tells the call)."""
        tid = task.tid
        call = self._calls.pop(tid, None)
        if call is None or task.quiesce is not None:
            return False
        request = self._request
        if request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, self._address) <= 0:
            return False
        op, result = _EXIT.unpack_from(self._info)
        space = task.space
        if op != ptrace.OP_EXIT or result < 0 or space.stale:
            return False
        task.info = None
        self._recorder.plain_call(tid, time.monotonic_ns() - self._start, BY_KERNEL, call, result)
        if space.holder is task:
            for freed in self._gate.leave(task, space):
                self._resume(freed)
        request(ptrace.PTRACE_CONT, tid, 0, 0)
        return True

    def passed(self, task: Task) -> bool:
        """At a syscall stop in full mode: resumed when the call is none of ours, or False with nothing done."""
        if task.quiesce is not None:
            return False
        tid = task.tid
        request = self._request
        if request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, self._address) <= 0:
            return False
        op, arch, _, _, number, *_ = _ENTRY.unpack_from(self._info)
        if op == ptrace.OP_ENTRY:
            if arch != _ARCH or number in _TRACED:
                return False
            task.info = None
            task.reached_kernel = False
        elif op != ptrace.OP_EXIT or task.info is not None:
            return False
        request(ptrace.PTRACE_SYSCALL, tid, 0, 0)
        return True

    def forget(self, tid: int) -> None:
        """The task is gone."""
        self._calls.pop(tid, None)
