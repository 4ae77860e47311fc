"""Which permissions SELinux checks for a memory call, in its order (security/selinux/hooks.c).

`selinux_mmap_file`, `selinux_file_mprotect`, `file_map_prot_check`. The predicates are the kernel's; whether the
policy grants a permission is not known here, so what they give is "consistent" at best.
"""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, POSSIBLE, Finding, Part, Refusal, admin, developer, seen
from wxtrace.model.event import Evidence, Fix

__all__ = [
    "Check",
    "HeapPredicate",
    "Memory",
    "checks_at_mmap",
    "checks_at_mprotect",
    "heap_predicate",
    "selinux_at_mmap",
    "selinux_at_mprotect",
]


class Check(NamedTuple):
    """One permission the kernel asks the policy for. `certain` is False where its condition cannot be read."""

    tclass: str
    permission: str
    certain: bool = True


class Memory(NamedTuple):
    """One VMA as SELinux sees it. `written`: it has an anon_vma (True), it cannot have one (False), unknown (None)."""

    start: int
    end: int
    before: int
    shared: bool
    has_file: bool
    kernel_private: bool
    tclass: str
    written: Optional[bool]


class HeapPredicate(NamedTuple):
    """How this kernel decides that a VMA is heap."""

    name: str

    def holds(self, start: int, end: int, start_brk: int, brk: int) -> bool:
        """Whether [start, end) counts as heap; all in bytes."""
        if self.name == "touches":
            return start <= brk and end >= start_brk
        if self.name == "overlaps":
            return start < brk and end > start_brk
        return start >= start_brk and end <= brk


def heap_predicate(release: str) -> HeapPredicate:
    """6.6 also took what touches the heap, 6.7 to 6.10 what overlaps it; before and after, only what lies inside."""
    match = re.match(r"(\d+)\.(\d+)", release)
    version = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if version == (6, 6):
        return HeapPredicate("touches")
    if (6, 7) <= version <= (6, 10):
        return HeapPredicate("overlaps")
    return HeapPredicate("inside")


def _map_prot_checks(memory: Memory, prot: int) -> List[Check]:
    """file_map_prot_check: execmem, then the file's own permissions."""
    found = []
    wants_exec = bool(prot & f.PROT_EXEC)
    if wants_exec and (not memory.has_file or memory.kernel_private or (not memory.shared and prot & f.PROT_WRITE)):
        found.append(Check("process", "execmem"))
    if memory.has_file and not memory.kernel_private:
        found.append(Check(memory.tclass, "read"))
        if memory.shared and prot & f.PROT_WRITE:
            found.append(Check(memory.tclass, "write"))
        if wants_exec:
            found.append(Check(memory.tclass, "execute"))
    return found


def checks_at_mmap(prot: int, flags: int, has_file: bool, tclass: str = "file") -> List[Check]:
    """Permissions asked by mmap. MAP_SHARED_VALIDATE counts as private, shared anonymous memory as no file."""
    shared = flags & f.MAP_TYPE == f.MAP_SHARED
    memory = Memory(0, 0, 0, shared, has_file, False, tclass, None)
    found = [Check(tclass, "map")] if has_file else []
    return found + _map_prot_checks(memory, prot)


def checks_at_mprotect(
    memory: Memory, prot: int, start_brk: int, brk: int, start_stack: int, sp: int, heap: HeapPredicate
) -> List[Check]:
    """Permissions asked by mprotect for one VMA: exactly one of heap, stack and execmod, then as for mmap."""
    found: List[Check] = []
    if prot & f.PROT_EXEC and not memory.before & f.PROT_EXEC:
        if start_brk and heap.holds(memory.start, memory.end, start_brk, brk):
            found.append(Check("process", "execheap"))
        elif not memory.has_file and (memory.start <= start_stack <= memory.end or memory.start <= sp <= memory.end):
            found.append(Check("process", "execstack"))
        elif memory.has_file and memory.written is not False:
            found.append(Check(memory.tclass, "execmod", memory.written is True))
    return found + _map_prot_checks(memory, prot)


def memory_of(part: Part) -> Memory:
    """A VMA of /proc/PID/smaps in SELinux's terms."""
    vma, line = part.vma, part.vma.line
    shared = line.perms[3] == "s"
    has_object = line.inode != 0 or line.dev not in ("00:00", "0:0")
    kernel_private = has_object and (
        line.path.startswith("/SYSV") or (line.path.startswith("/dev/zero") and line.path.endswith("(deleted)"))
    )
    written: Optional[bool] = None
    if shared or not has_object:
        written = False
    elif vma.anonymous or vma.swap:
        written = True
    elif not vma.has("ac") and not part.before & f.PROT_WRITE:
        written = False
    tclass = "chr_file" if line.path.startswith("/dev/") and not line.path.startswith("/dev/shm/") else "file"
    return Memory(line.start, line.end, part.before, shared, has_object, kernel_private, tclass, written)


