"""What is known of a failed call that was not looked at closely, because its program fails in a loop.

Nothing is said of such a call only because it was true of another. The rules run over what the tracer read at this
very call, over our own map of its range, and over those facts of an earlier close look that are true still:

- what a mapping may become (VM_MAY*) is settled when it is made, what makes it special does not go away, and seals
  and written pages stay: as long as the same regions lie there, with the same protection and history
- PR_GET_MDWE: no bit is ever taken back, and setting one is a call that is followed (kernel/sys.c:prctl_set_mdwe)
- what the processor can, and the control group (a process is rarely moved, and only the advice depends on it)
- what security modules answer about a domain, while the thread is in it; about a mapping, while that is the same
- how many mappings there are, and the gaps between them, while the map has as many pieces and bytes
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.frozen import replace
from wxtrace.model.facts import Probe
from wxtrace.model.objects import MountFact
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.row import CallRequest, Syscall

__all__ = ["Known"]

MOST_VMAS = 1024
MOST_LINES = 64
_PLAIN = {"anon": "", "thread-stack": "", "heap": "[heap]", "stack": "[stack]"}
"""Private memory without an object, and its name in maps: it may become anything (mm/mmap.c:do_mmap)."""
_ROOM = ("map_count", "largest_gap", "largest_low_gap")

_Stands = Tuple[Tuple[int, int, int, int, Optional[int], int], ...]
"""Start, end, region, protection, the event that sealed it, and earlier protection of each part."""


class _Looked(NamedTuple):
    """A VMA as smaps showed it, its mount, and what our map held there."""

    vma: Vma
    mount: Optional[MountFact]
    stands: _Stands


class Known:
    """What close looks found in one address space."""

    def __init__(self) -> None:
        self._vmas: Dict[int, _Looked] = {}
        # The last looks that had answers of security modules, and the size of the map.
        self._asked: Optional[Probe] = None
        self._counted: Optional[Probe] = None
        self._pieces = 0
        self._cpu_features: Optional[List[str]] = None
        self._cgroup: Optional[str] = None

    def learn(self, space: AddressSpace, probe: Probe) -> None:
        """Keep what a close look at a failed call found; `space` as that call left it."""
        for vma in probe.vmas:
            stands = _stands(space, vma.line.start, vma.line.end)
            # Last in is last out.
            self._vmas.pop(vma.line.start, None)
            self._vmas[vma.line.start] = _Looked(vma, probe.mounts.get(vma.line.dev), stands)
        while len(self._vmas) > MOST_VMAS:
            del self._vmas[next(iter(self._vmas))]
        if probe.selinux is not None or probe.modules is not None:
            self._asked = probe
        if probe.map_count is not None:
            self._counted, self._pieces = probe, len(space)
        if probe.cpu_features is not None:
            self._cpu_features = probe.cpu_features
        if probe.cgroup is not None:
            self._cgroup = probe.cgroup

    def mapped(self, space: AddressSpace, row: Syscall, request: CallRequest, probe: Probe) -> Probe:
        """A probe that could not read the mappings of its range, with those of our own map, without VmFlags.

        Nobody but root reads the files of a process that is not dumpable (ptrace(2), PR_SET_DUMPABLE in prctl(2)).
        """
        vmas, complete = self._range(space, row, request, probe.brk)
        return replace(probe, vmas=[vma._replace(flags=()) for vma in vmas], vmas_complete=complete)

    def completed(self, space: AddressSpace, row: Syscall, request: CallRequest, probe: Probe) -> Probe:
        """A short probe of a call that has failed, with all that is known of it beside."""
        vmas, complete = self._range(space, row, request, probe.brk)
        looked = [self._looked(space, vma.line) for vma in vmas]
        mounts = {one.vma.line.dev: one.mount for one in looked if one is not None and one.mount is not None}
        beside: Dict[str, Any] = {"cpu_features": self._cpu_features, "cgroup": self._cgroup}
        if self._asked is not None and self._asked.lsm_label == probe.lsm_label:
            beside.update(_answers(self._asked, {"%#x" % one.vma.line.start for one in looked if one is not None}))
        counted, size = self._counted, probe.status.get("VmSize")
        if counted is not None and self._pieces == len(space) and counted.status.get("VmSize") == size:
            beside.update({name: getattr(counted, name) for name in _ROOM})
        return replace(probe, vmas=vmas, vmas_complete=complete, mounts=mounts, **beside)

    def _range(
        self, space: AddressSpace, row: Syscall, request: CallRequest, brk: Optional[int]
    ) -> Tuple[List[Vma], bool]:
        found: List[Vma] = []
        for start, end in row.looks_at(request, brk):
            pieces = space.overlapping(start, end)
            vmas = [self._vma(space, piece) for piece in pieces[:MOST_LINES]]
            above = space.neighbours(start, end)[1]
            beside = None if above is None else self._vma(space, above)
            if None in vmas or len(pieces) > MOST_LINES:
                # Rules take the first mapping that explains the failure: a gap among them would be another answer.
                return [], False
            for vma in vmas + [beside]:
                if vma is not None and vma not in found:
                    _join(found, vma)
        return sorted(found), True

    def _vma(self, space: AddressSpace, piece: Piece) -> Optional[Vma]:
        """The mapping around a piece, without VmFlags where nobody looked at them; None where it has no name."""
        for looked in self._vmas.values():
            line = looked.vma.line
            if line.start <= piece.start and piece.end <= line.end:
                if looked.stands == _stands(space, line.start, line.end):
                    return looked.vma
        backing, region = piece.region.backing, piece.region
        if backing is not None:
            path = backing.path + (" (deleted)" if backing.deleted else "")
            line = MapLine(piece.start, piece.end, piece.perms, piece.offset, backing.dev, backing.inode, path)
            return Vma(line, (), 0, 0, 0)
        if region.provenance not in _PLAIN:
            return None
        line = MapLine(piece.start, piece.end, piece.perms, 0, "00:00", 0, _PLAIN[region.provenance])
        sealed = ("sl",) if piece.sealed_by is not None else ()
        grows = ("gd",) if region.grows_down else ()
        return Vma(line, ("mr", "mw", "me", *sealed, *grows), 0, 0, 0)

    def _looked(self, space: AddressSpace, line: MapLine) -> Optional[_Looked]:
        looked = self._vmas.get(line.start)
        return looked if looked is not None and looked.vma.line == line else None


def _join(found: List[Vma], vma: Vma) -> None:
    """Add a mapping, as part of the one before where the kernel would have one of both."""
    if found:
        last, line = found[-1].line, vma.line
        offset = last.offset + line.start - last.start if line.inode else 0
        whole = last._replace(start=line.start, end=line.end, offset=offset)
        if last.end == line.start and (whole, found[-1][1:]) == (line, vma[1:]):
            found[-1] = vma._replace(line=last._replace(end=line.end))
            return
    found.append(vma)


def _stands(space: AddressSpace, start: int, end: int) -> _Stands:
    """What lies at [start, end), however our map cuts it."""
    found: List[Tuple[int, int, int, int, Optional[int], int]] = []
    for piece in space.overlapping(start, end):
        alike = (piece.region.id, piece.prot, piece.sealed_by, piece.earlier)
        if found and found[-1][1] == piece.start and found[-1][2:] == alike:
            found[-1] = (found[-1][0], piece.end, *alike)
        else:
            found.append((piece.start, piece.end, *alike))
    return tuple(found)


def _answers(last: Probe, same: Set[str]) -> Dict[str, Any]:
    """What security modules answered about a domain, and about the mappings that are the same."""
    selinux, modules = last.selinux, last.modules
    if selinux is not None:
        selinux = replace(selinux, answers=[one for one in selinux.answers if not one.about or one.about in same])
    if modules is not None:
        modules = replace(modules, smack_mmap=None)
    return {"selinux": selinux, "modules": modules}
