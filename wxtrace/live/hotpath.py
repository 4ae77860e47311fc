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
from wxtrace.live.arch import NATIVE, PAGE_SIZE
from wxtrace.live.mm_order import MmOrder
from wxtrace.live.recorder import Recorder
from wxtrace.live.seccomp import COOKIE
from wxtrace.live.task import Task
from wxtrace.model import flags as f
from wxtrace.model.enumerations import AUDIT_ARCH
from wxtrace.model.facts import BY_KERNEL
from wxtrace.model.syscalls.row import Words
from wxtrace.model.syscalls.table import BY_NUMBER, NUMBERS
from wxtrace.record.journal import plain_head

__all__ = ["HotPath"]

_ARCH = AUDIT_ARCH[NATIVE]
_ENTRY = struct.Struct("<B3xIQQ7QI")
_EXIT = struct.Struct("<B23xq")
_HEAD = plain_head(NATIVE, BY_KERNEL)
_MUNMAP = NUMBERS[NATIVE]["munmap"]
_ROWS = BY_NUMBER[NATIVE]
_PLAIN: Dict[int, Callable[[Words], bool]] = {number: row.plain for number, row in _ROWS.items()}

Resume = Callable[[int, int, int, int], int]


class HotPath:
    """Two questions a stop: may this one go the short way, and if so it is done."""

    def __init__(self, recorder: Recorder, mm_order: MmOrder, resume: Callable[[Task], None]) -> None:
        self._recorder = recorder
        self._mm_order = mm_order
        self._resume = resume
        self._info = ctypes.create_string_buffer(ptrace.SYSCALL_INFO_SIZE)
        self._address = ctypes.addressof(self._info)
        self._message = ctypes.c_ulong()
        self._message_address = ctypes.addressof(self._message)
        self._request: Resume = ptrace.raw_request
        self._start = recorder.start_ns
        # The call each task is in, as unpacked at its seccomp stop.
        self._calls: Dict[int, tuple[int, ...]] = {}

    def entered(self, task: Task) -> bool:
        """At a seccomp stop: resumed to the exit stop, or False with nothing done."""
        if task.full:
            return self._let_through(task)
        if not task.recording or task.thread_stop is not None or task.personality & f.READ_IMPLIES_EXEC:
            return False
        tid = task.tid
        if self._request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, self._address) <= 0:
            return False
        call = _ENTRY.unpack_from(self._info)
        if call[11] != COOKIE or not _is_plain(call, task):
            return False
        task.reached_kernel = True
        self._admit(task, call)
        return True

    def left(self, task: Task) -> bool:
        """At a syscall stop: recorded and resumed, or False with nothing done (`task.info` still tells the call)."""
        tid = task.tid
        call = self._calls.pop(tid, None)
        if call is None or task.thread_stop is not None:
            return False
        request = self._request
        if request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, self._address) <= 0:
            return False
        op, result = _EXIT.unpack_from(self._info)
        space = task.space
        if op != ptrace.OP_EXIT or result < 0 or space.stale or not task.reached_kernel:
            return False
        task.info = None
        now = time.monotonic_ns()
        # Whoever may go on goes on before this is written down: it runs meanwhile.
        if space.holders:
            for freed in self._mm_order.leave(task, space):
                self._resume(freed)
        request(ptrace.PTRACE_SYSCALL if task.full else ptrace.PTRACE_CONT, tid, 0, 0)
        self._recorder.plain_call(tid, now - self._start, _HEAD, call, result)
        return True

    def passed(self, task: Task) -> bool:
        """At a syscall stop in full mode: `left`, or resumed at an entry or at an exit that means nothing to us."""
        if task.thread_stop is not None:
            return False
        tid = task.tid
        if tid in self._calls:
            return self.left(task)
        if self._request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, self._address) <= 0:
            return False
        call = _ENTRY.unpack_from(self._info)
        if call[0] == ptrace.OP_ENTRY:
            if call[1] != _ARCH or call[4] in _ROWS:
                if not (task.filtered and task.recording and _is_plain(call, task)):
                    return False
                if task.personality & f.READ_IMPLIES_EXEC:
                    return False
                task.reached_kernel = False
                self._admit(task, call)
                return True
            task.info = None
            task.reached_kernel = False
        elif call[0] != ptrace.OP_EXIT or task.info is not None:
            return False
        self._request(ptrace.PTRACE_SYSCALL, tid, 0, 0)
        return True

    def forget(self, tid: int) -> None:
        """The task is gone."""
        self._calls.pop(tid, None)

    def _admit(self, task: Task, call: tuple[int, ...]) -> None:
        """Remember the call, and let it into the kernel as soon as nobody else of its space is there."""
        number = call[4]
        space = task.space
        args = call[5:11]
        affected = None if space.users == 1 else _ROWS[number].affects(args, PAGE_SIZE)
        if affected is None or self._mm_order.enter(task, space, affected):
            self._request(ptrace.PTRACE_SYSCALL, task.tid, 0, 0)
        else:
            self._recorder.arm()
        self._calls[task.tid] = call
        task.info = (NATIVE, number, args)

    def _let_through(self, task: Task) -> bool:
        """At the seccomp stop of a call that was seen at its entry: whose stop it is, is all that is new."""
        tid = task.tid
        if tid not in self._calls or task.thread_stop is not None:
            return False
        if self._request(ptrace.PTRACE_GETEVENTMSG, tid, 0, self._message_address) < 0:
            return False
        if self._message.value != COOKIE:
            return False
        task.reached_kernel = True
        self._request(ptrace.PTRACE_SYSCALL, tid, 0, 0)
        return True


def _is_plain(call: tuple[int, ...], task: Task) -> bool:
    """Whether the arguments alone tell all that this call does when it succeeds."""
    number = call[4]
    plain = _PLAIN.get(number)
    if plain is None or call[1] != _ARCH or not plain(call[5:11]):
        return False
    if number == _MUNMAP:
        # The library that was mapped last goes: perhaps the loader refused it (libraries.py).
        library = task.space.library
        return library is None or library[0] != call[5] or library[1] is None
    return True
