"""What a rule sees and what it answers.

A rule is a function from `Refusal` to a `Finding` or None. It is handed everything as values; where a value is
None or empty it was not readable, and the rule must settle for less confidence or no answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import Vma
from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import Evidence, Fix, Touched
from wxtrace.model.facts import BY_KERNEL, Host, Probe

__all__ = [
    "CONSISTENT",
    "POSSIBLE",
    "PROVED",
    "Finding",
    "Installed",
    "Part",
    "Refusal",
    "Rule",
    "admin",
    "developer",
    "seen",
    "size_text",
]

PROVED, CONSISTENT, POSSIBLE = "proved", "consistent", "possible"


class Installed(NamedTuple):
    """A seccomp filter that binds the caller: installed at event `n` by `pid`, or inherited (n is None)."""

    n: Optional[int]
    pid: Optional[int]
    comm: str


class Part(NamedTuple):
    """One VMA of the range with its protection as it was before the call."""

    vma: Vma
    before: int


@dataclass(frozen=True)
class Refusal:
    """One failed call with everything known about it."""

    request: Request
    errno: str
    result: int
    decided: int
    number: int
    host: Host
    probe: Probe
    touched: Sequence[Touched] = ()
    filters: Tuple[Installed, ...] = ()
    mdwe: Optional[int] = None
    mdwe_by: Optional[int] = None
    # For ptrace calls: whether the task they aim at is one of our tracees.
    held_by_us: bool = False

    @property
    def wants(self) -> int:
        """The protection asked for, as the kernel takes it: READ_IMPLIES_EXEC adds X to R."""
        if self.request.name == "shmat":
            prot = f.PROT_READ | (0 if self.request.flags & f.SHM_RDONLY else f.PROT_WRITE)
            return prot | (f.PROT_EXEC if self.request.flags & f.SHM_EXEC else 0)
        prot = (self.request.prot or 0) & 7
        if prot & f.PROT_READ and (self.probe.personality or 0) & f.READ_IMPLIES_EXEC:
            prot |= f.PROT_EXEC
        return prot

    @property
    def start(self) -> int:
        """First byte of the range."""
        return self.request.addr

    @property
    def end(self) -> int:
        """First byte behind the range, rounded up to the page."""
        size = self.host.page_size
        return self.request.addr + (self.request.length + size - 1) // size * size

    def parts(self) -> List[Part]:
        """The VMAs of the range in address order, each with its protection before the call."""
        return self._parts(self.start, self.end)

    def replaced(self) -> List[Part]:
        """The VMAs that would go beside the range: under mremap's target, under shmat, what brk would give back."""
        request = self.request
        if request.name == "mremap" and request.flags & f.MREMAP_FIXED:
            return self._parts(request.new_addr, request.new_addr + request.new_length)
        if request.name == "shmat":
            return self._parts(request.addr, request.addr + 1)
        if request.name == "brk":
            return self._parts(request.addr, self.probe.brk or 0)
        return []

    def _parts(self, start: int, end: int) -> List[Part]:
        found = []
        for vma in self.probe.vmas:
            if vma.line.end <= start or vma.line.start >= end:
                continue
            before = f.prot_of_letters(vma.line.perms)
            for part in self.touched:
                if part.before is not None and part.start < vma.line.end and part.end > vma.line.start:
                    before = f.prot_of_letters(part.before)
                    break
            found.append(Part(vma, before))
        return found

    @property
    def kernel_decided(self) -> bool:
        """Whether it is certain that no seccomp filter answered."""
        if self.decided == BY_KERNEL:
            return True
        return self.probe.status.get("Seccomp") == "0"

    @property
    def effective_mdwe(self) -> Optional[int]:
        """PR_GET_MDWE as the thread itself answered, else as followed from its calls."""
        return self.probe.mdwe if self.probe.mdwe is not None else self.mdwe

    @property
    def lsm_may_refuse(self) -> bool:
        """Whether a security module that looks at memory calls is at work, or cannot be excluded."""
        if self.host.selinux_enforcing:
            return True
        return any(name in _MEMORY_MODULES for name in self.host.lsm)


_MEMORY_MODULES = frozenset({"apparmor", "smack", "ipe", "ima", "bpf"})
"""Those with an mmap_file, file_mprotect or mmap_addr hook; SELinux only counts while enforcing."""


@dataclass(frozen=True)
class Finding:
    """One rule's answer."""

    cause: str
    confidence: str
    summary: str
    evidence: Tuple[Evidence, ...] = ()
    fixes: Tuple[Fix, ...] = ()
    related: Tuple[int, ...] = field(default_factory=tuple)


Rule = Callable[[Refusal], Optional[Finding]]


def seen(fact: str, source: str) -> Evidence:
    """One piece of evidence."""
    return Evidence(fact, source)


def developer(text: str, command: Optional[str] = None) -> Fix:
    """What the author of the program can do."""
    return Fix("developer", text, command)


def admin(text: str, command: Optional[str] = None) -> Fix:
    """What whoever runs the machine can do."""
    return Fix("administrator", text, command)


def size_text(size: int) -> str:
    """4 KiB, 1.5 MiB: a size in bytes for people."""
    if size < 1024:
        return "%d bytes" % size
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return ("%.1f %s" % (value, unit)).replace(".0 ", " ")
