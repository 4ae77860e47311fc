"""What a rule sees and what it answers.

A rule is a function from `Refusal` to a `Finding` or None. It is handed everything as values; where a value is
None or empty it was not readable, and the rule must settle for less confidence or no answer. The words of its
answer, and the evidence that a proof takes, stand in the table of causes.
"""

from __future__ import annotations

import re
import shlex
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import Vma
from wxtrace.frozen import Frozen
from wxtrace.model import flags as f
from wxtrace.model.abi import I386
from wxtrace.model.calls import Request
from wxtrace.model.causes import module_hooks
from wxtrace.model.causes.entry import Need, admin, developer
from wxtrace.model.event import Evidence, Fix, Touched
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, Call, Host, Probe
from wxtrace.model.filters import Asked, Program, SeenFilters, verdict

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
    "found",
    "in_words",
    "not_excluded",
    "number_of",
    "pasteable",
    "seen",
    "size_text",
]

_DECIMAL = re.compile("[0-9]{1,19}")
_HEXADECIMAL = re.compile("[0-9a-f]{1,16}")
_RELEASE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
PROVED, CONSISTENT, POSSIBLE = "proved", "consistent", "possible"


class Installed(NamedTuple):
    """A seccomp filter that binds the caller: installed at event `n` by `pid`, or inherited (n is None).

    `program` as the memory of the installing process held it; `listens`: another process answers for it.
    """

    n: Optional[int]
    pid: Optional[int]
    comm: str
    program: Optional[Program] = None
    listens: bool = False


class Part(NamedTuple):
    """One VMA of the range with its protection as it was before the call."""

    vma: Vma
    before: int


class Refusal(Frozen):
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
    call: Optional[Call] = None
    mdwe_who: str = ""
    seen_filters: Optional[SeenFilters] = None

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

    def reached(self) -> List[Part]:
        """The VMAs that can have refused the call: mprotect and a move of several mappings do one after the other.

        What was changed had been let pass, with all that lies before it; the first that should have changed and did
        not was the last one looked at (mm/mprotect.c:do_mprotect_pkey, mm/mremap.c:remap_move).
        """
        parts = self.parts()
        if self.moves_several:
            return parts[:1]
        if self.request.name not in ("mprotect", "pkey_mprotect"):
            return parts
        own = [part for part in self.touched if part.before is not None and part.after is not None]
        passed = max((part.end for part in own if part.before != part.after), default=0)
        wanted = {f.prot_letters(self.wants), f.prot_letters((self.request.prot or 0) & 7)}
        kept = [part.start for part in own if part.start >= passed and (part.before or "")[:3] not in wanted]
        last = min(kept, default=self.end)
        return [part for part in parts if part.vma.line.end > passed and part.vma.line.start <= last]

    @property
    def moves_several(self) -> bool:
        """Whether this mremap moves mapping by mapping, with the holes between them (Linux 6.17)."""
        request = self.request
        moves = request.name == "mremap" and bool(request.flags & f.MREMAP_FIXED)
        return moves and request.length == request.new_length and self.kernel >= (6, 17)

    @property
    def moved(self) -> bool:
        """Whether this mremap has moved some of its mappings before it failed."""
        inside = [part for part in self.touched if self.start <= part.start < self.end]
        return self.moves_several and any(part.before is not None and part.after is None for part in inside)

    def replaced(self) -> List[Part]:
        """The VMAs that would go beside the range: under mremap's target, under shmat, what brk would give back."""
        request = self.request
        if request.name == "mremap" and request.flags & f.MREMAP_FIXED:
            return self._parts(request.new_addr, request.new_addr + request.new_length)
        if request.name == "shmat":
            return self._parts(request.addr, request.addr + 1)
        if request.name == "brk":
            return self._parts(request.addr, self.probe.brk or 0)
        if request.name == "shmdt":
            # What belongs to one attachment lies at its own offset behind the address (ipc/shm.c:ksys_shmdt).
            lines = [vma.line for vma in self.probe.vmas if vma.line.start - request.addr == vma.line.offset]
            return [part for line in lines for part in self._parts(line.start, line.end)]
        return []

    def standing_at(self, address: int) -> List[Part]:
        """The VMA at one address, in a list; an empty one where nothing is mapped."""
        return self._parts(address, address + 1)

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
    def looked_at(self) -> bool:
        """Whether it is known what lies in the range, and what each of these mappings may become."""
        return not self.probe.short or (self.probe.vmas_complete and all(part.vma.flags for part in self.parts()))

    @property
    def kernel_decided(self) -> bool:
        """Whether it is certain that no seccomp filter answered."""
        if self.decided == BY_KERNEL or self.probe.status.get("Seccomp") == "0":
            return True
        if self.decided == BY_FILTER or self.call is None or self.seen_filters is None:
            return False
        programs = self.seen_filters.programs
        answered = verdict(programs, self.asked) if programs is not None else None
        return programs == () or (answered is not None and answered.lets_in)

    @property
    def asked(self) -> Asked:
        """The call as filters saw it."""
        call = self.call or Call(0, 0, 0, self.number, (0,) * 6, 0)
        return Asked(call.abi, call.number, call.args, self.probe.ip)

    @property
    def args(self) -> Tuple[int, ...]:
        """The arguments as they were given, for calls that `request` does not normalise."""
        return self.call.args if self.call is not None else ()

    @property
    def task_size(self) -> int:
        """Where the addresses of the program end (arch/x86/include/asm/page_64_types.h; no 5-level paging)."""
        i386 = self.call is not None and self.call.abi == I386
        return 0xFFFFE000 if i386 else (1 << 47) - self.host.page_size

    def capable(self, capability: int) -> bool:
        """Whether the thread has a capability in its own user namespace, by number (capabilities(7))."""
        text = self.probe.status.get("CapEff", "")
        return bool(_HEXADECIMAL.fullmatch(text) and int(text, 16) >> capability & 1)

    @property
    def effective_mdwe(self) -> Optional[int]:
        """PR_GET_MDWE as the thread itself answered, else as followed from its calls."""
        return self.probe.mdwe if self.probe.mdwe is not None else self.mdwe

    @property
    def kernel(self) -> Tuple[int, int]:
        """(6, 18) for release 6.18.4; (0, 0) where it is not known."""
        match = _RELEASE.match(self.host.kernel)
        return (int(match.group(1)), int(match.group(2))) if match else (0, 0)

    @property
    def lsm_may_refuse(self) -> bool:
        """Whether a security module that looks at memory calls is at work, or cannot be excluded, for this errno."""
        return bool(self.module_suspects)

    @property
    def module_suspects(self) -> List[str]:
        """The security modules that can have given this errno to this call, and that nothing excludes."""
        state = self.probe.selinux
        enforcing = state.enforcing is not False if state is not None else bool(self.host.selinux_enforcing)
        selinux = ["selinux"] if enforcing and self.errno == "EACCES" else []
        return selinux + module_hooks.suspects(self.host, self.request, self.wants, self.probe, self.errno)


