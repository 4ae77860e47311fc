"""Which kinds of evidence a refused call came with: what a cause needs and does not have keeps it from being proved."""

from __future__ import annotations

from typing import Callable, Dict, Sequence, Tuple

from wxtrace.model.causes.base import Refusal
from wxtrace.model.causes.entry import Need

__all__ = ["unmet"]

_ASKED_FIRST = frozenset({"mmap", "shmat", "remap_file_pages"})
"""Calls whose security hook runs before all other checks (mm/util.c:vm_mmap_pgoff)."""


_NO_RANGE = _ASKED_FIRST | {"memfd_create", "map_shadow_stack", "memfd_secret", "arch_prctl"}


def _has_vm_flags(refusal: Refusal) -> bool:
    return any(vma.flags for vma in refusal.probe.vmas)


def _same_namespace(refusal: Refusal) -> bool:
    return refusal.probe.same_namespaces


_MET: Dict[Need, Callable[[Refusal], bool]] = {
    Need.ANSWERED: lambda refusal: refusal.kernel_decided,
    Need.MAPPINGS: lambda refusal: refusal.probe.vmas_complete,
    Need.VM_FLAGS: lambda refusal: refusal.request.name in _NO_RANGE or _has_vm_flags(refusal),
    Need.DESCRIPTOR: lambda refusal: refusal.probe.descriptor is not None or refusal.request.name != "mmap",
    Need.KERNEL: lambda refusal: refusal.kernel != (0, 0),
    Need.MDWE: lambda refusal: refusal.probe.mdwe is not None or refusal.mdwe_by is not None,
    Need.NO_MODULE: lambda refusal: refusal.request.name not in _ASKED_FIRST or not refusal.lsm_may_refuse,
    Need.LIMITS: lambda refusal: bool(refusal.probe.limits),
    Need.USE: lambda refusal: "VmSize" in refusal.probe.status,
    Need.MEMORY: lambda refusal: bool(refusal.probe.meminfo),
    Need.MAP_COUNT: lambda refusal: refusal.probe.map_count is not None,
    Need.SYSCTL: lambda refusal: bool(refusal.probe.sysctl),
    Need.NAMESPACE: _same_namespace,
    Need.CAPABILITIES: lambda refusal: "CapEff" in refusal.probe.status,
    Need.BREAK: lambda refusal: bool(refusal.probe.start_brk),
    Need.CPU: lambda refusal: refusal.probe.cpu_features is not None,
    Need.SEGMENT: lambda refusal: refusal.request.name == "shmdt" or refusal.probe.same_namespaces,
    Need.OPEN_FILES: lambda refusal: refusal.probe.open_fds is not None,
    Need.HELD: lambda refusal: refusal.held_by_us,
}
"""Which refusal came with which evidence. Needs that are not here are a rule's own condition: without them it does
not answer at all."""


def unmet(needs: Sequence[Need], refusal: Refusal) -> Tuple[Need, ...]:
    """Those of `needs` that this refusal came without."""
    return tuple(need for need in needs if need in _MET and not _MET[need](refusal))
