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
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, Call, Host, Probe
from wxtrace.model.filters import Asked, Program, SeenFilters, verdict
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages
from wxtrace.model.syscalls.row import CallRequest
from wxtrace.model.syscalls.shm import Shmat, Shmdt
from wxtrace.model.task_size import searched_below, task_size

__all__ = ["CallContext", "Installed", "Intercepted", "Part"]

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


class Intercepted(NamedTuple):
    """What a seccomp filter that is not ours did with a call, as the stops showed it.

    `action` by the name it has in wxtrace.model.filters (ERRNO, TRAP, KILL_PROCESS), `result` what an answered call
    returned, `handled`: the program went on after SIGSYS, so a handler of its own took it.
    """

    action: str
    result: Optional[int] = None
    handled: bool = False


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
    mdwe_own: bool = False
    seen_filters: Optional[SeenFilters] = None
    intercepted: Optional[Intercepted] = None

    @property
    def wants(self) -> int:
        """The protection asked for, as the kernel takes it: READ_IMPLIES_EXEC adds X to R (mm/util.c, mm/mmap.c)."""
        request = self.request
        if isinstance(request, Shmat):
            prot = f.PROT_READ | (0 if request.shmflg & f.SHM_RDONLY else f.PROT_WRITE)
            return prot | (f.PROT_EXEC if request.shmflg & f.SHM_EXEC else 0)
        if isinstance(request, RemapFilePages):
            # The mapping keeps the protection that it has.
            return next((part.before for part in self.parts()), 0)
        prot = request.prot & 7 if isinstance(request, (Mmap, Mprotect)) else 0
        return prot | f.PROT_EXEC if self._implies_exec(prot) and not self._on_noexec_mount else prot

    def wants_of(self, part: Part) -> int:
        """The same of one VMA: what READ_IMPLIES_EXEC adds is left out where VM_MAYEXEC is missing."""
        prot = self.request.prot & 7 if isinstance(self.request, Mprotect) else self.wants
        may = not part.vma.flags or part.vma.has("me")
        return prot | f.PROT_EXEC if self._implies_exec(prot) and may else prot

    def _implies_exec(self, prot: int) -> bool:
        return bool(prot & f.PROT_READ and (self.probe.personality or 0) & f.READ_IMPLIES_EXEC)

    @property
    def _on_noexec_mount(self) -> bool:
        if not isinstance(self.request, Mmap) or self.request.flags & f.MAP_ANONYMOUS:
            return False
        mount = self.probe.descriptor.mount if self.probe.descriptor is not None else None
        return mount is not None and "noexec" in mount.options.split(",")

    @property
    def start(self) -> int:
        """First byte of the range."""
        return self.request.start

    @property
    def end(self) -> int:
        """First byte behind the range, rounded up to the page; a length that rounds to 2^64 is one of 0."""
        return self.request.start + self._page_up(self.request.length) % (1 << 64)

    def parts(self) -> List[Part]:
        """The VMAs of the range in address order, each with its protection before the call."""
        # mremap from nothing to something makes a second mapping of what stands at the address.
        least = self.start + 1 if isinstance(self.request, Mremap) else self.start
        return self._parts(self.start, max(self.end, least))

    def reached(self) -> List[Part]:
        """The VMAs that can have refused the call: mprotect and a move of several mappings do one after the other.

        What was changed had been let pass, with all that lies before it; the first that should have changed and did
        not was the last one looked at (mm/mprotect.c:do_mprotect_pkey, mm/mremap.c:remap_move).
        """
        parts = self.parts()
        if self.moves_several:
            return parts[:1]
        if not isinstance(self.request, Mprotect):
            return parts
        return [part for part in parts if part.vma.line.end > self.passed and part.vma.line.start <= self.stopped_at]

    @property
    def passed(self) -> int:
        """Where the part of the range ends that an mprotect has changed: what was changed was not refused."""
        if not isinstance(self.request, Mprotect):
            return self.start
        own = [part for part in self.touched if part.before is not None and part.after is not None]
        return max((part.end for part in own if part.before != part.after), default=self.start)

    @property
    def stopped_at(self) -> int:
        """Where the first part starts that an mprotect should have changed and did not: it looked no further."""
        request = self.request
        if not isinstance(request, Mprotect):
            return self.end
        own = [part for part in self.touched if part.before is not None and part.after is not None]
        wanted = {f.prot_letters(self.wants), f.prot_letters(request.prot & 7)}
        kept = [part.start for part in own if part.start >= self.passed and (part.before or "")[:3] not in wanted]
        return min(kept, default=self.end)

    @property
    def moves_several(self) -> bool:
        """Whether this mremap moves mapping by mapping, with the holes between them (Linux 6.17)."""
        request = self.request
        if not isinstance(request, Mremap) or not request.flags & f.MREMAP_FIXED:
            return False
        return request.old_size == request.new_size and self.kernel >= (6, 17)

    @property
    def moved(self) -> bool:
        """Whether this mremap has moved some of its mappings before it failed."""
        inside = [part for part in self.touched if self.start <= part.start < self.end]
        return self.moves_several and any(part.before is not None and part.after is None for part in inside)

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
            return self._parts(self._page_up(request.addr), self._page_up(self.probe.brk or 0))
        if isinstance(request, Shmdt):
            # What belongs to one attachment lies at its own offset behind the address (ipc/shm.c:ksys_shmdt).
            attached = [vma.line for vma in self.probe.vmas if vma.line.path.startswith("/SYSV")]
            lines = [line for line in attached if line.start - request.shmaddr == line.offset]
            return [part for line in lines for part in self._parts(line.start, line.end)]
        return []

    def _page_up(self, address: int) -> int:
        size = self.host.page_size
        return (address + size - 1) // size * size

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
        call = self.call or Call(0, 0, 0, 0, (0,) * 6, 0)
        return Asked(call.abi, call.number, call.args, self.probe.ip)

    @property
    def args(self) -> Tuple[int, ...]:
        """The arguments as they were given, for calls that `request` does not normalise."""
        return self.call.args if self.call is not None else ()

    @property
    def task_size(self) -> int:
        """Where the addresses of the program end."""
        abi = self.call.abi if self.call is not None else Abi.X86_64
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
