"""Asking a stopped thread a question only it can answer: prctl(PR_GET_MDWE).

Done at a syscall-exit stop, by running the system-call instruction just executed once more with other registers
and all signals blocked; nothing is written to memory. Never done where a foreign filter could answer or kill.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Optional

from wxtrace.live import arch, ptrace
from wxtrace.live.arch.registers import injected_call, instruction_pointer, registers, set_registers
from wxtrace.live.procfs import is_dead, pages_with_contents
from wxtrace.live.task import Task
from wxtrace.model.syscalls.table import NUMBERS

__all__ = ["query_mdwe"]

_PR_GET_MDWE = 66
_PAUSE = 0.00002


def query_mdwe(task: Task) -> Optional[int]:
    """PR_GET_MDWE of a thread at its syscall-exit stop; None when it could not be asked."""
    tid = task.tid
    try:
        regs = registers(tid)
        abi = arch.ABI_OF.get(ptrace.syscall_info(tid).arch)
        if abi is None:
            return None
        ip = instruction_pointer(regs)
        begin = ip - len(arch.CONVENTIONS[abi].instruction)
        # Else it would wait for whoever serves the page that its code was on.
        if not all(filled for _, filled in pages_with_contents(tid, begin, ip)):
            return None
        mask = ptrace.signal_mask(tid)
        ptrace.set_signal_mask(tid, (1 << 64) - 1)
        try:
            set_registers(tid, injected_call(regs, abi, NUMBERS[abi]["prctl"], (_PR_GET_MDWE, 0, 0, 0, 0)))
            result = _run_to_exit(task)
        finally:
            set_registers(tid, regs)
            ptrace.set_signal_mask(tid, mask)
    except (ptrace.TaskGone, OSError):
        return None
    return result if result is not None and 0 <= result <= 3 else None


def _next_stop(task: Task) -> int:
    """Let it run to its next stop. Raises TaskGone for a death, which is left for the main loop to reap.

    Never waits without end: a leader's death is told only after its threads' deaths, which nobody hears here.
    """
    tid = task.tid
    ptrace.request(ptrace.PTRACE_SYSCALL, tid)
    while True:
        # One call that takes a stop and only a stop: between looking and taking a kill would put a death in its place.
        stop = os.waitid(os.P_PID, tid, os.WSTOPPED | os.WNOHANG | ptrace.WALL)
        if stop is not None:
            status = stop.si_status << 8 | 0x7F
            if status == ptrace.EXIT_STOP:
                task.at_exit = True
                raise ptrace.TaskGone(tid)
            return status
        # Of a tracee this tells stops as well (kernel/exit.c: wait_task_stopped asks no flag of a tracer).
        state = os.waitid(os.P_PID, tid, os.WEXITED | os.WNOWAIT | os.WNOHANG | ptrace.WALL)
        if is_dead(tid) if state is None else state.si_code != os.CLD_TRAPPED:
            raise ptrace.TaskGone(tid)
        time.sleep(_PAUSE)


def _run_to_exit(task: Task) -> Optional[int]:
    """Through the entry stop to the exit stop. None when something else stopped the thread first."""
    tid = task.tid
    for op in (ptrace.OP_ENTRY, ptrace.OP_EXIT):
        status = _next_stop(task)
        if status >> 16 == ptrace.EVENT_STOP and os.WSTOPSIG(status) == signal.SIGTRAP:
            # An interrupt that was on its way: whoever sent it takes the stop that this thread is in anyway.
            status = _next_stop(task)
        if status != ptrace.SYSCALL_STOP:
            if status >> 16 == ptrace.EVENT_STOP:
                # The whole process was stopped: told again, to the main loop, as soon as the thread is let go.
                ptrace.request(ptrace.PTRACE_INTERRUPT, tid)
            elif os.WSTOPSIG(status) == signal.SIGSTOP:
                # The one signal no mask holds back: it will come again once the thread runs.
                ptrace.send_signal(tid, signal.SIGSTOP)
            return None
        if ptrace.syscall_info(tid).op != op:
            return None
    return ptrace.syscall_info(tid).result
