"""Undoing what PTRACE_INTERRUPT does to a few calls: they come back with EINTR, which no untraced run would see.

Most calls restart by themselves. These return EINTR to the program (fs/eventpoll.c, ipc/sem.c, kernel/signal.c); where
they wait without a timeout, running the call once more is exactly what would have happened.
"""

from __future__ import annotations

import errno
from typing import Dict, Optional

from wxtrace.decoders.proctext import parse_status
from wxtrace.live.procfs import read_memory, read_proc
from wxtrace.live.registers import registers, set_registers
from wxtrace.live.x86 import syscall_instruction

__all__ = ["restart_interrupted"]

# Number: (name, the register that holds the timeout, its value for "for ever").
_CALLS: Dict[int, tuple[str, str, int]] = {
    232: ("epoll_wait", "r10", 0xFFFFFFFF),
    281: ("epoll_pwait", "r10", 0xFFFFFFFF),
    441: ("epoll_pwait2", "r10", 0),
    65: ("semop", "", 0),
    220: ("semtimedop", "r10", 0),
    128: ("rt_sigtimedwait", "rdx", 0),
    208: ("io_getevents", "r8", 0),
}
_X86_64_SYSCALL = 0


def restart_interrupted(tid: int) -> Optional[str]:
    """At the stop that an interrupt brought: let the call run again, or give its name when that would not be exact.

    None when there was nothing to undo. A real signal that waits for the thread explains the EINTR: hands off then.
    """
    regs = registers(tid)
    known = _CALLS.get(regs.orig_rax)
    if known is None or regs.rax != (1 << 64) - errno.EINTR:
        return None
    code = read_memory(tid, regs.rip - 2, 2)
    if code is None or syscall_instruction(code) != _X86_64_SYSCALL or _signal_waits(tid):
        return None
    name, register, for_ever = known
    if register:
        value = getattr(regs, register)
        if (value & 0xFFFFFFFF if for_ever else value) != for_ever:
            return name
    regs.rax = regs.orig_rax
    regs.rip -= 2
    set_registers(tid, regs)
    return None


def _signal_waits(tid: int) -> bool:
    status = parse_status(read_proc(tid, "status", 65536))
    try:
        pending = int(status["SigPnd"], 16) | int(status["ShdPnd"], 16)
        return bool(pending & ~int(status["SigBlk"], 16))
    except (KeyError, ValueError):
        return True