_SAYS = {
    "execheap": "the brk heap was to become executable",
    "execstack": "a stack was to become executable",
    "execmod": "memory mapped from a file, and changed since, was to become executable",
    "execmem": "memory that belongs to no file, or is writable at the same time, was to become executable",
    "execute": "the file may not be executed or mapped executable",
    "map": "the file may not be mapped",
}
_DEVELOPER = {
    "execheap": "Take the code buffer from mmap(MAP_ANONYMOUS), not from malloc: the heap must never be executable.",
    "execstack": "Link with -z noexecstack and avoid nested-function trampolines; keep code off the stack.",
    "execmod": "Map the file executable from the beginning, or copy the code into MAP_ANONYMOUS memory; "
    "a private mapping of /dev/zero counts as a file here.",
    "execmem": "Write through one view and execute through another (memfd_create, mapped twice MAP_SHARED).",
}
_BOOLEANS = {
    "execheap": ("selinuxuser_execheap", "allow_execheap"),
    "execstack": ("selinuxuser_execstack", "allow_execstack"),
    "execmod": ("selinuxuser_execmod", "allow_execmod"),
    "execmem": ("deny_execmem", "allow_execmem"),
}


def _fixes(refusal: Refusal, permission: str) -> Tuple[Fix, ...]:
    fixes = []
    if permission in _DEVELOPER:
        fixes.append(developer(_DEVELOPER[permission]))
    known = [name for name in _BOOLEANS.get(permission, ()) if name in refusal.host.selinux_booleans]
    if known:
        value = "off" if known[0].startswith("deny_") else "on"
        fixes.append(
            admin("Allow it for this domain (weakens every program in it).", "setsebool -P %s %s" % (known[0], value))
        )
    else:
        fixes.append(
            admin(
                "Look the refusal up in the audit log and allow it for this domain only.", "ausearch -m avc -ts recent"
            )
        )
    return tuple(fixes)


def _finding(refusal: Refusal, checks: List[Check], more: Tuple[Evidence, ...]) -> Optional[Finding]:
    exec_checks = [check for check in checks if check.permission.startswith("exec")]
    if not exec_checks:
        if not checks:
            return None
        exec_checks = checks
    first = exec_checks[0]
    names = " or ".join("%s:%s" % (check.tclass, check.permission) for check in exec_checks)
    cause = {"execute": "file-execute", "map": "other", "read": "other", "write": "other"}.get(
        first.permission, first.permission
    )
    only = len(exec_checks) == 1 and first.certain
    evidence = [seen("SELinux is enforcing", "/sys/fs/selinux/enforce")]
    if refusal.probe.lsm_label:
        evidence.append(seen("the process runs as %s" % refusal.probe.lsm_label, "/proc/PID/attr/current"))
    evidence.append(
        seen(
            "this kernel asks the policy for %s here, in this order" % names.replace(" or ", ", "),
            "security/selinux/hooks.c",
        )
    )
    return Finding(
        "selinux." + cause,
        CONSISTENT if only else POSSIBLE,
        "SELinux refused %s: %s" % (names, _SAYS.get(first.permission, "its policy does not allow this access")),
        (*evidence, *more),
        _fixes(refusal, first.permission),
    )


def selinux_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """mmap and shmat under an enforcing policy."""
    if refusal.errno != "EACCES" or not refusal.host.selinux_enforcing:
        return None
    request = refusal.request
    has_file = request.name == "mmap" and not request.flags & f.MAP_ANONYMOUS
    flags = request.flags if request.name == "mmap" else f.MAP_SHARED
    link = refusal.probe.descriptor.link if refusal.probe.descriptor else ""
    tclass = "chr_file" if link.startswith("/dev/") and not link.startswith("/dev/shm/") else "file"
    if request.flags & f.MAP_HUGETLB and request.name == "mmap":
        has_file = True
    return _finding(refusal, checks_at_mmap(refusal.wants, flags, has_file, tclass), ())


def selinux_at_mprotect(refusal: Refusal, part: Part) -> Optional[Finding]:
    """mprotect of one VMA under an enforcing policy."""
    if refusal.errno != "EACCES" or not refusal.host.selinux_enforcing:
        return None
    probe, memory = refusal.probe, memory_of(part)
    heap = heap_predicate(refusal.host.kernel)
    brk = probe.brk if probe.brk is not None else 0
    checks = checks_at_mprotect(memory, refusal.wants, probe.start_brk, brk, probe.start_stack, probe.sp, heap)
    return _finding(refusal, checks, _heap_evidence(memory, probe.start_brk, brk, heap))


def _heap_evidence(memory: Memory, start_brk: int, brk: int, heap: HeapPredicate) -> Tuple[Evidence, ...]:
    if not start_brk:
        return ()
    source = "start_brk in /proc/PID/stat and the last brk call"
    inside = HeapPredicate("inside").holds(memory.start, memory.end, start_brk, brk)
    if heap.holds(memory.start, memory.end, start_brk, brk) and not inside:
        return (
            seen(
                "the memory touches the heap (%#x-%#x), but is not the heap: kernels 6.6 to 6.10 took it for heap"
                % (start_brk, brk),
                source,
            ),
        )
    if not inside and HeapPredicate("overlaps").holds(memory.start, memory.end, start_brk, brk):
        return (
            seen(
                "the mapping overlaps the heap (%#x-%#x) and reaches beyond it, so it does not count as heap"
                % (start_brk, brk),
                source,
            ),
        )
    return ()
