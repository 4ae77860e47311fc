"""What is volatile when a call was refused, read from /proc while the thread stands still.

Nothing here writes to the target's memory: a write into file-backed private memory makes an anon_vma and so may
itself cause an execmod refusal later. What the target names is only ever looked at through /proc links, and where the
target itself may have to answer (inquiry.py), in the helper process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from typing import Any, Dict, Generator, List, Optional, Sequence, Set, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.cgroup import cgroup_path
from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.decoders.proctext import (
    parse_fdinfo,
    parse_limits,
    parse_meminfo,
    parse_mountinfo,
    parse_stat,
    parse_status,
)
from wxtrace.frozen import replace
from wxtrace.live import ptrace
from wxtrace.live.arch import PAGE_SIZE
from wxtrace.live.arch.registers import instruction_pointer, registers, stack_pointer
from wxtrace.live.host import address_bits, security_modules
from wxtrace.live.inject import query_mdwe
from wxtrace.live.inquiry import Question
from wxtrace.live.libraries import library_of_line, library_to_ask_for
from wxtrace.live.machine_evidence import Room, cpu_features, huge_pages, room_left, same_namespaces, segment
from wxtrace.live.procfs import read_link, read_proc, smaps_of_ranges, thread_group
from wxtrace.live.statx import known_file
from wxtrace.live.task import Task
from wxtrace.model import flags as f
from wxtrace.model.facts import BY_FILTER, LIBRARY, MAP, MODULES, OPEN_FILE, Call, Probe
from wxtrace.model.objects import Descriptor, MountFact
from wxtrace.model.restrictions import ModuleState, SelinuxState
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.memfd import MemfdCreate
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest, Evidence, Syscall
from wxtrace.model.syscalls.shm import Shmat
from wxtrace.model.task_size import searched_below, task_size

__all__ = ["Prober"]

MOST_VMAS = 64
BUDGET_SECONDS, REFILL = 1.0, 0.1
"""A full probe takes milliseconds. Together they may take a tenth of the time, after a first second; beyond that
(a program that fails in a loop) probes are short: they read what is quick, and never more in a larger program."""
MOST_DEBT_SECONDS = 5.0
"""The first failure of a kind gets a full probe all the same, until the time is overdrawn by so much."""
MOST_KINDS, MOST_LINES = 4096, 4

_EACCES, _EPERM, _EMFILE = -13, -1, -24
_SYSCTLS = (
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/mmap_min_addr",
    "vm/memfd_noexec",
    "vm/admin_reserve_kbytes",
    "vm/user_reserve_kbytes",
    "fs/file-max",
    "fs/aio-max-nr",
    "fs/aio-nr",
    "kernel/perf_event_mlock_kb",
    "kernel/perf_event_paranoid",
)
_STATUS = ("Seccomp", "Seccomp_filters", "NoNewPrivs", "CapEff", "VmSize", "VmData", "VmLck", "VmPin", "Uid")
_MEMINFO = ("MemTotal", "SwapTotal", "CommitLimit", "Committed_AS", "HugePages_Free", "HugePages_Rsvd", "Hugepagesize")
_KINDS = {
    stat.S_IFREG: "regular file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
_OWN_FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "ramfs", "hugetlbfs"})
_FS_IOC_GETFLAGS, _FS_APPEND_FL = 0x80086601, 0x20
_F_GET_SEALS = 1034
_HUGETLBFS_MAGIC = 0x958458F6
_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438


Looking = Generator[Question, Any, Probe]


class Prober:
    """Collects evidence; `mdwe` is what the tracer knows of processes it launched (None when it attached)."""

    def __init__(self) -> None:
        self._page_size = PAGE_SIZE
        self._budget = BUDGET_SECONDS
        self._refilled = time.monotonic()
        self._kinds: Set[Tuple[object, ...]] = set()

    def probe(
        self, task: Task, row: Syscall, request: CallRequest, call: Call, lines: Sequence[MapLine] = ()
    ) -> Looking:
        """Everything a rule may want to see about this failed call; what a tracee can hold up is asked for.

        `lines`: its range, as read again.
        """
        self._refill()
        # The tracer's own time: on a busy machine the same look takes ten times as long by the clock.
        start = time.thread_time()
        first = self._first_of_its_kind(task, row, request, call, lines)
        steps = self._full_or_short(task, row, request, call, self._budget <= (-MOST_DEBT_SECONDS if first else 0))
        answer = None
        while True:
            # Only what keeps everybody waiting counts: while a question is open, the others go on.
            try:
                question = steps.send(answer)
            except StopIteration as end:
                probe: Probe = end.value
                return probe
            finally:
                self._budget -= time.thread_time() - start
            answer = yield question
            self._refill()
            start = time.thread_time()

    def _full_or_short(self, task: Task, row: Syscall, request: CallRequest, call: Call, short: bool) -> Looking:
        tid = task.tid
        try:
            regs = registers(tid)
            ip, sp = instruction_pointer(regs), stack_pointer(regs)
        except (ptrace.TaskGone, OSError):
            ip = sp = 0
        comm = os.fsdecode(read_proc(tid, "comm", 64).rstrip(b"\n"))
        status = parse_status(read_proc(tid, "status", 65536))
        unanswered: List[str] = []
        needs = row.evidence
        short_of_memory = call.result in (-12, -11) or isinstance(request, Brk)
        personality = _hex(read_proc(tid, "personality", 64))
        vmas, complete, room = [], False, Room()
        if not short:
            below = None
            if Evidence.ROOM in needs:
                end = task_size(call.abi, address_bits(), self._page_size, personality or 0)
                below = searched_below(request, end, self._page_size)
            asked = (tid, row.looks_at(request, task.space.brk), short_of_memory, below)
            seen = (yield Question(_look_at_map, asked)) if task.space.in_use_beside(task) else _look_at_map(*asked)
            if seen is None:
                unanswered.append(MAP)
            else:
                vmas, complete, room = seen
        start_brk = start_stack = 0
        data_size = None
        try:
            where = parse_stat(read_proc(tid, "stat", 8192))
            start_brk, start_stack, data_size = where.start_brk, where.start_stack, where.data_size
        except DecodeError:
            pass
        denied = call.result in (_EACCES, _EPERM)
        about_descriptors = Evidence.OPEN_FILES in needs or call.result == _EMFILE
        same = same_namespaces(tid) if Evidence.NAMESPACES in needs else False
        descriptor = None
        if isinstance(request, Mmap):
            if not request.flags & f.MAP_ANONYMOUS:
                descriptor = self._descriptor(tid, request.fd)
                if descriptor.kind == "regular file":
                    may_be_huge = _may_be_huge(descriptor)
                    if _is_the_kernels_own(descriptor):
                        answer = _borrowed_descriptor(tid, request.fd, may_be_huge)
                    else:
                        answer = yield Question(_borrowed_descriptor, (tid, request.fd, may_be_huge))
                    if answer is None:
                        unanswered.append(OPEN_FILE)
                    else:
                        descriptor = replace(
                            descriptor, seals=answer[0], append_only=answer[1], huge_page_size=answer[2]
                        )
        huge = _about_huge_pages(request, descriptor)
        mounts = self._mounts(tid, vmas)
        selinux = modules = None
        if not short and denied and call.decided != BY_FILTER and Evidence.MODULES in needs:
            known = security_modules() or []
            context = read_proc(tid, "attr/current", 4097)
            asked_for = (tid, request, vmas, mounts, known, context)
            if descriptor is None and not any(vma.line.inode for vma in vmas):
                selinux, modules = _asked_modules(*asked_for)
            elif context or known:
                answer = yield Question(_asked_modules, asked_for)
                if answer is None:
                    unanswered.append(MODULES)
                selinux, modules = answer or (None, None)
        library = None
        code = library_to_ask_for(task, request, vmas) if not short else None
        if code is not None:
            library = yield Question(library_of_line, (tid, code))
            if library is None:
                unanswered.append(LIBRARY)
            elif library.trouble and not (isinstance(request, Mprotect) and request.prot & f.GROWSDOWN):
                # Data that is no program is nobody's library.
                library = None
        seccomp_filters = status.get("Seccomp_filters", "0")
        mdwe = None
        if not short and _wants_mdwe(row, call) and seccomp_filters == ("1" if task.filtered else "0"):
            mdwe = query_mdwe(task)
        return Probe(
            tid=tid,
            comm=comm,
            ip=ip,
            sp=sp,
            vmas=vmas,
            vmas_complete=complete,
            short=short,
            status={key: status[key] for key in _STATUS if key in status},
            limits=parse_limits(read_proc(tid, "limits", 16384)),
            map_count=room.map_count,
            sysctl={} if short and call.result == _EACCES and Evidence.MODULES in needs else _sysctls(),
            meminfo=_meminfo(tid) if short_of_memory or huge else {},
            descriptor=descriptor,
            mounts=mounts,
            mdwe=mdwe,
            filters_ours=1 if task.filtered else 0,
            lsm_label=_lsm_label(tid) if denied or not short else None,
            selinux=selinux,
            modules=modules,
            cgroup=cgroup_path(read_proc(tid, "cgroup", 65536)) if denied and not short else None,
            personality=personality,
            start_brk=start_brk,
            start_stack=start_stack,
            brk=task.space.brk,
            open_fds=_count_fds(tid) if about_descriptors and not short else None,
            library=library,
            same_namespaces=same,
            cpu_features=cpu_features() if Evidence.CPU in needs and not short else None,
            largest_gap=room.largest_gap,
            largest_low_gap=room.largest_low_gap,
            huge_pages=huge_pages() if huge else None,
            segment=segment(request.shmid) if isinstance(request, Shmat) and same else None,
            data_size=data_size,
            unanswered=unanswered,
        )

    def _first_of_its_kind(
        self, task: Task, row: Syscall, request: CallRequest, call: Call, lines: Sequence[MapLine]
    ) -> bool:
        # What the mapping of an object may become, only a look at this very mapping tells.
        memory = tuple(line._replace(path="") if line.inode else line.perms for line in lines[:MOST_LINES])
        asked = tuple(getattr(request, field, 0) for field in ("prot", "flags", "advice", "shmflg"))
        kind = (task.pid, row.name, call.result, asked, request.length.bit_length(), memory)
        if kind in self._kinds:
            return False
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.clear()
        self._kinds.add(kind)
        return True

    def _refill(self) -> None:
        now = time.monotonic()
        self._budget = min(BUDGET_SECONDS, self._budget + (now - self._refilled) * REFILL)
        self._refilled = now

    def _mounts(self, tid: int, vmas: List[Vma]) -> Dict[str, MountFact]:
        """The mounts of the files in range, by device number as maps writes it."""
        wanted = {vma.line.dev for vma in vmas if vma.line.inode}
        if not wanted:
            return {}
        try:
            mounts = parse_mountinfo(read_proc(tid, "mountinfo"))
        except DecodeError:
            return {}
        return {
            mount.dev: MountFact(mount.point, mount.options, mount.fstype, mount.super_options)
            for mount in reversed(mounts)
            if mount.dev in wanted
        }

    def _descriptor(self, tid: int, fd: int) -> Descriptor:
        link = read_link(tid, "fd/%d" % fd)
        if not link:
            return Descriptor("")
        info = parse_fdinfo(read_proc(tid, "fdinfo/%d" % fd, 65536))
        kind = None
        try:
            kind = _KINDS.get(stat.S_IFMT(known_file("/proc/%d/fd/%d" % (tid, fd)).mode))
        except OSError:
            pass
        mount = None
        try:
            for entry in parse_mountinfo(read_proc(tid, "mountinfo")):
                if entry.id == info.get("mnt_id"):
                    mount = MountFact(entry.point, entry.options, entry.fstype, entry.super_options)
        except DecodeError:
            pass
        return Descriptor(link, info.get("flags"), kind, mount)


def _wants_mdwe(row: Syscall, call: Call) -> bool:
    return Evidence.MDWE in row.evidence and call.result == _EACCES and call.decided != BY_FILTER


def _look_at_map(
    tid: int, ranges: List[Tuple[int, int]], count: bool, below: Optional[int]
) -> Tuple[List[Vma], bool, Room]:
    vmas, complete = smaps_of_ranges(tid, ranges, MOST_VMAS)
    return vmas, complete, room_left(tid, below) if count else Room()


def _may_be_huge(descriptor: Descriptor) -> bool:
    """Whether it is a file of huge pages; the kernel's own lie on no mount that is shown."""
    mount = descriptor.mount
    if mount is not None:
        return mount.fstype == "hugetlbfs"
    return descriptor.link.startswith(("/memfd:", "/anon_hugepage"))


