"""Letting go of everybody at the end of an attach, so that nobody notices.

The tracer ends, and the kernel lets go of its tracees (kernel/ptrace.c: exit_ptrace). PTRACE_DETACH would need a stop,
and to be stopped makes calls that wait return EINTR (restart.py). But a thread that stands in a stop when it is let go
of is woken as by a signal (__ptrace_unlink): at the entry of such a call it would be broken off as well. Therefore all
that may be about to stop are heard out before, and resumed so that they do not stop any more.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Callable, Collection

from wxtrace.live import ptrace
from wxtrace.live.procfs import state_of
from wxtrace.live.stop_threads import PATIENCE
from wxtrace.live.task import Task

__all__ = ["end_as_tracer", "settle"]

_COMPUTING = 0.2
"""Seconds after which a running thread is taken for one that makes no calls."""
_MOST = 10.0
"""Seconds for all: on a busy machine it may take long until a thread that was woken has stopped."""
_PAUSE = 0.001


def settle(tasks: Callable[[], Collection[Task]], hear: Callable[[int, int], None]) -> None:
    """Hear stops (their tid and wait status) until everybody sleeps, or runs on without stopping."""
    status = ctypes.c_int()
    since = time.monotonic()
    while True:
        tid = ptrace.waitpid(-1, ctypes.addressof(status), ptrace.WALL | os.WNOHANG)
        if tid > 0:
            hear(tid, status.value)
            continue
        waited = time.monotonic() - since
        if waited > _MOST or not any(_is_awaited(task, waited) for task in tasks()):
            return
        time.sleep(_PAUSE)


def _is_awaited(task: Task, waited: float) -> bool:
    if task.ended or task.group_stopped:
        return False
    state = state_of(task.tid)
    if task.thread_stop is not None:
        # An interrupt is on its way to it; an uninterruptible call holds it up for as long as it lasts.
        return state not in ("Z", "X", "") and (state != "D" or waited < PATIENCE)
    return not task.released and (state == "t" or (state == "R" and waited < _COMPUTING))


def end_as_tracer() -> None:
    """What is left to be done, a child does. Returns in that child, once nobody is traced any more."""
    tracer = os.getpid()
    try:
        if os.fork() > 0:
            _run_on()
            os._exit(0)
    except OSError:
        # No process more: all are let go as soon as everything is said.
        return
    # Children are handed on after tracees (kernel/exit.c: forget_original_parent).
    while os.getppid() == tracer:
        time.sleep(_PAUSE)


def _run_on() -> None:
    """Whoever has stopped since."""
    status = ctypes.c_int()
    while True:
        tid = ptrace.waitpid(-1, ctypes.addressof(status), ptrace.WALL | os.WNOHANG)
        if tid <= 0:
            return
        stop = status.value
        signal = stop >> 8 if stop >> 16 == 0 and stop != ptrace.SYSCALL_STOP else 0
        if stop & 0xFF == 0x7F:
            ptrace.raw_request(ptrace.PTRACE_CONT, tid, 0, signal)
