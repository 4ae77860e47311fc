"""Undoing what PTRACE_INTERRUPT does to calls that wait: some come back with EINTR, which no untraced run would see.

Most calls restart by themselves. These return EINTR to the program (signal(7), "Interruption of system calls and
library functions by stop signals"; fs/eventpoll.c, ipc/sem.c, kernel/signal.c, fs/aio.c, io_uring). Where they wait
without a timeout, running the call once more is exactly what would have happened. Where they wait with one, nobody can
tell how much of it had passed; SO_RCVTIMEO and SO_SNDTIMEO make any call on a socket one of these. Those are named.
"""

from __future__ import annotations

import errno
from typing import Dict, List, NamedTuple, Tuple

from wxtrace.decoders.proctext import parse_status
from wxtrace.live import arch, ptrace
from wxtrace.live.arch.multiplexers import waits_in_ipc
from wxtrace.live.arch.registers import (
    arguments,
    call_again,
    call_number,
    call_result,
    registers,
    set_registers,
)
from wxtrace.live.procfs import read_proc
from wxtrace.live.recorder import Recorder
from wxtrace.model.enumerations import WORD_SIZE
from wxtrace.model.facts import Note
from wxtrace.model.syscalls.table import call_name

__all__ = ["Interruptions"]

MOST_NAMED = 200
"""Threads named for one call."""


class _Wait(NamedTuple):
    """A call that returns EINTR, and how it says that it waits without a timeout."""

    argument: int
    """Which one, from 0."""
    mask: int
    """The bits of it that count."""
    for_ever: int


_EINTR = -errno.EINTR
_INT, _POINTER = 0xFFFFFFFF, (1 << 64) - 1
_MILLISECONDS = _Wait(3, _INT, _INT)
_THIRD, _FOURTH, _FIFTH = _Wait(2, _POINTER, 0), _Wait(3, _POINTER, 0), _Wait(4, _POINTER, 0)
_ALWAYS = _Wait(0, 0, 0)
# IORING_ENTER_EXT_ARG and IORING_ENTER_EXT_ARG_REG: there may be a timeout behind the last argument.
_IO_URING = _Wait(3, 1 << 3 | 1 << 6, 0)
_WAITS: Dict[str, _Wait] = {
    "epoll_wait": _MILLISECONDS,
    "epoll_pwait": _MILLISECONDS,
    "epoll_pwait2": _FOURTH,
    "semop": _ALWAYS,
    "semtimedop": _FOURTH,
    "semtimedop_time64": _FOURTH,
    "rt_sigtimedwait": _THIRD,
    "rt_sigtimedwait_time64": _THIRD,
    "io_getevents": _FIFTH,
    "io_uring_enter": _IO_URING,
}
"""Where the timeout of a call is."""


class Interruptions:
    """Runs interrupted calls again where that is exact, and keeps account of those where it is not."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._named: Dict[str, List[int]] = {}

    def undo(self, tid: int) -> None:
        """At the stop that an interrupt brought. A signal that waits for the thread explains EINTR: hands off then."""
        regs = registers(tid)
        number = call_number(regs) & _INT
        if call_result(regs) & _INT != _EINTR & _INT or number == _INT:
            return
        abi = arch.ABI_OF.get(ptrace.syscall_info(tid).arch)
        if abi is None:
            return
        word = (1 << 8 * WORD_SIZE[abi]) - 1
        if call_result(regs) & word != _EINTR & word or _signal_waits(tid):
            return
        args = tuple(value & word for value in arguments(regs, abi))
        if _waits_for_ever(abi, number, args):
            call_again(regs, abi)
            set_registers(tid, regs)
            return
        self._named.setdefault(call_name(abi, number), []).append(tid)
        self._recorder.arm()

    def tell(self) -> None:
        """Name the calls that could not be run again since last asked."""
        if not self._named:
            return
        calls = "; ".join("%s in %s" % (name, _threads(tids)) for name, tids in sorted(self._named.items()))
        self._named.clear()
        text = "stopping the threads made calls return EINTR once that wait with a timeout: " + calls
        self._recorder.fact(Note("interrupted", text))


def _waits_for_ever(abi: int, number: int, args: Tuple[int, ...]) -> bool:
    wait = _WAITS.get(call_name(abi, number))
    if wait is None:
        return waits_in_ipc(abi, number, args)
    return args[wait.argument] & wait.mask == wait.for_ever


def _threads(tids: List[int]) -> str:
    named = ", ".join(map(str, tids[:MOST_NAMED])) + (", …" if len(tids) > MOST_NAMED else "")
    return "thread %s" % named if len(tids) == 1 else "%d threads (%s)" % (len(tids), named)


def _signal_waits(tid: int) -> bool:
    status = parse_status(read_proc(tid, "status", 65536))
    try:
        pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
        return bool(pending & ~int(status["SigBlk"], 16))
    except (KeyError, ValueError):
        return True
