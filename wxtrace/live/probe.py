"""What is volatile when a call was refused, read from /proc while the thread stands still.

Nothing here writes to the target's memory: a write into file-backed private memory makes an anon_vma and so may
itself cause an execmod refusal later. What the target names is only ever looked at through /proc links.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import struct
import time
from typing import Dict, List, Optional, Sequence, Set, Tuple

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
from wxtrace.live import ptrace
from wxtrace.live.host import address_bits, security_modules
from wxtrace.live.inject import query_mdwe
from wxtrace.live.libraries import library_of_refusal
from wxtrace.live.machine_evidence import Room, cpu_features, huge_pages, room_left, same_namespaces, segment
from wxtrace.live.procfs import read_link, read_proc, smaps_of_range, thread_group
from wxtrace.live.registers import registers
from wxtrace.live.task import Task
from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, Call, Probe
from wxtrace.model.objects import Descriptor, MountFact
from wxtrace.model.restrictions import ModuleState, SelinuxState
from wxtrace.model.syscalls.table import request_of
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
_HOOKED = frozenset({"mmap", "mmap2", "mprotect", "pkey_mprotect", "shmat", "remap_file_pages", "mremap"})
"""Calls in which security modules have a say (include/linux/lsm_hook_defs.h)."""
_NEEDING_ROOM = frozenset({"mmap", "mmap2", "mremap", "shmat"})
_CPU_CALLS = frozenset({"pkey_mprotect", "pkey_alloc", "pkey_free", "map_shadow_stack", "arch_prctl"})
_SYSCTLS = (
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/mmap_min_addr",
    "vm/memfd_noexec",
    "vm/admin_reserve_kbytes",
    "vm/user_reserve_kbytes",
    "fs/file-max",
)
_STATUS = ("Seccomp", "Seccomp_filters", "NoNewPrivs", "CapEff", "VmSize", "VmData", "VmLck", "Uid")
_MEMINFO = ("MemTotal", "SwapTotal", "CommitLimit", "Committed_AS", "HugePages_Free", "HugePages_Rsvd", "Hugepagesize")
_KINDS = {
    stat.S_IFREG: "regular file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
_FS_IOC_GETFLAGS, _FS_APPEND_FL = 0x80086601, 0x20
_F_GET_SEALS = 1034
_HUGETLBFS_MAGIC = 0x958458F6
_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438


class Prober:
    """Collects evidence; `mdwe` is what the tracer knows of processes it launched (None when it attached)."""

    def __init__(self) -> None:
        self._page_size = os.sysconf("SC_PAGE_SIZE")
        self._budget = BUDGET_SECONDS
        self._refilled = time.monotonic()
        self._kinds: Set[Tuple[object, ...]] = set()

    def probe(self, task: Task, name: str, request: Request, call: Call, lines: Sequence[MapLine] = ()) -> Probe:
        """Everything a rule may want to see about this failed call. `lines`: its range, as read again."""
        start = self._refill()
        try:
            first = self._first_of_its_kind(task, name, request, call, lines)
            short = self._budget <= (-MOST_DEBT_SECONDS if first else 0)
            return self._full_or_short(task, name, request, call, short)
        finally:
            self._budget -= time.monotonic() - start

    def _full_or_short(self, task: Task, name: str, request: Request, call: Call, short: bool) -> Probe:
        tid = task.tid
        try:
            regs = registers(tid)
            ip, sp = int(regs.rip), int(regs.rsp)
        except (ptrace.TaskGone, OSError):
            ip = sp = 0
        comm = os.fsdecode(read_proc(tid, "comm", 64).rstrip(b"\n"))
        status = parse_status(read_proc(tid, "status", 65536))
        vmas, complete = ([], False) if short else self._vmas(tid, request, task.space.brk)
        start_brk = start_stack = 0
        data_size = None
        try:
            where = parse_stat(read_proc(tid, "stat", 8192))
            start_brk, start_stack, data_size = where.start_brk, where.start_stack, where.data_size
        except DecodeError:
            pass
        denied = call.result in (_EACCES, _EPERM)
        about_descriptors = name.startswith("memfd") or call.result == _EMFILE
        short_of_memory = call.result in (-12, -11) or name == "brk"
        personality = _hex(read_proc(tid, "personality", 64))
        room = Room()
        if short_of_memory and not short:
            end = task_size(call.abi, address_bits(), self._page_size, personality or 0)
            asked = request_of(call.abi, call.number, call.args)
            room = room_left(tid, searched_below(asked, end, self._page_size) if name in _NEEDING_ROOM else None)
        same = same_namespaces(tid) if name in ("memfd_create", "shmat") else False
        descriptor = None
        if name == "mmap" or name == "mmap2":
            if not request.flags & f.MAP_ANONYMOUS:
                descriptor = self._descriptor(tid, request.fd)
        huge = _about_huge_pages(name, request, descriptor)
        mounts = self._mounts(tid, vmas)
        selinux = modules = None
        if not short and denied and call.decided != BY_FILTER and name in _HOOKED:
            selinux, modules = _asked_modules(tid, request, vmas, mounts)
        seccomp_filters = status.get("Seccomp_filters", "0")
        mdwe = None
        if not short and self._wants_mdwe(request, call) and seccomp_filters == ("1" if task.filtered else "0"):
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
            sysctl={} if short and call.result == _EACCES and name in _HOOKED else _sysctls(),
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
            library=None if short else library_of_refusal(task, request, vmas),
            same_namespaces=same,
            cpu_features=cpu_features() if name in _CPU_CALLS and not short else None,
            largest_gap=room.largest_gap,
            largest_low_gap=room.largest_low_gap,
            huge_pages=huge_pages() if huge else None,
            segment=segment(request.fd) if name == "shmat" and same else None,
            data_size=data_size,
        )

    def _first_of_its_kind(self, task: Task, name: str, request: Request, call: Call, lines: Sequence[MapLine]) -> bool:
        memory = tuple((line.perms, line.dev, line.inode) for line in lines[:MOST_LINES])
        asked = ((request.prot or 0) & 7, request.flags, request.length.bit_length())
        kind = (task.pid, name, call.result, asked, memory)
        if kind in self._kinds or len(self._kinds) >= MOST_KINDS:
            return False
        self._kinds.add(kind)
        return True

    def _refill(self) -> float:
        now = time.monotonic()
        self._budget = min(BUDGET_SECONDS, self._budget + (now - self._refilled) * REFILL)
        self._refilled = now
        return now

    def _vmas(self, tid: int, request: Request, brk: Optional[int]) -> tuple[List[Vma], bool]:
        if request.name in ("memfd_create", "seccomp", "ptrace", "personality", "prctl"):
            return [], True
        start, end = request.addr, request.addr + max(request.length, 1)
        if request.name == "mmap" and not request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE):
            return [], True
        if request.name == "brk" and brk is not None:
            start, end = min(start, brk), max(start, brk) + 1
        vmas, complete = smaps_of_range(tid, start, end, MOST_VMAS)
        if request.name == "mremap" and request.flags & f.MREMAP_FIXED:
            target = request.new_addr
            more, all_more = smaps_of_range(tid, target, target + max(request.new_length, 1), MOST_VMAS)
            vmas = sorted({vma.line.start: vma for vma in vmas + more}.values(), key=lambda vma: vma.line.start)
            complete = complete and all_more
        return vmas, complete

    def _wants_mdwe(self, request: Request, call: Call) -> bool:
        if call.result != _EACCES or (call.decided != BY_KERNEL and call.decided != 0):
            return False
        wants_exec = bool((request.prot or 0) & f.PROT_EXEC) or (
            request.name == "shmat" and bool(request.flags & f.SHM_EXEC)
        )
        return wants_exec or request.name in ("mmap", "mprotect")

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
            kind = _KINDS.get(stat.S_IFMT(os.stat("/proc/%d/fd/%d" % (tid, fd)).st_mode))
        except OSError:
            pass
        mount = None
        try:
            for entry in parse_mountinfo(read_proc(tid, "mountinfo")):
                if entry.id == info.get("mnt_id"):
                    mount = MountFact(entry.point, entry.options, entry.fstype, entry.super_options)
        except DecodeError:
            pass
        # The kernel's own files lie on no mount that is shown: asking one of another file system could block.
        may_be_huge = (
            mount.fstype == "hugetlbfs" if mount is not None else link.startswith(("/memfd:", "/anon_hugepage"))
        )
        seals, append_only, huge = _borrowed_descriptor(tid, fd, kind, may_be_huge)
        return Descriptor(link, info.get("flags"), kind, mount, seals, append_only, huge)


def _borrowed_descriptor(
    tid: int, fd: int, kind: Optional[str], may_be_huge: bool
) -> tuple[Optional[int], Optional[bool], Optional[int]]:
    """Seals, the append-only attribute and the size of huge pages, asked of a copy of the target's own descriptor.

    pidfd_getfd is there from Linux 5.6.
    """
    if kind != "regular file":
        return None, None, None
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
    tid: int, request: Request, vmas: List[Vma], mounts: Dict[str, MountFact]
) -> tuple[Optional[SelinuxState], Optional[ModuleState]]:
    # Only where a call was refused with their errnos: most programs never need the imports.
    from wxtrace.live.module_evidence import module_state
    from wxtrace.live.selinux_evidence import selinux_state

    known = security_modules() or []
    context = read_proc(tid, "attr/current", 4097)
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


def _about_huge_pages(name: str, request: Request, descriptor: Optional[Descriptor]) -> bool:
    if name in ("mmap", "mmap2"):
        huge_file = descriptor is not None and descriptor.huge_page_size is not None
        return huge_file or bool(request.flags & f.MAP_HUGETLB)
    return name == "memfd_create" and bool(request.flags & f.MFD_HUGETLB)


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
