"""madvise and process_madvise: which advice which memory takes (mm/madvise.c:madvise_vma_behavior)."""

from __future__ import annotations

from typing import Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Part, Refusal, found, seen

__all__ = ["advice_arguments", "advice_for_memory", "remote_advice"]

_ARGUMENTS = "the arguments of the call"
_SMAPS = "VmFlags in /proc/PID/smaps"
_FREE, _REMOVE, _WIPEONFORK = 8, 9, 18
_DONTNEED, _POPULATE_READ, _POPULATE_WRITE, _GUARD_INSTALL = 4, 22, 23, 102
_POISONING = frozenset({100, 101})
_SINCE = {
    8: (4, 5),
    18: (4, 14),
    19: (4, 14),
    20: (5, 4),
    21: (5, 4),
    22: (5, 14),
    23: (5, 14),
    24: (5, 18),
    25: (6, 1),
    102: (6, 13),
    103: (6, 13),
}
"""The Linux version that brought an advice."""


def _name(refusal: Refusal) -> str:
    return f.named_value(refusal.old.flags, f.ADVICE)


def advice_arguments(refusal: Refusal) -> Optional[Finding]:
    """EINVAL before any mapping is looked at: an unknown advice, an unaligned address, a length that wraps."""
    request, page = refusal.old, refusal.host.page_size
    if refusal.errno != "EINVAL" or request.name != "madvise":
        return None
    if request.flags not in f.ADVICE:
        return found(refusal, "argument.advice", seen("advice is %d" % request.flags, _ARGUMENTS))
    since = _SINCE.get(request.flags)
    if since is not None and (0, 0) < refusal.kernel < since:
        fact = seen("this is Linux %s" % refusal.host.kernel, "uname")
        return found(refusal, "argument.advice", fact, case="old", advice=_name(refusal), since="%d.%d" % since)
    if request.addr % page:
        fact = seen("%#x is %d bytes past a multiple of %d" % (request.addr, request.addr % page, page), _ARGUMENTS)
        return found(refusal, "argument.alignment", fact, what="the address")
    rounded = (request.length + page - 1) // page * page
    if request.addr + rounded >= 1 << 64:
        return found(refusal, "argument.length", seen("the length is %#x" % request.length, _ARGUMENTS), case="wraps")
    return None


def advice_for_memory(refusal: Refusal) -> Optional[Finding]:
    """The first mapping of the range that cannot take the advice; what was before it has taken it."""
    if refusal.request.name != "madvise" or refusal.errno in ("ENOMEM", "ENOSYS", ""):
        return None
    for part in refusal.parts():
        case, flag = _obstacle(refusal, part)
        if case:
            line = part.vma.line
            place = "%#x-%#x %s %s" % (line.start, line.end, line.path or "(anonymous)", flag)
            return found(refusal, "argument.advice", seen(place, _SMAPS), case=case, advice=_name(refusal))
    fact = seen("advice is %s" % _name(refusal), _ARGUMENTS)
    if refusal.errno == "EFAULT":
        return found(refusal, "argument.advice", fact, case="guarded", certain=False)
    if refusal.errno == "EPERM" and refusal.old.flags in _POISONING:
        return found(refusal, "argument.advice", fact, case="privileged", advice=_name(refusal))
    if refusal.errno == "EPERM":
        return None
    return found(refusal, "argument.advice", fact, case="memory", certain=refusal.errno == "EINVAL")


def _obstacle(refusal: Refusal, part: Part) -> Tuple[str, str]:
    """Case of the table and what stands in the way; empty where this mapping takes the advice."""
    advice, errno, vma = refusal.old.flags, refusal.errno, part.vma
    anonymous = not vma.line.inode
    if advice == _REMOVE and errno == "EINVAL":
        if vma.has("lo"):
            return "locked", "is locked in RAM (`lo`)"
        if anonymous or vma.has("ht"):
            return "remove", "has no file that could get a hole"
    if advice == _REMOVE and errno == "EACCES" and not (vma.has("sh") and vma.has("mw")):
        if not vma.has("ms"):
            return "remove", "is private (no `ms`)"
        return "read-only", "may not be written (no `sh` or no `mw`)"
    if errno != "EINVAL":
        return "", ""
    if advice in (_FREE, _WIPEONFORK) and (not anonymous or vma.has("ms")):
        return "file", "is no private anonymous memory"
    if advice in (_DONTNEED, _FREE, _GUARD_INSTALL) and vma.has("lo"):
        return "locked", "is locked in RAM (`lo`)"
    if advice in (_DONTNEED, _GUARD_INSTALL) and (vma.has("pf") or vma.has("io")):
        return "memory", "belongs to the kernel or a driver (`pf`)"
    if advice == _POPULATE_WRITE and not part.before & f.PROT_WRITE:
        return "populate", "is not writable"
    if advice == _POPULATE_READ and not part.before & f.PROT_READ:
        return "memory", "is not readable"
    return "", ""


def remote_advice(refusal: Refusal) -> Optional[Finding]:
    """process_madvise(pidfd, iovec, vlen, advice, flags) (mm/madvise.c:SYSCALL_DEFINE5(process_madvise))."""
    pidfd, _, count, advice, flags = (*refusal.args, 0, 0, 0, 0, 0)[:5]
    if refusal.errno == "EINVAL" and flags:
        return found(refusal, "argument.flags", seen("flags are %#x" % flags, _ARGUMENTS))
    if refusal.errno == "EINVAL" and count > 1024:
        return found(refusal, "argument.length", seen("%d ranges were given" % count, _ARGUMENTS), case="ranges")
    if refusal.errno == "EBADF":
        fact = "descriptor %d does not stand for a process" % (pidfd & 0xFFFFFFFF)
        return found(refusal, "fd.bad", seen(fact, _ARGUMENTS), case="process", fact=fact)
    if refusal.errno == "EINVAL":
        fact = "advice is %s" % f.named_value(advice & 0xFFFFFFFF, f.ADVICE)
        return found(refusal, "argument.advice", seen(fact, _ARGUMENTS), case="remote", certain=False)
    return None