def _is_the_kernels_own(descriptor: Descriptor) -> bool:
    """Whether no process or machine has to be asked about the file."""
    mount = descriptor.mount
    return descriptor.link.startswith("/memfd:") or (mount is not None and mount.fstype in _OWN_FILE_SYSTEMS)


def _borrowed_descriptor(tid: int, fd: int, may_be_huge: bool) -> Tuple[Optional[int], Optional[bool], Optional[int]]:
    """Seals, the append-only attribute and the size of huge pages, asked of a copy of the target's own descriptor.

    pidfd_getfd is there from Linux 5.6.

    Whoever serves the file is asked, and once more when the copy is closed (fs/fuse/file.c:fuse_flush).
    """
    libc = ctypes.PyDLL(None, use_errno=True)
    pidfd = libc.syscall(_SYS_PIDFD_OPEN, thread_group(tid), 0)
    if pidfd < 0:
        return None, None, None
    copy = libc.syscall(_SYS_PIDFD_GETFD, pidfd, fd, 0)
    os.close(pidfd)
    if copy < 0:
        return None, None, None
    seals = append_only = None
    try:
        seals = fcntl.fcntl(copy, _F_GET_SEALS)
    except OSError:
        pass
    try:
        attributes = fcntl.ioctl(copy, _FS_IOC_GETFLAGS, struct.pack("<q", 0))
        append_only = bool(struct.unpack("<q", attributes)[0] & _FS_APPEND_FL)
    except OSError as error:
        # A file system without such attributes.
        append_only = False if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP) else None
    huge = _huge_page_size(libc, copy) if may_be_huge else None
    os.close(copy)
    return seals, append_only, huge


