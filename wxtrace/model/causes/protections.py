"""Rules about memory that is already mapped: what it may become, MDWE, mseal (mm/mprotect.c:do_mprotect_pkey)."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Part, Refusal, found, not_excluded, pasteable, seen
from wxtrace.model.causes.surroundings import belonging, placement, service_words
from wxtrace.model.event import Evidence

__all__ = ["may_not_become", "mdwe_at_mmap", "mdwe_at_mprotect", "mdwe_refuses", "sealed", "whole_only"]

_MAY = ((f.PROT_READ, "mr"), (f.PROT_WRITE, "mw"), (f.PROT_EXEC, "me"))
_BECOMES = {f.PROT_READ: "readable", f.PROT_WRITE: "writable", f.PROT_EXEC: "executable"}
_SMAPS = "VmFlags in /proc/PID/smaps"
_DISCARDING = frozenset({4, 8, 9, 10, 18, 24, 102})
"""Advice that throws content away: DONTNEED, FREE, REMOVE, DONTFORK, WIPEONFORK, DONTNEED_LOCKED, GUARD_INSTALL."""
_SEALED_CALLS = frozenset(
    {
        "mprotect",
        "pkey_mprotect",
        "munmap",
        "mremap",
        "mmap",
        "madvise",
        "shmat",
        "shmdt",
        "remap_file_pages",
        "brk",
    }
)
_WITHOUT_ERRNO = frozenset({"brk", "shmdt"})


def mdwe_refuses(old: int, new: int) -> bool:
    """include/linux/mman.h:map_deny_write_exec: X wanted, and W with it or no X before."""
    if not new & f.PROT_EXEC:
        return False
    return bool(new & f.PROT_WRITE) or not old & f.PROT_EXEC


def _is_special(path: str) -> bool:
    """Whether maps names a mapping of the kernel's own: [vdso], [vvar], [uprobes]."""
    return path.startswith("[") and not path.startswith(("[anon", "[heap", "[stack"))


def _place(part: Part) -> str:
    line = part.vma.line
    return "%#x-%#x %s" % (line.start, line.end, line.path or "(anonymous)")


def may_not_become(refusal: Refusal, part: Part) -> Optional[Finding]:
    """A wanted bit without its VM_MAY* bit: EACCES before MDWE and every security module."""
    if refusal.errno != "EACCES" or not part.vma.flags:
        return None
    missing = next((bit for bit, flag in _MAY if refusal.wants & bit and not part.vma.has(flag)), None)
    if missing is None:
        return None
    vma, path = part.vma, part.vma.line.path
    names = {f.PROT_READ: "VM_MAYREAD", f.PROT_WRITE: "VM_MAYWRITE", f.PROT_EXEC: "VM_MAYEXEC"}
    flag = dict(_MAY)[missing]
    never = "%s can never become %s: %s is missing (no `%s`)"
    absent = seen(never % (_place(part), _BECOMES[missing], names[missing], flag), _SMAPS)
    if _is_special(path):
        return found(refusal, "address.special-mapping", absent, path=path)
    if vma.has("ss"):
        return found(refusal, "shadow-stack", absent, case="memory")
    if missing == f.PROT_EXEC:
        return _never_executable(refusal, part, absent)
    if missing == f.PROT_WRITE and vma.has("ms") and not vma.has("sh"):
        attached = path.startswith("/SYSV")
        how = "it was attached with SHM_RDONLY" if attached else "its descriptor was O_RDONLY"
        shared = seen("%s: so `ms` shows that it is shared, and `sh` is missing" % how, _SMAPS)
        return found(refusal, "fd.write-mode", absent, shared, case="segment" if attached else "later")
    if missing == f.PROT_WRITE and vma.has("ms") and path.startswith("/memfd:"):
        kept = seen("it was made after the seal: `ms sh` without `mw`", _SMAPS)
        return found(refusal, "memfd.write-seal", absent, kept, case="later")
    wanted = _BECOMES[missing]
    return found(refusal, "fd.driver", absent, case="later", path=path, wanted=wanted)


