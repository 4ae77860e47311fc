"""Which kinds of evidence a refused call came with: what a cause needs and does not have keeps it from being proved."""

from __future__ import annotations

from typing import Callable, Dict, Sequence, Tuple

from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need

__all__ = ["unmet"]

_NO_RANGE = frozenset(
    {"mmap", "shmat", "remap_file_pages", "memfd_create", "map_shadow_stack", "memfd_secret", "arch_prctl"}
)


def _has_vm_flags(ctx: CallContext) -> bool:
    return any(vma.flags for vma in ctx.probe.vmas)


def _same_namespace(ctx: CallContext) -> bool:
    return ctx.probe.same_namespaces


_MET: Dict[Need, Callable[[CallContext], bool]] = {
    Need.ANSWERED: lambda ctx: ctx.kernel_decided,
    Need.MAPPINGS: lambda ctx: ctx.probe.vmas_complete,
    Need.VM_FLAGS: lambda ctx: ctx.request.name in _NO_RANGE or _has_vm_flags(ctx),
    Need.DESCRIPTOR: lambda ctx: ctx.probe.descriptor is not None or ctx.request.name != "mmap",
    Need.KERNEL: lambda ctx: ctx.kernel != (0, 0),
    Need.MDWE: lambda ctx: ctx.probe.mdwe is not None or ctx.mdwe_by is not None,
    Need.LIMITS: lambda ctx: bool(ctx.probe.limits),
    Need.USE: lambda ctx: "VmSize" in ctx.probe.status,
    Need.MEMORY: lambda ctx: bool(ctx.probe.meminfo),
    Need.MAP_COUNT: lambda ctx: ctx.probe.map_count is not None,
    Need.SYSCTL: lambda ctx: bool(ctx.probe.sysctl),
    Need.NAMESPACE: _same_namespace,
    Need.CAPABILITIES: lambda ctx: "CapEff" in ctx.probe.status,
    Need.BREAK: lambda ctx: bool(ctx.probe.start_brk),
    Need.CPU: lambda ctx: ctx.probe.cpu_features is not None,
    Need.SEGMENT: lambda ctx: ctx.request.name == "shmdt" or ctx.probe.same_namespaces,
    Need.OPEN_FILES: lambda ctx: ctx.probe.open_fds is not None,
    Need.HELD: lambda ctx: ctx.held_by_us,
}
"""Which ctx came with which evidence. Needs that are not here are a rule's own condition: without them it does
not answer at all."""


def unmet(needs: Sequence[Need], ctx: CallContext) -> Tuple[Need, ...]:
    """Those of `needs` that this call came without."""
    return tuple(need for need in needs if need in _MET and not _MET[need](ctx))
