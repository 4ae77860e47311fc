"""Tasks and address spaces coming and going: fork, clone, exec, exit, group stops, being let go."""

from __future__ import annotations

import os
import signal
import struct
from typing import Callable, Dict, List, Optional, Set

from wxtrace.decoders import DecodeError
from wxtrace.decoders.proctext import Stat, parse_stat
from wxtrace.live import ptrace
from wxtrace.live.arch import abi_of_image
from wxtrace.live.privileges import lost_rights
from wxtrace.live.procfs import read_link, read_memory, read_proc, share_memory, thread_group
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Space, Task
from wxtrace.live.traced import name_of
from wxtrace.model.enumerations import Abi
from wxtrace.model.facts import Image, ModeChanged, Note, Seeded, TaskExited, TaskStarted

__all__ = ["Lifecycle"]

_CLONE_VM, _CLONE_VFORK, _CLONE_THREAD = 0x100, 0x4000, 0x10000
MOST_ARGUMENTS = 1 << 16
"""Bytes of a command line that are kept."""


class Lifecycle:
    """Keeps `tasks`, and writes every change of it down."""

    def __init__(self, recorder: Recorder) -> None:
        self.tasks: Dict[int, Task] = {}
        # The threads of each process that have not ended.
        self._groups: Dict[int, Set[Task]] = {}
        self.main: Optional[int] = None
        # The main process where it is our own child; None when attached.
        self.launched: Optional[int] = None
        self.before_end: Optional[Callable[[], None]] = None
        # Who stops and goes on with the main process; nobody when attached.
        self._front: Optional[int] = None
        self._front_stopped = False
        # Whether our filter is in force in whatever descends from the first task.
        self.filtered = False
        self._recorder = recorder
        self._spaces = 0

    def add(self, tid: int, pid: int, how: str, space: Optional[Space] = None) -> Task:
        """The first task of the run, or one found at attach."""
        task = Task(tid, pid, space or self.new_space())
        task.space.users += 1
        self._join(task)
        if self.main is None:
            self.main = pid
            if how == "launch":
                self.launched, self._front = pid, os.getppid()
        self._recorder.fact(TaskStarted(tid, self._recorder.now(), pid, task.space.id, how))
        return task

    def new_space(self) -> Space:
        """A space with an id of its own."""
        self._spaces += 1
        return Space(self._spaces)

    def born(self, parent: Task, event: int, tid: int) -> Task:
        """The child of a fork, vfork or clone; it inherits mode, filter and personality."""
        flags, stack = self._clone_arguments(parent, event, tid)
        pid = parent.pid if flags & _CLONE_THREAD else tid
        space = parent.space if flags & _CLONE_VM else self.new_space()
        space.users += 1
        space.brk = parent.space.brk
        space.stale = parent.space.stale or (space is not parent.space and parent.space.unknown_to_forks)
        child = Task(tid, pid, space)
        child.full = parent.full
        child.filtered = parent.filtered
        child.personality = parent.personality
        child.recording = parent.recording
        self._join(child)
        how = "vfork" if flags & _CLONE_VFORK else "clone" if flags & (_CLONE_VM | _CLONE_THREAD) else "fork"
        self._recorder.fact(TaskStarted(tid, self._recorder.now(), pid, space.id, how, parent.tid, flags, stack))
        return child

    def adopt(self, tid: int) -> Task:
        """A child that nobody announced; what it has is read from /proc, as of a process found at attach."""
        relative = next((task for task in self.tasks.values() if share_memory(task.tid, tid)), None)
        pid = thread_group(tid)
        task = self.add(tid, pid, "attach", relative.space if relative is not None else None)
        task.full = True
        self._recorder.fact(ModeChanged(tid, "full", "its parent was killed before it could tell of it"))
        task.filtered = self.filtered
        task.recording = True
        if relative is None:
            self.seed(task, "attach")
        else:
            task.personality = relative.personality
            relative.space.stale = True
        return task

    def _clone_arguments(self, parent: Task, event: int, child: int) -> tuple[int, Optional[int]]:
        """Clone flags and the child's stack pointer, from the call in flight."""
        name = name_of(parent.info[0], parent.info[1]) if parent.info is not None else ""
        if parent.info is not None and name == "clone":
            return parent.info[2][0], parent.info[2][1] or None
        if parent.info is not None and name == "clone3":
            # struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, …
            block = read_memory(parent.tid, parent.info[2][0], 56)
            if block is not None:
                flags, _, _, _, _, stack, size = struct.unpack("<7Q", block)
                return flags, (stack + size) or None
        if event == ptrace.EVENT_VFORK:
            return _CLONE_VM | _CLONE_VFORK, None
        if event == ptrace.EVENT_FORK:
            return 0, None
        return (_CLONE_VM | _CLONE_THREAD if thread_group(child) == parent.pid else 0), None

    def executed(self, task: Task, former_tid: int) -> Task:
        """A new program in this process; a thread that was not the leader now has the leader's tid."""
        if former_tid != task.tid and former_tid in self.tasks:
            caller = self.tasks[former_tid]
            self._leave(caller)
            if not task.ended:
                self._leave_space(task)
            task.ended = False
            self._join(task)
            task.full, task.filtered, task.personality = caller.full, caller.filtered, caller.personality
            task.space = caller.space
        task.info = None
        if task.recording:
            self._leave_space(task)
            task.space = self.new_space()
            task.space.users = 1
            why = lost_rights(task.tid)
            if why is not None:
                name = read_link(task.tid, "exe").rpartition("/")[2]
                self._recorder.fact(
                    Note(
                        "privileges",
                        "%s[%d]: %s" % (name, task.pid, why),
                        task.tid,
                    )
                )
        else:
            # The first program of the run: what was mapped before it was ours.
            task.space.close()
            task.recording = True
        self.seed(task, "exec", former_tid if former_tid != task.tid else None)
        return task

    def seed(self, task: Task, why: str, former_tid: Optional[int] = None) -> None:
        """Write down what /proc shows of a task's space and image."""
        tid = task.tid
        try:
            lines = task.space.maps_file(tid).lines()
        except OSError:
            lines = []
        try:
            where = parse_stat(read_proc(tid, "stat", 8192))
        except DecodeError:
            where = Stat("", "", *(0,) * 11)
        persona = read_proc(tid, "personality", 64).strip()
        task.personality = int(persona, 16) if persona else 0
        task.space.brk = where.start_brk if why == "exec" else None
        command_line = _command_line(tid, where, why)
        image = Image(
            read_link(tid, "exe"),
            [os.fsdecode(word) for word in command_line.rstrip(b"\0").split(b"\0")] if command_line else [],
            where.comm,
            _image_abi(tid).label,
        )
        self._recorder.fact(
            Seeded(
                tid,
                self._recorder.now(),
                task.pid,
                task.space.id,
                why,
                image,
                lines,
                where.start_brk,
                where.start_stack,
                task.personality,
                former_tid,
            )
        )

    def gone(self, task: Task, status: int) -> None:
        """A task died."""
        self._leave(task)
        if not task.ended:
            self._leave_space(task)
        killer = status & 0x7F or None
        code = None if killer else status >> 8 & 0xFF
        self._recorder.fact(TaskExited(task.tid, self._recorder.now(), code, killer))
        if task.tid == self.main:
            if self.before_end is not None:
                self.before_end()
            self._recorder.flush()
            self.group_continued(task)
            self._recorder.say({"is": "ended", "code": code, "signal": killer, "left": self.processes()})

    def let_go(self, task: Task) -> None:
        """A task runs on untraced."""
        self._leave(task)
        if not task.ended:
            self._leave_space(task)
        self._recorder.fact(TaskExited(task.tid, self._recorder.now()))

    def group_stopped(self, task: Task) -> None:
        """The front stops with the main process, so that the shell sees its job stop.

        Stopped and woken from here, one after the other: stopping itself it could miss being woken.
        """
        if task.tid == self.main and self._front is not None and os.getppid() == self._front:
            self._recorder.flush()
            os.kill(self._front, signal.SIGSTOP)
            self._front_stopped = True

    def group_continued(self, task: Task) -> None:
        """SIGCONT reached it, whoever sent it."""
        if task.tid == self.main and self._front_stopped:
            self._front_stopped = False
            if self._front is not None and os.getppid() == self._front:
                os.kill(self._front, signal.SIGCONT)

    def processes(self) -> List[int]:
        """The pids still traced."""
        return sorted(self._groups)

    def others(self, task: Task) -> List[Task]:
        """The other threads of its process that have not ended."""
        return [other for other in self._groups.get(task.pid, ()) if other is not task]

    def leader_ended(self, task: Task) -> None:
        """Before its process: its number stays taken (see exits.py)."""
        task.ended = True
        self._leave_group(task)
        self._leave_space(task)

    def _join(self, task: Task) -> None:
        self.tasks[task.tid] = task
        self._groups.setdefault(task.pid, set()).add(task)

    def _leave(self, task: Task) -> None:
        self.tasks.pop(task.tid, None)
        self._leave_group(task)

    def _leave_group(self, task: Task) -> None:
        group = self._groups.get(task.pid)
        if group is not None:
            group.discard(task)
            if not group:
                del self._groups[task.pid]

    def _leave_space(self, task: Task) -> None:
        space = task.space
        space.users -= 1
        if space.users == 0 or (space.maps is not None and space.maps.tid == task.tid):
            space.close()


def _image_abi(tid: int) -> Abi:
    """By what the kernel told the program at its start: the file itself may be served by a tracee."""
    return abi_of_image(read_proc(tid, "auxv", 4096))


def _command_line(tid: int, where: Stat, why: str) -> bytes:
    """What exec has just written can be read; later a server of the target's may have to be waited for."""
    size = min(max(where.arg_end - where.arg_start, 0), MOST_ARGUMENTS)
    if why != "exec" and read_memory(tid, where.arg_start, size) is None:
        return b""
    return read_proc(tid, "cmdline", MOST_ARGUMENTS)