def _huge_page_size(libc: ctypes.PyDLL, fd: int) -> Optional[int]:
    """The block size of hugetlbfs is that of its pages (fs/hugetlbfs/inode.c:hugetlbfs_statfs)."""
    answer = ctypes.create_string_buffer(256)
    if libc.fstatfs(fd, answer) != 0:
        return None
    kind, size = struct.unpack_from("<qq", answer)
    return size if kind == _HUGETLBFS_MAGIC else None


def _asked_modules(
    tid: int, request: CallRequest, vmas: List[Vma], mounts: Dict[str, MountFact], known: List[str], context: bytes
) -> Tuple[Optional[SelinuxState], Optional[ModuleState]]:
    # Only where a call was refused with their errnos: most programs never need the imports.
    from wxtrace.live.module_evidence import module_state
    from wxtrace.live.selinux_evidence import selinux_state

    return selinux_state(tid, request, vmas, mounts, context), module_state(tid, request, known)


def _lsm_label(tid: int) -> Optional[str]:
    """The task's security context; None when no module answers (EINVAL)."""
    text = read_proc(tid, "attr/current", 4096).rstrip(b"\0\n")
    return os.fsdecode(text) if text else None


def _sysctls() -> Dict[str, str]:
    found = {}
    for name in _SYSCTLS:
        try:
            # Without a buffer and a decoder that take longer than the reading.
            with open("/proc/sys/" + name, "rb", buffering=0) as file:
                found[name.replace("/", ".")] = file.read(64).decode("ascii", "replace").strip()
        except OSError:
            pass
    return found


def _meminfo(tid: int) -> Dict[str, int]:
    try:
        with open("/proc/meminfo", "rb") as file:
            sizes = parse_meminfo(file.read(65536))
    except OSError:
        return {}
    return {key: sizes[key] for key in _MEMINFO if key in sizes}


def _about_huge_pages(request: CallRequest, descriptor: Optional[Descriptor]) -> bool:
    if isinstance(request, Mmap):
        huge_file = descriptor is not None and descriptor.huge_page_size is not None
        return huge_file or bool(request.flags & f.MAP_HUGETLB)
    return isinstance(request, MemfdCreate) and bool(request.flags & f.MFD_HUGETLB)


def _count_fds(tid: int) -> Optional[int]:
    try:
        return len(os.listdir("/proc/%d/fd" % tid))
    except OSError:
        return None


def _hex(text: bytes) -> Optional[int]:
    try:
        return int(text.strip(), 16)
    except ValueError:
        return None
