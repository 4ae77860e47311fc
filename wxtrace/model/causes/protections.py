"""Rules about memory that is already mapped: what it may become, MDWE, mseal (mm/mprotect.c:do_mprotect_pkey)."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, PROVED, Finding, Part, Refusal, admin, developer, seen
from wxtrace.model.causes.descriptors import remount_fix
from wxtrace.model.event import Evidence

__all__ = ["may_not_become", "mdwe_at_mmap", "mdwe_at_mprotect", "mdwe_refuses", "sealed"]

_MAY = ((f.PROT_READ, "mr"), (f.PROT_WRITE, "mw"), (f.PROT_EXEC, "me"))
_SMAPS = "VmFlags in /proc/PID/smaps"


def mdwe_refuses(old: int, new: int) -> bool:
    """include/linux/mman.h:map_deny_write_exec: X wanted, and W with it or no X before."""
    if not new & f.PROT_EXEC:
        return False
    return bool(new & f.PROT_WRITE) or not old & f.PROT_EXEC


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
    confidence = PROVED if refusal.kernel_decided else CONSISTENT
    if missing == f.PROT_EXEC:
        return _never_executable(refusal, part, confidence)
    if missing == f.PROT_READ:
        return None
    absent = seen("VM_MAYWRITE is missing on %s (no `mw`)" % _place(part), _SMAPS)
    if part.vma.has("ms") and not part.vma.has("sh"):
        return Finding(
            "fd.write-mode",
            confidence,
            "this shared mapping was made from a descriptor opened read-only, so it can never become writable",
            (
                absent,
                seen(
                    "the mapping is shared but not VM_SHARED (`ms` without `sh`): its descriptor was O_RDONLY", _SMAPS
                ),
            ),
            (developer("Map the file again from a descriptor opened O_RDWR."),),
        )
    if part.vma.has("ms") and part.vma.line.path.startswith("/memfd:"):
        return Finding(
            "memfd.write-seal",
            confidence,
            "this view of the memfd was made after it was sealed against writing, so it can never become writable",
            (absent, seen("`ms sh` without `mw` on %s" % part.vma.line.path, _SMAPS)),
            (developer("Make the writable mapping before the seal is set."),),
        )
    if part.vma.line.path.startswith("["):
        return Finding(
            "address.special-mapping",
            confidence,
            "the kernel's own mapping %s cannot be given this protection" % part.vma.line.path,
            (absent,),
            (developer("Leave %s alone." % part.vma.line.path),),
        )
    return Finding(
        "fd.driver",
        confidence,
        "the driver behind this mapping does not allow it to become writable",
        (absent,),
        (developer("Ask for the protection when the device is mapped."),),
    )


def _never_executable(refusal: Refusal, part: Part, confidence: str) -> Finding:
    line = part.vma.line
    absent = seen("VM_MAYEXEC is missing on %s (no `me`)" % _place(part), _SMAPS)
    mount = refusal.probe.mounts.get(line.dev)
    if mount is not None and "noexec" in mount.options.split(","):
        return Finding(
            "mount.noexec",
            confidence,
            "the file was mapped from a mount with the noexec option (%s), so this memory can never be executable"
            % mount.point,
            (absent, seen("%s is mounted %s" % (mount.point, mount.options), "/proc/PID/mountinfo")),
            (
                developer("Map the file again from a place where execution is allowed."),
                remount_fix(mount.point),
            ),
        )
    if line.path.startswith("["):
        return Finding(
            "address.special-mapping",
            confidence,
            "the kernel's own mapping %s cannot be given this protection" % line.path,
            (absent,),
            (developer("Leave %s alone." % line.path),),
        )
    if line.path.startswith(("anon_inode:", "/secretmem")):
        return Finding(
            "superblock.noexec",
            confidence,
            "this kind of object (%s) can never be executed" % line.path,
            (absent,),
            (developer("Copy the code into anonymous memory."),),
        )
    return Finding(
        "mount.noexec",
        confidence,
        "this memory was mapped from a file on a noexec mount, so it can never become executable",
        (absent,),
        (developer("Map the file again from a place where execution is allowed."),),
    )


def _mdwe_evidence(refusal: Refusal) -> tuple[Evidence, ...]:
    lines = []
    if refusal.probe.mdwe is not None:
        lines.append(
            seen("PR_GET_MDWE answered %s" % f.named_bits(refusal.probe.mdwe, f.MDWE), "asked in the stopped thread")
        )
    if refusal.mdwe_by is not None:
        lines.append(seen("PR_SET_MDWE was called at event %d" % refusal.mdwe_by, "the prctl call"))
    elif refusal.host.mdwe:
        lines.append(seen("it was inherited from whoever started the command", "PR_GET_MDWE before the start"))
    if refusal.wants & ~(refusal.request.prot or 0) and refusal.request.name != "shmat":
        lines.append(seen("READ_IMPLIES_EXEC: the kernel adds PROT_EXEC to every PROT_READ", "/proc/PID/personality"))
    return tuple(lines)


def _mdwe_finding(refusal: Refusal, what: str, more: tuple[Evidence, ...], confidence: str) -> Finding:
    return Finding(
        "mdwe",
        confidence,
        "MDWE: the process has given up making memory executable, and %s" % what,
        (*_mdwe_evidence(refusal), *more),
        (
            developer(_way_without_gain(refusal)),
            admin(
                "Run it without the restriction (for a systemd unit: MemoryDenyWriteExecute=no).",
                None,
            ),
        ),
        (refusal.mdwe_by,) if refusal.mdwe_by is not None else (),
    )


def _way_without_gain(refusal: Refusal) -> str:
    """What the author can do, by the memory that was to become executable."""
    provenance = refusal.touched[0].provenance if refusal.touched else None
    if provenance == "stack":
        return (
            "Link every library with -z noexecstack (assembler files need .note.GNU-stack), or clear the mark "
            "with patchelf --clear-execstack."
        )
    if provenance in ("file", "file-cow") and refusal.wants & f.PROT_WRITE and refusal.request.name == "mprotect":
        return "Rebuild the library with -fPIC: its text relocations make the loader write to its code."
    return (
        "Keep writing and executing apart: map the code twice from one memfd (a writable and an executable "
        "view), or map it executable from a finished file."
    )


def mdwe_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """mmap and shmat: W and X together (mm/vma.c:mmap_region). Security modules were asked before."""
    if refusal.errno != "EACCES" or not refusal.effective_mdwe or not mdwe_refuses(refusal.wants, refusal.wants):
        return None
    certain = refusal.kernel_decided and refusal.probe.mdwe is not None and not refusal.lsm_may_refuse
    what = "this mapping would be writable and executable at once"
    return _mdwe_finding(refusal, what, (), PROVED if certain else CONSISTENT)


def mdwe_at_mprotect(refusal: Refusal, part: Part) -> Optional[Finding]:
    """mprotect: checked behind the VM_MAY* bits and before every security module."""
    if refusal.errno != "EACCES" or not refusal.effective_mdwe or not mdwe_refuses(part.before, refusal.wants):
        return None
    if refusal.wants & f.PROT_WRITE:
        what = "this memory would be writable and executable at once"
    else:
        what = "this memory was not executable before"
    change = seen(
        "%s would go from %s to %s" % (_place(part), f.prot_letters(part.before), f.prot_letters(refusal.wants)),
        "the map before the call",
    )
    certain = refusal.kernel_decided and (refusal.probe.mdwe is not None or refusal.mdwe_by is not None)
    return _mdwe_finding(refusal, what, (change,), PROVED if certain else CONSISTENT)


def sealed(refusal: Refusal) -> Optional[Finding]:
    """EPERM on a range that holds a sealed VMA (mm/mseal.c; `sl` in VmFlags)."""
    errno = "" if refusal.request.name == "brk" else "EPERM"
    if refusal.errno != errno or refusal.request.name not in _SEALED_CALLS:
        return None
    part = next((part for part in refusal.parts() + refusal.replaced() if part.vma.has("sl")), None)
    if part is None:
        return None
    by = next((t.sealed_by for t in refusal.touched if t.sealed_by is not None), None)
    evidence = [seen("%s is sealed (`sl`)" % _place(part), _SMAPS)]
    if by is not None:
        evidence.append(seen("it was sealed at event %d" % by, "the mseal call"))
    return Finding(
        "mseal",
        PROVED if refusal.kernel_decided else CONSISTENT,
        "the range holds sealed memory, which can be neither unmapped, moved, replaced nor given another protection",
        tuple(evidence),
        (
            developer(
                "Make the change before mseal, and keep what must change outside the sealed range; there is no unseal."
            ),
        ),
        (by,) if by is not None else (),
    )


_SEALED_CALLS = frozenset(
    {"mprotect", "pkey_mprotect", "munmap", "mremap", "mmap", "madvise", "shmat", "remap_file_pages", "brk"}
)
