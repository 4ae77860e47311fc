"""SysV shared memory and remap_file_pages (ipc/shm.c:do_shmat, ksys_shmdt; mm/mmap.c:remap_file_pages)."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, seen

__all__ = ["remap_arguments", "segment_access", "shmat_arguments", "shmdt_arguments"]

_ARGUMENTS = "the arguments of the call"
_CAP_IPC_OWNER = 15


def shmat_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL and EIDRM, in the kernel's order: address, segment, range."""
    request, page = refusal.old, refusal.host.page_size
    if refusal.errno == "EIDRM":
        return found(refusal, "argument.shm", seen("shmid %d" % request.fd, _ARGUMENTS), case="removed")
    if refusal.errno != "EINVAL":
        return None
    if request.fd >= 0 and request.addr % page and not request.flags & f.SHM_RND:
        fact = "%#x is %d bytes past a multiple of %d" % (request.addr, request.addr % page, page)
        return found(refusal, "argument.alignment", seen(fact, _ARGUMENTS), case="segment")
    if request.fd >= 0 and request.flags & f.SHM_REMAP and request.addr < page:
        fact = "flags hold SHM_REMAP, and the address is %#x" % request.addr
        return found(refusal, "argument.flags", seen(fact, _ARGUMENTS), case="remap")
    probe = refusal.probe
    other = next(iter(refusal.replaced()), None)
    if probe.segment is not None and other is not None and request.addr and not request.flags & f.SHM_REMAP:
        line = other.vma.line
        place = "%#x-%#x %s" % (line.start, line.end, line.path or "(anonymous)")
        taken = seen("%s is mapped" % place, "/proc/PID/smaps")
        return found(refusal, "address.occupied", taken, case="segment", other=place)
    if request.addr and not probe.vmas_complete:
        return None
    evidence = [seen("shmid %d, address %#x" % (request.fd, request.addr), _ARGUMENTS)]
    gone = request.fd < 0 or (probe.segment is None and probe.same_namespaces)
    if gone:
        evidence.append(seen("there is no segment %d" % request.fd, "/proc/sysvipc/shm"))
    return found(refusal, "argument.shm", *evidence, certain=gone)


def segment_access(refusal: Refusal) -> Optional[Finding]:
    """EACCES by owner and mode of the segment (ipc/util.c:ipcperms); security modules are asked after that."""
    segment = refusal.probe.segment
    if refusal.errno != "EACCES" or segment is None or refusal.capable(_CAP_IPC_OWNER):
        return None
    wanted = 4 | (0 if refusal.old.flags & f.SHM_RDONLY else 2)
    wanted |= 1 if refusal.old.flags & f.SHM_EXEC else 0
    mode = segment.mode
    # Supplementary groups are not looked at: with the group's bits among those allowed this is no answer.
    uid = (refusal.probe.status.get("Uid", "").split() or ["", ""])[1:2]
    allowed = mode >> 6 if uid == [str(segment.uid)] else mode >> 3 | mode
    if wanted & ~allowed & 7 == 0:
        return None
    fact = seen("owner %d, mode %03o" % (segment.uid, mode), "/proc/sysvipc/shm")
    return found(refusal, "argument.shm", fact, case="mode", owner=segment.uid, mode="%03o" % mode)


def shmdt_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL: nothing was attached at this address."""
    request, page = refusal.old, refusal.host.page_size
    if refusal.errno != "EINVAL":
        return None
    if request.addr % page:
        fact = "%#x is %d bytes past a multiple of %d" % (request.addr, request.addr % page, page)
        return found(refusal, "argument.alignment", seen(fact, _ARGUMENTS), what="the address")
    return found(refusal, "argument.shm", seen("address %#x" % request.addr, _ARGUMENTS), case="detach")


def remap_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL of remap_file_pages: a protection, an empty range, or memory that is not shared and writable."""
    request, page = refusal.old, refusal.host.page_size
    if refusal.errno != "EINVAL":
        return None
    if request.prot:
        return found(refusal, "argument.prot", seen("prot is %#x" % request.prot, _ARGUMENTS), case="remap")
    size = request.length // page * page
    if request.addr // page * page + size >= 1 << 64 or size == 0:
        fact = seen("the length is %#x" % request.length, _ARGUMENTS)
        return found(refusal, "argument.length", fact, case="wraps" if size else "")
    # The mapping at the start decides (mm/mmap.c:SYSCALL_DEFINE5(remap_file_pages)); without one, none of its flags.
    part = next(iter(refusal.standing_at(request.addr // page * page)), None)
    if part is not None and part.vma.flags and not part.vma.has("sh"):
        line = part.vma.line
        private = "%#x-%#x is not shared and writable (no `sh`)" % (line.start, line.end)
        return found(refusal, "argument.flags", seen(private, "VmFlags in /proc/PID/smaps"), case="private-remap")
    return None
