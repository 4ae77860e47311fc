"""The programs of seccomp filters: read when the target installs one, asked of the kernel when one refuses.

A program is written down once, however many processes install it. Nothing here is done before the first filter
that is not ours.
"""

from __future__ import annotations

import ctypes
import os
from typing import Dict, List, Optional, Set, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.cgroup import cgroup_path
from wxtrace.decoders.classic_bpf import (
    INSTRUCTION_SIZE,
    MOST_INSTRUCTIONS,
    RET_K,
    decode_program,
    decode_sock_fprog,
)
from wxtrace.decoders.proctext import parse_status
from wxtrace.live import ptrace, seccomp
from wxtrace.live.procfs import read_link, read_memory, read_proc
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Task
from wxtrace.live.traced import name_of
from wxtrace.model.enumerations import WORD_SIZE
from wxtrace.model.facts import FilterCode, FilterInstalled, FiltersSeen
from wxtrace.model.flags import SECCOMP_FILTER_FLAG_NEW_LISTENER
from wxtrace.model.restrictions import Ancestor, Listener

__all__ = ["FilterWatch"]

MOST_PROGRAMS, MOST_FILTERS, MOST_ANCESTORS, MOST_PROCESSES = 256, 64, 16, 1024
_PTRACE_SECCOMP_GET_FILTER = 0x420C
_NOTIFY_LINK = "anon_inode:seccomp notify"
_MODE_STRICT = 1
_RET_USER_NOTIF = 0x7FC0


class FilterWatch:
    """Keeps what was already written down."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._codes: Dict[bytes, int] = {}
        self._notifying: Set[int] = set()
        # By thread: what it was told under, so that a new filter anywhere is news.
        self._told: Dict[int, Tuple[Task, int]] = {}
        self._installations = 0
        self._looked_for_listeners = False

    def installed(self, task: Task, abi: int, number: int, args: Tuple[int, ...]) -> None:
        """A call of `task` installed a filter: write its program down before the call."""
        self._installations += 1
        by_seccomp = name_of(abi, number) == "seccomp"
        is_filter = args[0] & 0xFFFFFFFF if by_seccomp else args[1] != _MODE_STRICT
        if by_seccomp and args[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER:
            self._looked_for_listeners = False
        if is_filter:
            self._recorder.fact(FilterInstalled(task.tid, self._program_in_memory(task.tid, abi, args[2])))

    def answered(self, task: Task, dead: bool = False) -> None:
        """A foreign filter answered a call of `task`, or may have: where it comes from, told once a thread."""
        tid = task.tid
        known, installations = self._told.get(tid, (None, 0))
        if known is task and installations == self._installations:
            return
        self._told[tid] = task, self._installations
        codes: Optional[List[int]] = None
        why_not = "the process is dead" if dead else ""
        if not dead:
            try:
                codes = self._programs_in_kernel(tid)
            except ptrace.TaskGone:
                why_not = "the process is gone"
            except OSError as error:
                why_not = _reason(error)
        # What is dead has left its cgroup; its program ran where we run, unless it was attached to.
        where = os.getpid() if dead else tid
        self._recorder.fact(
            FiltersSeen(
                tid,
                codes,
                why_not,
                _ancestors(where),
                cgroup_path(read_proc(where, "cgroup", 65536)),
                self._listeners(codes) if not dead else [],
            )
        )

    def _known(self, code: bytes) -> Optional[int]:
        """The id of a program, written down if it is new; None for what no kernel takes, and beyond a bound."""
        known = self._codes.get(code)
        if known is None and len(self._codes) < MOST_PROGRAMS:
            try:
                program = decode_program(code)
            except DecodeError:
                return None
            known = self._codes[code] = len(self._codes) + 1
            if any(step.code == RET_K and step.k >> 16 == _RET_USER_NOTIF for step in program):
                self._notifying.add(known)
            self._recorder.fact(FilterCode(known, code.hex()))
        return known

    def _program_in_memory(self, tid: int, abi: int, address: int) -> Optional[int]:
        word = WORD_SIZE[abi]
        block = read_memory(tid, address, 2 * word)
        if block is None:
            return None
        try:
            length, first = decode_sock_fprog(block, word)
        except DecodeError:
            return None
        code = read_memory(tid, first, length * INSTRUCTION_SIZE)
        return None if code is None else self._known(code)

    def _programs_in_kernel(self, tid: int) -> List[int]:
        """Every foreign filter, the oldest first. Raises OSError where the kernel does not say (ptrace(2))."""
        buffer = ctypes.create_string_buffer(MOST_INSTRUCTIONS * INSTRUCTION_SIZE)
        ours = seccomp.program_bytes()
        found: List[int] = []
        for index in range(MOST_FILTERS):
            try:
                length = ptrace.request(_PTRACE_SECCOMP_GET_FILTER, tid, index, ctypes.addressof(buffer))
            except FileNotFoundError:
                return found
            code = buffer.raw[: length * INSTRUCTION_SIZE]
            if code != ours:
                known = self._known(code)
                if known is None:
                    break
                found.append(known)
        raise OSError(0, "more filters than are looked at")

    def _listeners(self, codes: Optional[List[int]]) -> List[Listener]:
        """Who holds the listening end of a filter (seccomp_unotify(2)); of the processes that may be looked at.

        Looked for once, until another one comes, and not where no filter hands its calls to anybody.
        """
        if self._looked_for_listeners or (codes is not None and not any(code in self._notifying for code in codes)):
            return []
        self._looked_for_listeners = True
        found: List[Listener] = []
        try:
            pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[-MOST_PROCESSES:]
        except OSError:
            return []
        for pid in pids:
            try:
                names = os.listdir("/proc/%d/fd" % pid)
            except OSError:
                continue
            if any(read_link(pid, "fd/" + name) == _NOTIFY_LINK for name in names):
                found.append(Listener(pid, os.fsdecode(read_proc(pid, "comm", 64).rstrip(b"\n"))))
        return found


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "the kernel shows filters only to CAP_SYS_ADMIN, and to no tracer that is filtered itself"
    return os.strerror(error.errno) if error.errno else str(error.strerror)


def _ancestors(pid: int) -> List[Ancestor]:
    """The process itself, its parent, and so on; above us where we started it, since below us all have our filter."""
    ours = {os.getpid(), os.getppid()}
    found: List[Ancestor] = []
    for _ in range(MOST_ANCESTORS):
        status = parse_status(read_proc(pid, "status", 65536))
        if not status:
            break
        if pid in ours:
            found.clear()
        else:
            filters = status.get("Seccomp_filters", "")
            found.append(Ancestor(pid, status.get("Name", ""), int(filters) if filters.isdigit() else None))
        parent = status.get("PPid", "0")
        if not parent.isdigit() or int(parent) == 0:
            break
        pid = int(parent)
    return found