def _never_executable(refusal: Refusal, part: Part, absent: Evidence) -> Finding:
    line = part.vma.line
    mount = refusal.probe.mounts.get(line.dev)
    if mount is not None and "noexec" in mount.options.split(","):
        shown = seen("%s is mounted %s" % (mount.point, mount.options), "/proc/PID/mountinfo")
        point = mount.point
        return found(refusal, "mount.noexec", absent, shown, case="later", mount=point, quoted_mount=pasteable(point))
    fstype = mount.fstype if mount is not None else ""
    never = line.path.startswith(("anon_inode:", "/secretmem", "/proc/", "/sys/", "pidfd:"))
    if never or fstype in ("proc", "sysfs", "mqueue", "cgroup2"):
        return found(refusal, "superblock.noexec", absent, case="later", path=line.path)
    if line.path.startswith("/dev/") and not line.path.startswith("/dev/shm/"):
        return found(refusal, "fd.driver", absent, case="later", wanted="executable", certain=False)
    return found(refusal, "mount.noexec", absent, case="unseen")


def _mdwe_evidence(refusal: Refusal) -> Tuple[Evidence, ...]:
    lines = []
    if refusal.probe.mdwe is not None:
        lines.append(
            seen("PR_GET_MDWE answered %s" % f.named_bits(refusal.probe.mdwe, f.MDWE), "asked in the stopped thread")
        )
    if refusal.mdwe_by is not None:
        text = "PR_SET_MDWE was called at event %d by %s" % (refusal.mdwe_by, refusal.mdwe_who or "the program")
        lines.append(seen(text, "the prctl call"))
    elif refusal.host.mdwe:
        lines.append(seen("it was inherited from whoever started the command", "PR_GET_MDWE before the start"))
        lines += belonging(refusal)
    else:
        lines.append(seen("it was set before wxtrace came", "PR_SET_MDWE is not among the calls seen"))
        lines += belonging(refusal)
    if refusal.wants & ~(refusal.old.prot or 0) and refusal.request.name != "shmat":
        lines.append(seen("READ_IMPLIES_EXEC: the kernel adds PROT_EXEC to every PROT_READ", "/proc/PID/personality"))
    return tuple(lines)


def _mdwe_finding(refusal: Refusal, what: str, start: int, *more: Evidence) -> Finding:
    related = (refusal.mdwe_by,) if refusal.mdwe_by is not None else ()
    evidence = (*_mdwe_evidence(refusal), *more)
    place = placement(refusal) if refusal.mdwe_by is None else None
    words: Dict[str, Any] = dict(service_words(place))
    return found(refusal, "mdwe", *evidence, case=_memory_case(refusal, start), related=related, what=what, **words)


def _memory_case(refusal: Refusal, start: int) -> str:
    """What the author can do depends on the memory that was to become executable, here from `start` on."""
    refused = next((part for part in refusal.touched if part.end > start), None)
    provenance = refused.provenance if refused is not None else None
    if provenance == "stack":
        return "stack"
    if provenance in ("file", "file-cow") and refusal.wants & f.PROT_WRITE and refusal.request.name == "mprotect":
        return "textrel"
    return ""


def mdwe_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """mmap and shmat: W and X together (mm/vma.c:mmap_region). Security modules were asked before."""
    if refusal.errno != "EACCES" or not refusal.effective_mdwe or not mdwe_refuses(refusal.wants, refusal.wants):
        return None
    return _mdwe_finding(refusal, "this mapping would be writable and executable at once", 0)


def mdwe_at_mprotect(refusal: Refusal, part: Part) -> Optional[Finding]:
    """mprotect: checked behind the VM_MAY* bits and before every security module."""
    if refusal.errno != "EACCES" or not refusal.effective_mdwe or not mdwe_refuses(part.before, refusal.wants):
        return None
    if refusal.wants & f.PROT_WRITE:
        what = "this memory would be writable and executable at once"
    else:
        what = "this memory was not executable before"
    line = part.vma.line
    # Only the part that the call names: the mapping around it may be far larger.
    asked = part._replace(
        vma=part.vma._replace(line=line._replace(start=max(line.start, refusal.start), end=min(line.end, refusal.end)))
    )
    change = seen(
        "%s would go from %s to %s" % (_place(asked), f.prot_letters(part.before), f.prot_letters(refusal.wants)),
        "the map before the call",
    )
    return _mdwe_finding(refusal, what, part.vma.line.start, change)


