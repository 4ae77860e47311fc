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
from wxtrace.live import ptrace
from wxtrace.live.procfs import read_proc
from wxtrace.live.recorder import Recorder
from wxtrace.live.registers import registers, set_registers
from wxtrace.live.x86 import ARCH_ABI
from wxtrace.model.enumerations import Abi
from wxtrace.model.facts import Note

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
_WAITS: Tuple[Dict[int, _Wait], ...] = (
    {
        232: _MILLISECONDS,  # epoll_wait
        281: _MILLISECONDS,  # epoll_pwait
        441: _FOURTH,  # epoll_pwait2
        65: _ALWAYS,  # semop
        220: _FOURTH,  # semtimedop
        128: _THIRD,  # rt_sigtimedwait
        208: _FIFTH,  # io_getevents
        426: _IO_URING,  # io_uring_enter
    },
    {
        256: _MILLISECONDS,  # epoll_wait
        319: _MILLISECONDS,  # epoll_pwait
        441: _FOURTH,  # epoll_pwait2
        420: _FOURTH,  # semtimedop_time64
        177: _THIRD,  # rt_sigtimedwait
        421: _THIRD,  # rt_sigtimedwait_time64
        247: _FIFTH,  # io_getevents
        426: _IO_URING,  # io_uring_enter
    },
)
"""By ABI: number -> where its timeout is."""
_IPC, _SEMOP, _SEMTIMEDOP = 117, 1, 4
_REGISTERS = (("rdi", "rsi", "rdx", "r10", "r8", "r9"), ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp"))


class Interruptions:
    """Runs interrupted calls again where that is exact, and keeps account of those where it is not."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._named: Dict[str, List[int]] = {}

    def undo(self, tid: int) -> None:
        """At the stop that an interrupt brought. A signal that waits for the thread explains EINTR: hands off then."""
        regs = registers(tid)
        if regs.rax & _INT != _EINTR & _INT or regs.orig_rax & _INT == _INT:
            return
        abi = ARCH_ABI.get(ptrace.syscall_info(tid).arch)
        word = _INT if abi == Abi.I386 else _POINTER
        if abi is None or regs.rax & word != _EINTR & word or _signal_waits(tid):
            return
        number = int(regs.orig_rax & _INT)
        args = tuple(int(getattr(regs, name)) & word for name in _REGISTERS[abi])
        if _waits_for_ever(abi, number, args):
            # As the kernel does it itself (arch/x86/kernel/signal.c: handle_signal): all its ways in have two bytes.
            regs.rax = regs.orig_rax
            regs.rip -= 2
            set_registers(tid, regs)
            return
        self._named.setdefault(_name(abi, number), []).append(tid)
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
    if abi == Abi.I386 and number == _IPC:
        return args[0] & 0xFFFF == _SEMOP or (args[0] & 0xFFFF == _SEMTIMEDOP and args[5] == 0)
    wait = _WAITS[abi].get(number)
    return wait is not None and args[wait.argument] & wait.mask == wait.for_ever


def _name(abi: int, number: int) -> str:
    if abi == Abi.I386:
        from ptrace.syscall.linux.i386 import SYSCALL_NAMES
    else:
        from ptrace.syscall.linux.x86_64 import SYSCALL_NAMES
    return str(SYSCALL_NAMES.get(number, "call %d" % number))


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
