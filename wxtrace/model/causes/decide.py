"""From a failed call to its cause: the rules in the kernel's own order, the first that holds wins.

The order of checks inside each call is mm/mmap.c, mm/mprotect.c and mm/mremap.c of Linux 6.18; mprotect looks at
one VMA after the other and changes each before it looks at the next.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

from wxtrace.model.causes import addresses, arguments, descriptors, interference, limits, protections, seccomp, selinux
from wxtrace.model.causes.base import POSSIBLE, Finding, Part, Refusal, Rule, developer, seen
from wxtrace.model.causes.catalogue import REFUSED_BY
from wxtrace.model.event import Diagnosis, Partial

__all__ = ["diagnose", "diagnosis_of"]

PartRule = Callable[[Refusal, Part], Optional[Finding]]

_BEFORE: Tuple[Rule, ...] = (
    seccomp.filter_answered,
    arguments.huge_range,
    arguments.bad_arguments,
    arguments.bad_memfd,
)

_MMAP: Tuple[Rule, ...] = (
    descriptors.bad_descriptor,
    descriptors.write_mode,
    descriptors.read_mode,
    descriptors.append_only,
    selinux.selinux_at_mmap,
    limits.no_room,
    addresses.below_minimum,
    addresses.occupied,
    limits.memlock,
    descriptors.offset_overflow,
    descriptors.noexec_at_mmap,
    descriptors.not_mappable,
    descriptors.write_sealed_at_mmap,
    protections.mdwe_at_mmap,
    protections.sealed,
    limits.map_count,
    limits.no_hugepages,
    limits.address_space,
    limits.data,
    limits.overcommit,
)

_RULES: Dict[str, Tuple[Rule, ...]] = {
    "mmap": _MMAP,
    "shmat": (
        selinux.selinux_at_mmap,
        protections.mdwe_at_mmap,
        protections.sealed,
        limits.address_space,
        limits.map_count,
    ),
    "munmap": (protections.sealed, limits.map_count),
    "mremap": (
        addresses.unmapped,
        addresses.across_mappings,
        protections.sealed,
        addresses.below_minimum,
        limits.no_room,
        limits.map_count,
        limits.memlock,
        limits.address_space,
        limits.data,
        limits.overcommit,
    ),
    "brk": (
        addresses.brk_below_start,
        limits.data,
        protections.sealed,
        addresses.brk_collision,
        limits.memlock,
        limits.address_space,
        limits.map_count,
        limits.overcommit,
    ),
    "ptrace": (interference.already_traced,),
    "mseal": (addresses.unmapped, limits.map_count),
    "madvise": (protections.sealed, addresses.unmapped, limits.map_count),
    "remap_file_pages": (protections.sealed, addresses.unmapped, limits.map_count),
}

_PER_VMA: Tuple[PartRule, ...] = (
    protections.may_not_become,
    protections.mdwe_at_mprotect,
    selinux.selinux_at_mprotect,
)
_BEHIND_VMAS: Tuple[Rule, ...] = (
    protections.sealed,
    addresses.unmapped,
    limits.data,
    limits.map_count,
    limits.overcommit,
)


def diagnose(refusal: Refusal, partial: Optional[Partial]) -> tuple[Diagnosis, tuple[int, ...]]:
    """The diagnosis and the events it refers to."""
    finding = _first(refusal) or seccomp.filter_possible(refusal) or _unknown(refusal)
    return diagnosis_of(finding, partial), finding.related


def diagnosis_of(finding: Finding, partial: Optional[Partial] = None) -> Diagnosis:
    """A finding as it stands on an event."""
    return Diagnosis(
        finding.cause,
        REFUSED_BY.get(finding.cause),
        finding.confidence,
        finding.summary,
        finding.evidence,
        finding.fixes,
        partial,
    )


def _first(refusal: Refusal) -> Optional[Finding]:
    for rule in _BEFORE:
        finding = rule(refusal)
        if finding is not None:
            return finding
    if refusal.request.name in ("mprotect", "pkey_mprotect"):
        return _mprotect(refusal)
    for rule in _RULES.get(refusal.request.name, ()):
        finding = rule(refusal)
        if finding is not None:
            return finding
    return None


def _mprotect(refusal: Refusal) -> Optional[Finding]:
    for part in refusal.parts():
        for per_vma in _PER_VMA:
            finding = per_vma(refusal, part)
            if finding is not None:
                return finding
    for rule in _BEHIND_VMAS:
        finding = rule(refusal)
        if finding is not None:
            return finding
    return None


def _unknown(refusal: Refusal) -> Finding:
    evidence = []
    if refusal.kernel_decided:
        evidence.append(seen("no seccomp filter answered: the call reached the kernel's own code", "ptrace stops"))
    if refusal.host.selinux_enforcing is None:
        evidence.append(seen("SELinux is not running", "/sys/fs/selinux"))
    elif not refusal.host.selinux_enforcing:
        evidence.append(seen("SELinux is permissive", "/sys/fs/selinux/enforce"))
    if refusal.effective_mdwe == 0:
        evidence.append(seen("MDWE is not set", "PR_GET_MDWE"))
    if refusal.parts() and not any(part.vma.has("sl") for part in refusal.parts()):
        evidence.append(seen("nothing in the range is sealed", "VmFlags in /proc/PID/smaps"))
    if refusal.host.lsm:
        evidence.append(seen("security modules: %s" % ", ".join(refusal.host.lsm), "/sys/kernel/security/lsm"))
    return Finding(
        "unknown",
        POSSIBLE,
        "%s for a reason that none of the known rules explains" % refusal.errno,
        tuple(evidence),
        (developer("Look for a message of the security module in the kernel log, and report this timeline."),),
    )
