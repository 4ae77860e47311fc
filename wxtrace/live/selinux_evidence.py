"""SELinux at a refused call: the domain, the labels of the objects in range, and what the policy grants on them.

Nothing that the target names is opened: labels are attributes, read through links of /proc that lead to the very
object, or by a path on a local file system whose inode is the mapped one.
"""

from __future__ import annotations

import errno
import os
from functools import cache
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.decoders.proctext import parse_fdinfo
from wxtrace.decoders.selinuxfs import decode_context
from wxtrace.live.filecontexts import file_context
from wxtrace.live.procfs import read_link, read_proc
from wxtrace.live.selinuxfs import Selinuxfs
from wxtrace.model import flags as f
from wxtrace.model.causes.mappings import has_object
from wxtrace.model.causes.selinux.checks import LOW, class_of, is_labelled_by_place
from wxtrace.model.objects import MountFact
from wxtrace.model.restrictions import DESCRIPTOR, PolicyAnswer, SelinuxState
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest

__all__ = ["selinux_state"]

MOST_OBJECTS, MOST_DESCRIPTORS = 8, 1024
_ATTRIBUTE = "security.selinux"
_OF_PROCESS = ["execmem", "execheap", "execstack"]
_OF_OBJECT = ["map", "read", "write", "execute", "execmod"]
_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay", "erofs", "squashfs"})
"""Where looking a path up neither waits for another machine nor for a process of somebody else's."""


class _Object(NamedTuple):
    about: str
    label: str
    tclass: str
    path: str = ""


def selinux_state(
    tid: int,
    request: CallRequest,
    vmas: Sequence[Vma],
    mounts: Mapping[str, MountFact],
    context: bytes,
    selinuxfs: Optional[Selinuxfs] = None,
) -> Optional[SelinuxState]:
    """Everything that the rules ask about SELinux; None where it does not run, as far as can be seen.

    `context` is what /proc/PID/attr/current holds.
    """
    fs = selinuxfs or _kept()
    enforcing = fs.enforcing()
    try:
        domain: Optional[str] = decode_context(context)
    except DecodeError:
        domain = None
    if enforcing is None and (domain is None or domain.count(":") < 2):
        return None
    if enforcing is None:
        return SelinuxState(None, domain, why_not="selinuxfs is not to be seen here (a container hides it)")
    if not enforcing or domain is None:
        return SelinuxState(enforcing, domain)
    answers: List[PolicyAnswer] = []
    places: Dict[str, str] = {}
    why_not = ""
    try:
        answers.append(_answer(fs, domain, _Object("", domain, "process"), _OF_PROCESS))
        if not isinstance(request, Mprotect) and request.start < LOW:
            answers.append(_answer(fs, domain, _Object("", domain, "memprotect"), ["mmap_zero"]))
        for thing in _objects(fs, tid, request, vmas, mounts):
            answers.append(_answer(fs, domain, thing, _OF_OBJECT))
            if "execute" in answers[-1].refused:
                places.update(_label_of_place(fs, tid, thing))
    except (OSError, DecodeError, LookupError) as error:
        why_not = _reason(error)
    return SelinuxState(True, domain, answers, fs.booleans(), why_not, fs.checks_as_requested(), places)


@cache
def _kept() -> Selinuxfs:
    """One for the whole run: it remembers what it may not ask."""
    return Selinuxfs()


def _answer(fs: Selinuxfs, domain: str, thing: _Object, permissions: List[str]) -> PolicyAnswer:
    found = fs.allowed(domain, thing.label, thing.tclass, permissions)
    if found is None:
        raise LookupError(thing.tclass)
    granted, permissive = found
    return PolicyAnswer(
        thing.about,
        thing.tclass,
        thing.label,
        [name for name in permissions if granted.get(name) is True],
        [name for name in permissions if granted.get(name) is False],
        permissive,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, LookupError):
        return "the policy has no class %s" % error
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return "wxtrace's own domain may not ask the policy (security:compute_av)"
    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return "the policy does not know one of the contexts"
    return str(error)


def _objects(
    fs: Selinuxfs, tid: int, request: CallRequest, vmas: Sequence[Vma], mounts: Mapping[str, MountFact]
) -> List[_Object]:
    if isinstance(request, Mmap):
        if request.flags & f.MAP_ANONYMOUS:
            return []
        label = _label("/proc/%d/fd/%d" % (tid, request.fd))
        link = read_link(tid, "fd/%d" % request.fd)
        return [_Object(DESCRIPTOR, label, _class(fs, link), link)] if label else []
    found = []
    end = request.start + max(request.length, 1)
    lines = [vma.line for vma in vmas if vma.line.end > request.start and vma.line.start < end]
    by_inode: Optional[Dict[int, str]] = None
    for line in [line for line in lines if has_object(line)][:MOST_OBJECTS]:
        label = _label("/proc/%d/map_files/%x-%x" % (tid, line.start, line.end))
        if label is None:
            if by_inode is None:
                by_inode = _descriptors(tid)
            label = _label(by_inode.get(line.inode, "")) or _label_by_path(tid, line, mounts)
        if label is not None:
            found.append(_Object("%#x" % line.start, label, _class(fs, line.path), line.path))
    return found


def _label_of_place(fs: Selinuxfs, tid: int, thing: _Object) -> Dict[str, str]:
    """What restorecon would give this file, where its path means the same file to us."""
    same_root = read_link(tid, "root") == "/" and read_link(tid, "ns/mnt") == os.readlink("/proc/self/ns/mnt")
    if not same_root or not is_labelled_by_place(thing.path) or not fs.may_read("file_context_t"):
        return {}
    label = file_context(thing.path)
    return {thing.about: label} if label else {}


def _class(fs: Selinuxfs, path: str) -> str:
    # From Linux 6.19, where the policy says so (security/selinux/hooks.c:selinux_inode_init_security_anon).
    if path.startswith("/memfd:") and fs.capability("memfd_class") and fs.has_class("memfd_file"):
        return "memfd_file"
    return class_of(path)


def _label(path: str) -> Optional[str]:
    try:
        return decode_context(os.getxattr(path, _ATTRIBUTE)) if path else None
    except (OSError, DecodeError):
        return None


def _descriptors(tid: int) -> Dict[int, str]:
    """The links of the open descriptors by inode (fdinfo tells it from Linux 5.14 on)."""
    try:
        names = os.listdir("/proc/%d/fd" % tid)[:MOST_DESCRIPTORS]
    except OSError:
        return {}
    infos: List[Tuple[int, str]] = []
    for name in names:
        inode = parse_fdinfo(read_proc(tid, "fdinfo/" + name, 4096)).get("ino")
        if inode:
            infos.append((inode, "/proc/%d/fd/%s" % (tid, name)))
    return dict(infos)


def _label_by_path(tid: int, line: MapLine, mounts: Mapping[str, MountFact]) -> Optional[str]:
    """The label of the file at the mapping's path in the target's root, if it still is that file."""
    mount = mounts.get(line.dev)
    if not line.path.startswith("/") or mount is None or mount.fstype not in _LOCAL:
        return None
    path = "/proc/%d/root%s" % (tid, line.path)
    try:
        if os.lstat(path).st_ino != line.inode:
            return None
        return decode_context(os.getxattr(path, _ATTRIBUTE, follow_symlinks=False))
    except (OSError, DecodeError, ValueError):
        return None
