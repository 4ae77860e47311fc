"""Writing one finished call down, with what has to be read while its thread stands still.

Ordinary calls cost one record. /proc is asked only where arguments do not tell what was mapped, and after failures.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING, Any, Generator, List, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmaps import MapLine
from wxtrace.decoders.proctext import parse_stat
from wxtrace.frozen import replace
from wxtrace.live import arch, ptrace
from wxtrace.live.inquiry import Question, Steps
from wxtrace.live.libraries import library_mapped, library_unloaded
from wxtrace.live.procfs import WHOLE, lines_of_ranges, read_link, read_memory, read_proc
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Task
from wxtrace.live.traced import is_traced
from wxtrace.model import flags as f
from wxtrace.model.enumerations import WORD_SIZE
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, STACK, UNDECIDED, Call, Mapped, Named, Note, Resynced, Unloading
from wxtrace.model.outcome import may_be_refused
from wxtrace.model.syscalls.aio import IoSetup
from wxtrace.model.syscalls.arch_prctl import ArchPrctl
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.madvise import ProcessMadvise
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.munmap import Munmap
from wxtrace.model.syscalls.personality import ASK, Personality
from wxtrace.model.syscalls.prctl import Prctl
from wxtrace.model.syscalls.row import CallRequest, Range, Syscall, page_align_up
from wxtrace.model.syscalls.seccomp import Seccomp
from wxtrace.model.syscalls.shm import Shmdt
from wxtrace.model.syscalls.table import row_of

if TYPE_CHECKING:
    from wxtrace.live.filters import FilterWatch
    from wxtrace.live.probe import Prober
    from wxtrace.live.unwinder import Unwinder
    from wxtrace.live.verify import Verifier

__all__ = ["Observer"]

MOST_ENVIRONMENT = 1 << 20
Words = Tuple[int, ...]


class Observer:
    """Turns a finished call into facts."""

    def __init__(self, recorder: Recorder, verifier: Optional[Verifier], page_size: int) -> None:
        self._recorder = recorder
        self._prober: Optional[Prober] = None
        self._verifier = verifier
        # Off once threads run on untraced: they change the map unseen.
        self.verifies = verifier is not None
        self._page_size = page_size
        self.unwinder: Optional[Unwinder] = None
        self._filter_watch: Optional[FilterWatch] = None

    def finished(self, task: Task, abi: int, number: int, args: Words, result: int) -> Optional[Steps]:
        """The call came back: written down, or the steps to that if something has to be asked first (inquiry.py).

        Errors while reading /proc (the task may be dying) lose only what was asked.
        """
        decided = _who_decided(task)
        if WORD_SIZE[abi] == 4:
            args = tuple(value & 0xFFFFFFFF for value in args)
            result = result if result < 0 else result & 0xFFFFFFFF
        row = row_of(abi, number)
        request = row.request(args)
        recorder = self._recorder
        failed = -4096 < result < 0
        if isinstance(request, Brk):
            failed = self._brk(task, request.addr, result)
        elif isinstance(request, Shmdt) and result == 0 and decided != BY_FILTER:
            failed = self._still_attached(task, request.shmaddr)
        call = Call(task.tid, recorder.now(), abi, number, args, result, decided)  # type: ignore[arg-type]
        if row.makes_task and not failed:
            return None
        if task.space.stale and not task.space.in_use_beside(task) and (failed or decided != BY_FILTER):
            self.resync(task, *WHOLE, why="calls overlapped")
        if decided == BY_FILTER:
            self._filters().answered(task)
            if result >= 0 and result != number:
                # A listener may have told the kernel to go on (SECCOMP_USER_NOTIF_FLAG_CONTINUE).
                for start, end in row.changed(request, result, self._page_size):
                    self.resync(task, start, end, why="a filter answered")
        if failed:
            return self._failed(task, row, request, call)
        if decided == BY_FILTER:
            if may_be_refused(row.name, "", True):
                return self._faked(task, row, request, call)
        elif isinstance(request, Munmap):
            library = task.space.library
            if library is not None and library[0] == request.addr and library[1] is not None:
                task.space.library = None
                return self._unloaded(task, row, request, call, library[1])
        elif row.shown(args) or (row.implies_exec and task.personality & f.READ_IMPLIES_EXEC):
            self._success(task, row, request, call)
        self._came_back(task, row, request, call)
        return None

    def _came_back(self, task: Task, row: Syscall, request: CallRequest, call: Call) -> None:
        """Written down behind all that explains it."""
        self._recorder.call(call)
        self._verify(task, row, request, call)

    def _verify(self, task: Task, row: Syscall, request: CallRequest, call: Call) -> None:
        if self._verifier is not None and self.verifies and row.changes_map:
            self._verifier.check(task, row.name, row.changed(request, call.result or 0, self._page_size))

    def _failed(self, task: Task, row: Syscall, request: CallRequest, call: Call) -> Steps:
        # The calls that made the map what it is may not have been kept.
        everything = [(WHOLE, "calls were dropped")] if self._recorder.journal.full else []
        for part in everything:
            yield from self._reread(task, [part])
        lines = yield from self._reread(task, [(part, "the call failed") for part in self._reread_after(row, request)])
        if self._prober is None:
            from wxtrace.live.probe import Prober

            self._prober = Prober()
        probe = yield from self._prober.probe(task, row, request, call, lines)
        if call.decided == UNDECIDED and probe.status.get("Seccomp") == "2":
            self._filters().answered(task)
        errno = f.errno_name(-call.result) if call.result is not None and -4096 < call.result < 0 else ""
        sampled: Optional[bool] = False
        if may_be_refused(row.name, errno, call.decided == BY_FILTER):
            sampled = yield from self._sample_stack(task, call)
        self._recorder.fact(probe if sampled is not None else replace(probe, unanswered=[*probe.unanswered, STACK]))
        self._recorder.call(call, keep=True)
        self._recorder.flush()
        self._verify(task, row, request, call)

    def _faked(self, task: Task, row: Syscall, request: CallRequest, call: Call) -> Steps:
        yield from self._sample_stack(task, call)
        self._came_back(task, row, request, call)

    def _sample_stack(self, task: Task, call: Call) -> Generator[Question, Any, Optional[bool]]:
        if self.unwinder is None:
            # Not at the start: a program that nothing is refused to shall not pay for it.
            from wxtrace.live.unwinder import Unwinder

            self.unwinder = Unwinder(self._recorder)
        return (yield from self.unwinder.sample(task, call))

    def unfinished(self, task: Task, abi: int, number: int, args: Words) -> None:
        """The task died inside the call."""
        decided = BY_KERNEL if task.reached_kernel else UNDECIDED
        if task.full and not task.reached_kernel:
            # It may have been killed by a filter.
            self._filters().answered(task, dead=True)
        self._recorder.call(
            Call(task.tid, self._recorder.now(), abi, number, args, None, decided),  # type: ignore[arg-type]
            keep=True,
        )

    def trapped_in_call(self, task: Task) -> None:
        """A filter sent SIGSYS for a call that is not traced: its number and arguments are in the registers again."""
        call = self._rolled_back(task)
        if call is not None:
            task.trapped_at = ptrace.user_word(task.tid, arch.INSTRUCTION_POINTER)
            self._filters().answered(task)
            self._recorder.call(call, keep=True)

    def killed_in_call(self, task: Task) -> None:
        """The same where a filter killed the thread, at its last stop (kernel/seccomp.c:__seccomp_filter)."""
        call = self._rolled_back(task)
        if call is not None and ptrace.user_word(task.tid, arch.INSTRUCTION_POINTER) != task.trapped_at:
            self._filters().answered(task, dead=True)
            self._recorder.call(call, keep=True)

    def _rolled_back(self, task: Task) -> Optional[Call]:
        """A call that is not traced, as the registers have it since a filter refused to let it in.

        None where they hold none: then the number is not where the result is (asm/syscall.h:syscall_rollback).
        """
        tid = task.tid
        abi = arch.ABI_OF.get(ptrace.syscall_info(tid).arch)
        number = ptrace.user_word(tid, arch.CALL_NUMBER)
        if abi is None or number != ptrace.user_word(tid, arch.RESULT) or number >= 1 << 31:
            return None
        args = tuple(ptrace.user_word(tid, offset) for offset in arch.CONVENTIONS[abi].offsets)
        if is_traced(abi, number, args):
            return None
        return Call(tid, self._recorder.now(), abi, number, args, None, BY_FILTER)  # type: ignore[arg-type]

    def resync(self, task: Task, start: int, end: int, why: str) -> List[MapLine]:
        """Write [start, end) down as /proc shows it now, to be believed with the next call of this task."""
        try:
            maps = task.space.maps_file(task.tid)
            lines = maps.lines() if (start, end) == WHOLE else maps.range(start, end)
        except OSError:
            return []
        if (start, end) == WHOLE:
            task.space.stale = False
        self._recorder.fact(Resynced(task.tid, task.space.id, start, end, lines, why))
        return lines

    def _brk(self, task: Task, asked: int, result: int) -> bool:
        """Follow the break; True for a refusal: brk has no errno, it answers with the old break (mm/mmap.c:brk)."""
        known, task.space.brk = task.space.brk, result
        return asked != 0 and result != asked and (known is None or asked != known)

    def _still_attached(self, task: Task, address: int) -> bool:
        """Whether shmdt, which does not look at the answer of its own munmap, left sealed memory (ipc/shm.c)."""
        try:
            line = task.space.maps_file(task.tid).at_or_after(address)
        except OSError:
            return False
        return line is not None and line.path.startswith("/SYSV") and line.start - address == line.offset

    def _reread(self, task: Task, parts: List[Tuple[Tuple[int, int], str]]) -> Generator[Question, Any, List[MapLine]]:
        """As `resync`, which waits for whoever holds the map locked (fs/fuse/file.c:fuse_vma_close): all the lines."""
        if not parts or not task.space.in_use_beside(task):
            return [line for (start, end), why in parts for line in self.resync(task, start, end, why)]
        found = yield Question(lines_of_ranges, (task.tid, [part for part, _ in parts]))
        task.space.stale = task.space.stale or found is None
        for ((start, end), why), lines in zip(parts, found or ()):
            self._recorder.fact(Resynced(task.tid, task.space.id, start, end, lines, why))
        return [line for lines in found or () for line in lines]

    def _filters(self) -> FilterWatch:
        if self._filter_watch is None:
            # Most programs have no filter.
            from wxtrace.live.filters import FilterWatch

            self._filter_watch = FilterWatch(self._recorder)
        return self._filter_watch

    def _reread_after(self, row: Syscall, request: CallRequest) -> List[Range]:
        """What a failed call may have changed all the same."""
        return [(low, high) for low, high in row.reread(request, self._page_size) if low < high <= 1 << 64]

    def _success(self, task: Task, row: Syscall, request: CallRequest, call: Call) -> None:
        if isinstance(request, Personality):
            if request.persona != ASK:
                task.personality = request.persona
            return
        if isinstance(request, Prctl) and request.option == f.PR_SET_NAME:
            comm = read_proc(task.tid, "comm", 64).rstrip(b"\n")
            self._recorder.fact(Named(task.tid, os.fsdecode(comm)))
            return
        if isinstance(request, Seccomp) or (isinstance(request, Prctl) and request.option == f.PR_SET_SECCOMP):
            self._filters().installed(task, call.abi, call.number, call.args)
            return
        if isinstance(request, ProcessMadvise):
            # Its ranges stand in memory that the target can hold.
            task.space.unknown_to_forks = True
            return
        if isinstance(request, (Prctl, ArchPrctl)):
            self.resync(task, *WHOLE, why=row.name)
            return
        if not task.space.passed <= {task}:
            # Somebody has the map locked, for as long as nobody knows.
            task.space.stale = True
            return
        try:
            lines = self._mapped_by(task, request, call)
        except OSError:
            return
        if lines:
            self._recorder.fact(Mapped(task.tid, lines, _open_for_writing(task.tid, request)))
            if isinstance(request, Mmap):
                task.space.library = library_mapped(task.space.library, call.args, lines[0])
                if "san" in lines[0].path and request.prot & f.PROT_EXEC:
                    self._warn_of_sanitizer(task, lines[0].path)

    def _warn_of_sanitizer(self, task: Task, path: str) -> None:
        from wxtrace.live.sanitizers import sanitizer_in_library

        try:
            where = parse_stat(read_proc(task.tid, "stat", 8192))
        except DecodeError:
            return
        size = min(max(where.env_end - where.env_start, 0), MOST_ENVIRONMENT)
        environment = read_memory(task.tid, where.env_start, size) or b""
        warning = sanitizer_in_library(path, read_link(task.tid, "exe").rpartition("/")[2], environment)
        if warning is not None:
            self._recorder.fact(Note("sanitizer", warning, task.tid))

    def _unloaded(self, task: Task, row: Syscall, request: CallRequest, call: Call, code: MapLine) -> Steps:
        """A library that goes as soon as it came may be one that the loader refused."""
        found = yield Question(library_unloaded, (task.tid, code))
        if found:
            self._recorder.fact(Unloading(task.tid, *found))
        self._came_back(task, row, request, call)

    def _mapped_by(self, task: Task, request: CallRequest, call: Call) -> List[MapLine]:
        result = call.result or 0
        maps = task.space.maps_file(task.tid)
        if isinstance(request, Mprotect):
            return maps.range(request.addr, request.addr + page_align_up(request.length, self._page_size))
        if isinstance(request, IoSetup):
            size = WORD_SIZE[call.abi]
            context = read_memory(task.tid, request.context_address, size)
            if context is None:
                return []
            result = struct.unpack("<I" if size == 4 else "<Q", context)[0]
        if isinstance(request, Brk):
            result -= 1
        line = maps.at(result)
        return [line] if line is not None else []


def _open_for_writing(tid: int, request: CallRequest) -> bool:
    """Whether an executable mapping was made of a descriptor that can be written to.

    The links in /proc/PID/fd have the mode of the open file as their permissions (fs/proc/fd.c:tid_fd_update_inode).
    """
    if not isinstance(request, Mmap) or not request.prot & f.PROT_EXEC or request.flags & f.MAP_ANONYMOUS:
        return False
    try:
        return bool(os.lstat("/proc/%d/fd/%d" % (tid, request.fd)).st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _who_decided(task: Task) -> int:
    if task.reached_kernel:
        return BY_KERNEL
    return BY_FILTER if task.filtered and task.reached_kernel is not None else UNDECIDED
