"""Which permissions SELinux checks for a memory call, in its order (security/selinux/hooks.c).

`selinux_mmap_file`, `selinux_file_mprotect`, `file_map_prot_check`. The predicates are the kernel's; whether the
policy grants a permission is not known here.
"""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.context import Part
from wxtrace.model.causes.mappings import has_object

__all__ = [
    "LOW",
    "Check",
    "HeapPredicate",
    "Memory",
    "checks_at_mmap",
    "checks_at_mprotect",
    "class_of",
    "heap_predicate",
    "is_labelled_by_place",
    "memory_of",
]

LOW = 65536
"""CONFIG_LSM_MMAP_MIN_ADDR on x86: below it memprotect:mmap_zero is asked."""


class Check(NamedTuple):
    """One permission the kernel asks the policy for.

    `certain` is False where its condition cannot be read, `likely` where it is seldom met then.
    """

    tclass: str
    permission: str
    certain: bool = True
    likely: bool = True


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
    named_heap: bool = False


class HeapPredicate(NamedTuple):
    """How this kernel decides that a VMA is heap. Not `sure` where a stable release may have the other way."""

    name: str
    sure: bool = True

    def holds(self, start: int, end: int, start_brk: int, brk: int) -> bool:
        """Whether [start, end) counts as heap; all in bytes."""
        if self.name == "touches":
            return start <= brk and end >= start_brk
        if self.name == "overlaps":
            return start < brk and end > start_brk
        return start >= start_brk and end <= brk


def heap_predicate(release: str) -> HeapPredicate:
    """6.6 also took what touches the heap, 6.7 to 6.10 what overlaps it; before and after, only what lies inside."""
    match = re.match(r"([0-9]{1,5})\.([0-9]{1,5})", release)
    version = (int(match.group(1)), int(match.group(2))) if match else (0, 0)
    if version == (6, 6):
        return HeapPredicate("touches", False)
    if (6, 7) <= version <= (6, 10):
        return HeapPredicate("overlaps", False)
    return INSIDE


INSIDE = HeapPredicate("inside")


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
    memory: Memory, prot: int, start_brk: int, brk: Optional[int], start_stack: int, sp: int, heap: HeapPredicate
) -> List[Check]:
    """Permissions asked by mprotect for one VMA: exactly one of heap, stack and execmod, then as for mmap.

    `sp` is the stack pointer of the calling thread. Without `brk` only the name of the mapping tells what is heap.
    """
    found: List[Check] = []
    if prot & f.PROT_EXEC and not memory.before & f.PROT_EXEC:
        counts, sure = _is_heap(memory, start_brk, brk, heap)
        if counts:
            found.append(Check("process", "execheap", sure))
        if not (counts and sure):
            others = _stack_or_file(memory, start_stack, sp)
            found += [check._replace(certain=check.certain and sure) for check in others]
    return found + _map_prot_checks(memory, prot)


def _is_heap(memory: Memory, start_brk: int, brk: Optional[int], heap: HeapPredicate) -> Tuple[bool, bool]:
    """Whether the kernel takes the VMA for heap, and whether that is sure."""
    if not start_brk:
        return False, True
    if brk is None:
        return memory.named_heap, memory.end <= start_brk
    counts = heap.holds(memory.start, memory.end, start_brk, brk)
    return counts, heap.sure or counts == INSIDE.holds(memory.start, memory.end, start_brk, brk)


def _stack_or_file(memory: Memory, start_stack: int, sp: int) -> List[Check]:
    if not memory.has_file:
        is_stack = memory.start <= start_stack <= memory.end or memory.start <= sp <= memory.end
        return [Check("process", "execstack")] if is_stack else []
    if memory.written is False:
        return []
    # Written and given back (MADV_DONTNEED) it shows no private page; most that show none were never written.
    return [Check(memory.tclass, "execmod", memory.written is True, memory.written is True)]


def is_labelled_by_place(path: str) -> bool:
    """Whether a file has the label that the policy's file contexts give its path: no memfd, device or deleted file."""
    elsewhere = ("/memfd:", "/dev/", "/proc/", "/sys/", "/SYSV", "/anon_hugepage", "/secretmem", "/[")
    return path.startswith("/") and not path.startswith(elsewhere) and not path.endswith(" (deleted)")


def class_of(path: str) -> str:
    """SELinux's class of an object, by its path in maps or its link in /proc/PID/fd."""
    if path.startswith("/dev/") and not path.startswith("/dev/shm/"):
        return "chr_file"
    return "anon_inode" if path.startswith("anon_inode:") else "file"


def memory_of(part: Part) -> Memory:
    """A VMA of /proc/PID/smaps in SELinux's terms."""
    vma, line = part.vma, part.vma.line
    shared = line.perms[3] == "s"
    has_file = has_object(line)
    kernel_private = has_file and (
        line.path.startswith("/SYSV") or (line.path.startswith("/dev/zero") and line.path.endswith("(deleted)"))
    )
    written: Optional[bool] = None
    if shared or not has_file:
        written = False
    elif vma.anonymous or vma.swap:
        written = True
    elif vma.flags and not vma.has("ac") and not part.before & f.PROT_WRITE:
        written = False
    tclass, is_heap = class_of(line.path), line.path == "[heap]"
    return Memory(line.start, line.end, part.before, shared, has_file, kernel_private, tclass, written, is_heap)