def sealed(refusal: Refusal) -> Optional[Finding]:
    """A sealed VMA in the range (mm/mseal.c; `sl` in VmFlags). brk and shmdt have no errno for it."""
    name = refusal.request.name
    if name not in _SEALED_CALLS or refusal.errno != ("" if name in _WITHOUT_ERRNO else "EPERM"):
        return None
    inside, beside = refusal.parts(), refusal.replaced()
    if refusal.kernel >= (6, 12):
        # Before, seals in all of the range were looked for before anything was changed.
        inside = refusal.reached()
    if name == "madvise":
        if refusal.old.flags not in _DISCARDING:
            return None
        inside = [part for part in inside if not part.before & f.PROT_WRITE]
    part = next((part for part in inside + beside if part.vma.has("sl")), None)
    if part is None:
        return None
    line = part.vma.line
    by = next((t.sealed_by for t in refusal.touched if t.sealed_by and line.start <= t.start < line.end), None)
    evidence = [seen("%s is sealed (`sl`)" % _place(part), _SMAPS)]
    if by is not None:
        evidence.append(seen("it was sealed at event %d" % by, "the mseal call"))
    elif _is_special(line.path):
        own = "the kernel seals its own mappings when a program starts"
        evidence.append(seen(own, "CONFIG_MSEAL_SYSTEM_MAPPINGS (mm/mseal.c, Linux 6.15)"))
    else:
        evidence.append(seen("it was sealed before wxtrace came", "mseal is not among the calls seen"))
    if name == "madvise" and line.start > refusal.start and refusal.kernel >= (6, 12):
        taken = "the advice was taken for %#x-%#x before it" % (refusal.start, line.start)
        evidence.append(seen(taken, "the order of mm/madvise.c:madvise_walk_vmas"))
    # mprotect asks security modules before it looks at seals; IMA and BPF programs may answer EPERM as well.
    certain = name not in ("mprotect", "pkey_mprotect") or not refusal.lsm_may_refuse
    if not certain:
        evidence.append(not_excluded(refusal))
    return found(
        refusal,
        "mseal",
        *evidence,
        case=_sealed_case(name, part in inside),
        certain=certain,
        related=(by,) if by is not None else (),
    )


def _sealed_case(name: str, inside: bool) -> str:
    if name == "mremap" and not inside:
        return "target"
    return {"madvise": "advice", "shmdt": "detach", "brk": "shrink", "shmat": "target", "mmap": "target"}.get(name, "")


def whole_only(refusal: Refusal) -> Optional[Finding]:
    """EINVAL where a huge page, the vdso or another special mapping would be cut (vm_operations_struct.may_split)."""
    request = refusal.old
    if refusal.errno != "EINVAL":
        return None
    parts = refusal.reached()
    if request.name == "mremap" and parts and parts[0].vma.has("ht") and request.new_length > request.length:
        fact = seen("%s consists of huge pages (`ht`)" % _place(parts[0]), _SMAPS)
        return found(refusal, "hugetlb", fact, case="grow")
    leaves = request.name == "mremap" and request.flags & f.MREMAP_DONTUNMAP
    if leaves and parts and (parts[0].vma.has("de") or parts[0].vma.has("pf")):
        fact = seen("VM_DONTEXPAND or VM_PFNMAP is set (`de`, `pf`)", _SMAPS)
        path = parts[0].vma.line.path or "this mapping"
        return found(refusal, "address.special-mapping", fact, case="leave", path=path)
    for part in parts:
        line = part.vma.line
        if line.start >= refusal.start and line.end <= refusal.end:
            continue
        if part.vma.has("ht"):
            fact = seen("%s consists of huge pages (`ht`)" % _place(part), _SMAPS)
            return found(refusal, "hugetlb", fact)
        if _is_special(line.path):
            fact = seen("the range has only a part of %s" % _place(part), "/proc/PID/smaps")
            return found(refusal, "address.special-mapping", fact, case="cut", path=line.path)
    return None