class Finding(Frozen):
    """One rule's answer."""

    cause: str
    confidence: str
    summary: str
    evidence: Tuple[Evidence, ...] = ()
    fixes: Tuple[Fix, ...] = ()
    related: Tuple[int, ...] = ()


Rule = Callable[[Refusal], Optional[Finding]]


def seen(fact: str, source: str) -> Evidence:
    """One piece of evidence."""
    return Evidence(fact, source)


def found(
    refusal: Refusal,
    cause: str,
    *evidence: Evidence,
    case: str = "",
    certain: bool = True,
    at_most: str = PROVED,
    related: Tuple[int, ...] = (),
    **words: object,
) -> Finding:
    """What the table says about `cause` here. Proved only where the rule is `certain` and all its needs are met, and
    never where some of the evidence is older than the call.

    `words` fill the templates of the entry; errno, call and kernel are always there.
    """
    # Most programs are refused nothing, and never need the table.
    from wxtrace.model.causes.catalogue import CAUSES
    from wxtrace.model.causes.needs import unmet

    missing = unmet(CAUSES[cause].needs, refusal)
    if at_most == PROVED and (missing or not certain or refusal.probe.short):
        at_most = CONSISTENT
    if Need.NO_MODULE in missing:
        evidence = (*evidence, not_excluded(refusal))
    known = {"errno": refusal.errno, "call": refusal.request.name, "kernel": refusal.host.kernel, **words}
    summary, fixes = in_words(cause, case, **known)
    return Finding(cause, at_most, summary, evidence, fixes, related)


def not_excluded(refusal: Refusal) -> Evidence:
    """Why a cause that security modules come before is not proved, and what would settle it."""
    names = ", ".join("bpf (as root, wxtrace can tell)" if n == "bpf" else n for n in refusal.module_suspects)
    return seen("a security module is asked first, and cannot be excluded: %s" % names, "/sys/kernel/security/lsm")


def in_words(cause: str, case: str = "", **words: object) -> Tuple[str, Tuple[Fix, ...]]:
    """Sentence and fixes of one case of a cause. A command that lacks a word (None, or not given) is left out."""
    from wxtrace.model.causes.catalogue import CAUSES

    said, known = CAUSES[cause].case(case), _Words(words)
    fixes = tuple(
        fix._replace(text=fix.text.format_map(known), command=_command(fix.command, words)) for fix in said.fixes
    )
    return said.sentence.format_map(known), fixes


class _Words(Dict[str, object]):
    """A sentence with a gap is better than none."""

    def __missing__(self, word: str) -> str:
        return "…"


def _command(template: Optional[str], words: Dict[str, object]) -> Optional[str]:
    if template is None:
        return None
    try:
        return template.format_map({word: value for word, value in words.items() if value is not None})
    except KeyError:
        return None


def number_of(text: Optional[str]) -> Optional[int]:
    """A number as /proc writes it; None for anything else, which only a damaged record can hold."""
    return int(text) if text is not None and _DECIMAL.fullmatch(text) else None


def pasteable(name: Optional[str]) -> Optional[str]:
    """A name from the target, quoted for a shell; None where it has characters that are not safe to paste."""
    return shlex.quote(name) if name and name.isprintable() else None


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
