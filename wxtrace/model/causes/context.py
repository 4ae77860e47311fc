"""What is known when a rule is asked about a call: the call, the map, the process and the machine.

A rule is handed everything as values, as they were before the call; where a value is None or empty it was not
readable, and the rule answers that it cannot be known.
"""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import Vma
from wxtrace.frozen import Frozen
from wxtrace.model import flags as f
from wxtrace.model.abi import X86_64
from wxtrace.model.calls import Request
from wxtrace.model.causes import module_hooks
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Touched
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, Call, Host, Probe
from wxtrace.model.filters import Asked, Program, SeenFilters, verdict
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages
from wxtrace.model.syscalls.request import CallRequest
from wxtrace.model.syscalls.shm import Shmat, Shmdt
from wxtrace.model.task_size import searched_below, task_size

__all__ = ["CallContext", "Installed", "Part"]

_HEXADECIMAL = re.compile("[0-9a-f]{1,16}")
_RELEASE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


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


class CallContext(Frozen):
    """One call with everything known about it. `decided`: who answered it (wxtrace.model.facts)."""

    request: CallRequest
    decided: int
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
    # What rules that are not yet asked forwards look at.
    old: Request = Request("")
    errno: str = ""
    result: int = 0
    number: int = 0

    @property
    def wants(self) -> int:
        """The protection asked for, as the kernel takes it: READ_IMPLIES_EXEC adds X to R."""
        request = self.request
        if isinstance(request, Shmat):
            prot = f.PROT_READ | (0 if request.shmflg & f.SHM_RDONLY else f.PROT_WRITE)
            return prot | (f.PROT_EXEC if request.shmflg & f.SHM_EXEC else 0)
        prot = request.prot & 7 if isinstance(request, (Mmap, Mprotect, RemapFilePages)) else 0
        if prot & f.PROT_READ and (self.probe.personality or 0) & f.READ_IMPLIES_EXEC:
            prot |= f.PROT_EXEC
        return prot

    @property
    def start(self) -> int:
        """First byte of the range."""
        return self.request.start

    @property
    def end(self) -> int:
        """First byte behind the range, rounded up to the page."""
        size = self.host.page_size
        return self.request.start + (self.request.length + size - 1) // size * size

    def parts(self) -> List[Part]:
        """The VMAs of the range in address order, each with its protection before the call."""
        return self._parts(self.start, self.end)

    @property
    def unchanged_from(self) -> int:
        """Behind the last part of the range that the call did change: what was changed was not refused."""
        changed = [part.end for part in self.touched if part.region is not None and part.before != part.after]
        return max(changed, default=self.start)

    def came_to(self, address: int) -> bool:
        """Whether the call can have come so far: mprotect changes one mapping before it looks at the next."""
        if not isinstance(self.request, Mprotect):
            return True
        wanted = f.prot_letters(self.wants)
        before = [part for part in self.touched if part.start < address and part.after is not None]
        return all(part.after is None or part.after[:3] == wanted for part in before)

    def replaced(self) -> List[Part]:
        """The VMAs that would go beside the range: under mremap's target, under shmat, what brk would give back."""
        request = self.request
        if isinstance(request, Mremap) and request.flags & f.MREMAP_FIXED:
            return self._parts(request.new_address, request.new_address + request.new_size)
        if isinstance(request, Shmat):
            size = self.probe.segment.size if self.probe.segment is not None else None
            # SHM_RND rounds the address down; without it one inside a page is refused.
            start = request.shmaddr // self.host.page_size * self.host.page_size
            return self._parts(start, start + (size or 1))
        if isinstance(request, Brk):
            return self._parts(request.addr, self.probe.brk or 0)
        if isinstance(request, Shmdt):
            # What belongs to one attachment lies at its own offset behind the address (ipc/shm.c:ksys_shmdt).
            lines = [vma.line for vma in self.probe.vmas if vma.line.start - request.shmaddr == vma.line.offset]
            return [part for line in lines for part in self._parts(line.start, line.end)]
        return []

    def standing_at(self, address: int) -> List[Part]:
        """The VMA at one address, in a list; an empty one where nothing is mapped."""
        return self._parts(address, address + 1)

    def _parts(self, start: int, end: int) -> List[Part]:
        found: List[Part] = []
        if start >= end:
            return found
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
        call = self.call or Call(0, 0, 0, 0, (0,) * 6, 0)
        return Asked(call.abi, call.number, call.args, self.probe.ip)

    @property
    def args(self) -> Tuple[int, ...]:
        """The arguments as they were given, for calls that `request` does not normalise."""
        return self.call.args if self.call is not None else ()

    @property
    def task_size(self) -> int:
        """Where the addresses of the program end."""
        abi = self.call.abi if self.call is not None else X86_64
        return task_size(abi, self.host.address_bits, self.host.page_size, self.probe.personality or 0)

    @property
    def searched_below(self) -> int:
        """Where the kernel stops looking for a gap for this call."""
        return searched_below(self.request, self.task_size, self.host.page_size)

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
        return self.suspects(Errno[self.errno]) if self.errno in Errno.__members__ else []

    def suspects(self, errno: Errno) -> List[str]:
        """The security modules that could give this errno to this call, and that nothing excludes."""
        state = self.probe.selinux
        enforcing = state.enforcing is not False if state is not None else bool(self.host.selinux_enforcing)
        selinux = ["selinux"] if enforcing and errno is Errno.EACCES else []
        return selinux + module_hooks.suspects(self.host, self.request, self.wants, self.probe, errno.name)
