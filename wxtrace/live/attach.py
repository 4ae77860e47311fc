"""Attaching to a running process with all its threads."""

from __future__ import annotations

from typing import Dict

from wxtrace.live import ptrace
from wxtrace.live.lifecycle import Lifecycle
from wxtrace.live.procfs import is_dead, threads_of
from wxtrace.live.task import Space, Task
from wxtrace.live.tracer import Tracer

__all__ = ["seize_all"]


def seize_all(tracer: Tracer, lifecycle: Lifecycle, pid: int) -> None:
    """Seize every thread, stop them all, read the map, let them run.

    Raises ProcessLookupError when there is no such process, PermissionError when ptrace may not.
    """
    seized: Dict[int, Task] = {}
    space: Space = lifecycle.new_space()
    while True:
        try:
            fresh = [tid for tid in threads_of(pid) if tid not in seized and not is_dead(tid)]
        except FileNotFoundError:
            raise ProcessLookupError(pid) from None
        if not fresh:
            break
        if not seized and is_dead(pid):
            # A thread may go on under its number yet.
            lifecycle.leader_ended(lifecycle.add(pid, pid, "attach", space))
        for tid in fresh:
            try:
                ptrace.request(ptrace.PTRACE_SEIZE, tid, 0, ptrace.OPTIONS)
            except ptrace.TaskGone:
                continue
            except PermissionError:
                # A thread born of one already seized is ours without asking.
                if not seized:
                    raise
            task = lifecycle.add(tid, pid, "attach", space)
            task.full = True
            # It may sit in a clone whose entry nobody saw; its first stop says that it does not.
            task.forking = True
            seized[tid] = task
    if not seized:
        raise ProcessLookupError(pid)

    def seed() -> None:
        living = [task for task in lifecycle.tasks.values() if not task.ended]
        if living:
            # The leader, if it is among them: its name is that of the process.
            first = min(living, key=lambda task: task.tid != pid)
            lifecycle.seed(first, "attach")
            for task in lifecycle.tasks.values():
                task.personality = first.personality
                task.recording = True

    tracer.thread_stops.hold_all(seed)
