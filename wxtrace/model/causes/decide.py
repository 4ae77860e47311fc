"""From a failed call to its cause: the rules in the kernel's own order, the first that holds wins.

The order of checks inside each call is mm/mmap.c, mm/mprotect.c and mm/mremap.c of Linux 6.18; mprotect looks at
one VMA after the other and changes each before it looks at the next.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, cast

from wxtrace.model.causes import answer as forwards
from wxtrace.model.causes import (
    descriptors,
    features,
    interference,
    limits,
    modules,
    protections,
    seccomp,
    selinux,
)
from wxtrace.model.causes.address import below_minimum, brk, occupied, room, special, unmapped
from wxtrace.model.causes.answer import Answer, Verdict
from wxtrace.model.causes.argument import (
    aio,
    madvise,
    mmap,
    mprotect,
    mremap,
    pointer,
    process_madvise,
    ranges,
    remap_file_pages,
    shm,
)
from wxtrace.model.causes.argument import seccomp as seccomp_arguments
from wxtrace.model.causes.base import (
    CONSISTENT,
    POSSIBLE,
    PROVED,
    Finding,
    Refusal,
    found,
    in_words,
    not_excluded,
    seen,
)
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.order import EachVma, evaluate
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Diagnosis, Partial
from wxtrace.model.syscalls.request import Other

__all__ = ["diagnose", "diagnosis_of"]

_BEFORE: Tuple[Any, ...] = (seccomp.filter_answered,)

_FILE: Tuple[Any, ...] = (
    descriptors.no_dax,
    descriptors.swap_file,
    descriptors.write_mode,
    descriptors.append_only,
    descriptors.read_mode,
    descriptors.noexec_at_mmap,
    descriptors.not_mappable,
    mmap.file_grows_down,
    descriptors.write_sealed_at_mmap,
)
_NEW_MEMORY: Tuple[Any, ...] = (
    protections.mdwe_at_mmap,
    protections.sealed,
    limits.no_hugepages,
    limits.address_space,
    limits.data,
    limits.overcommit,
)

_RULES: Dict[str, Tuple[Any, ...]] = {
    "mmap": (
        mmap.offset,
        descriptors.bad_descriptor,
        features.huge_page_size,
        selinux.policy_denies_mmap,
        mmap.length,
        descriptors.offset_overflow,
        limits.map_count,
        room.beyond_the_end,
        room.no_gap,
        mmap.fixed_address,
        below_minimum.below_minimum,
        selinux.low_address,
        occupied.occupied,
        limits.memlock,
        mmap.mapping_type,
        *_FILE,
        selinux.selinux_at_mmap,
        *_NEW_MEMORY,
        descriptors.secret_memory,
        modules.module_with_sign,
        descriptors.driver_refused,
    ),
    "shmat": (
        shm.address,
        shm.segment,
        shm.access,
        selinux.selinux_at_mmap,
        shm.removed,
        shm.range_of_segment,
        occupied.occupied,
        limits.map_count,
        room.beyond_the_end,
        room.no_gap,
        below_minimum.below_minimum,
        selinux.low_address,
        limits.memlock,
        protections.mdwe_at_mmap,
        protections.sealed,
        limits.address_space,
    ),
    "shmdt": (shm.detach_address, protections.sealed, shm.attached),
    "munmap": (ranges.munmap, protections.sealed, protections.whole_only, limits.map_count),
    "mremap": (
        mremap.arguments,
        mremap.target,
        limits.map_count,
        special.vsyscall,
        unmapped.unmapped,
        protections.sealed,
        protections.whole_only,
        mremap.copy,
        mremap.one_mapping,
        special.cannot_grow,
        mremap.given_up,
        limits.memlock,
        limits.address_space,
        limits.data,
        below_minimum.below_minimum,
        selinux.low_address,
        room.beyond_the_end,
        room.cannot_stay,
        room.no_gap,
        limits.overcommit,
    ),
    "brk": (
        brk.below_start,
        limits.data,
        protections.sealed,
        brk.collision,
        limits.memlock,
        limits.address_space,
        limits.map_count,
        limits.overcommit,
    ),
    "mseal": (ranges.mseal, special.vsyscall, unmapped.unmapped, limits.map_count),
    "madvise": (
        madvise.arguments,
        madvise.privilege,
        protections.sealed,
        limits.map_count,
        EachVma((madvise.memory,)),
        madvise.not_built_in,
        special.vsyscall,
        unmapped.unmapped,
        madvise.not_carried_out,
    ),
    "process_madvise": (
        process_madvise.arguments,
        pointer.pointer,
        process_madvise.descriptor,
        process_madvise.ended,
        process_madvise.rights,
        process_madvise.advice,
    ),
    "remap_file_pages": (
        remap_file_pages.arguments,
        remap_file_pages.shared,
        unmapped.unmapped,
        remap_file_pages.one_mapping,
        protections.sealed,
        limits.map_count,
    ),
    "memfd_create": (
        features.memfd_flags,
        features.memfd_must_not_run,
        features.huge_page_size,
        pointer.pointer,
        limits.open_files,
    ),
    "memfd_secret": (features.secret_memory_off, limits.open_files),
    "pkey_alloc": (features.protection_key,),
    "pkey_free": (features.protection_key,),
    "map_shadow_stack": (features.shadow_stack, occupied.occupied),
    "arch_prctl": (features.shadow_stack, pointer.pointer),
    "prctl": (features.mdwe_arguments, interference.strict_mode, pointer.pointer),
    "seccomp": (
        seccomp_arguments.operation,
        interference.strict_mode,
        pointer.pointer,
        seccomp_arguments.filter_program,
        limits.open_files,
    ),
    "fork": (limits.overcommit,),
    "clone": (limits.overcommit,),
    "clone3": (pointer.pointer, limits.overcommit),
    "io_setup": (pointer.pointer, aio.events, aio.context, limits.address_space, limits.map_count),
    "io_destroy": (aio.ring,),
    "ptrace": (interference.already_traced, pointer.pointer),
}


class _EachVmaBackwards(NamedTuple):
    rules: Tuple[Any, ...]


_MPROTECT: Tuple[Any, ...] = (
    mprotect.arguments,
    special.vsyscall,
    mprotect.growth,
    _EachVmaBackwards(
        (
            protections.may_not_become,
            protections.mdwe_at_mprotect,
            selinux.selinux_at_mprotect,
        )
    ),
    protections.sealed,
    EachVma((), unmapped.unmapped),
    limits.data,
    limits.overcommit,
    protections.whole_only,
    limits.map_count,
    features.protection_key,
)


def diagnose(refusal: Refusal, partial: Optional[Partial]) -> tuple[Diagnosis, tuple[int, ...]]:
    """The diagnosis and the events it refers to."""
    finding = _first(refusal) or modules.module_refused(refusal) or _unknown(refusal)
    return diagnosis_of(finding, partial), finding.related


def diagnosis_of(finding: Finding, partial: Optional[Partial] = None) -> Diagnosis:
    """A finding as it stands on an event."""
    return Diagnosis(
        finding.cause,
        CAUSES[finding.cause].refused_by,
        finding.confidence,
        finding.summary,
        finding.evidence,
        finding.fixes,
        partial,
    )


class _Reading:
    """The answers of an order, held against the errno that came."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._came = Errno(-refusal.result) if refusal.result < 0 else Errno.NONE
        self._doubts: List[Answer] = []
        self._hidden = False
        self._hidden_at_first_doubt = False

    def take(self, answer: Answer) -> Optional[Finding]:
        """The cause, once an answer fits that no earlier one hides."""
        if answer.verdict is Verdict.LETS_THROUGH:
            return None
        if self._came not in answer.errnos:
            # By what is known it should have been refused here: something that was read is not as it was.
            self._hidden = self._hidden or answer.verdict is Verdict.REFUSES
            return None
        if answer.verdict is Verdict.REFUSES:
            sure = not self._doubts and not self._hidden
            return self._finding(answer, PROVED if sure else CONSISTENT, self._doubts)
        if not self._doubts:
            self._hidden_at_first_doubt = self._hidden
        self._doubts.append(answer)
        return None

    def best_doubt(self) -> Optional[Finding]:
        """What may have refused, where nothing refuses for certain."""
        named = [answer for answer in self._doubts if answer.at_most is not None]
        if not named:
            return None
        best = max(named, key=lambda answer: answer.at_most.rank if answer.at_most is not None else 0)
        # What comes behind it and refuses otherwise was never reached.
        if best.by_exclusion and len(self._doubts) == 1 and not self._hidden_at_first_doubt:
            return self._finding(best, PROVED, ())
        return self._finding(best, str(best.at_most), [answer for answer in self._doubts if answer is not best])

    def _finding(self, answer: Answer, confidence: str, doubts: Sequence[Answer]) -> Finding:
        refusal, cause = self._refusal, answer.cause
        assert cause is not None
        evidence = list(answer.evidence)
        if Need.NO_MODULE in answer.missing:
            evidence.append(not_excluded(refusal))
        for doubt in doubts:
            if doubt.cause is not None and doubt.cause.id != cause.id and doubt.missing:
                told = "%s cannot be excluded: not known is %s" % (doubt.cause.id, doubt.missing[0].words)
                evidence.append(seen(told, doubt.missing[0].source))
        words = {"errno": refusal.errno, "call": refusal.request.name, "kernel": refusal.host.kernel, **answer.words}
        summary, fixes = in_words(cause.id, answer.case, **words)
        return Finding(cause.id, confidence, summary, tuple(evidence), fixes, answer.related)


def _order(refusal: Refusal) -> Tuple[Any, ...]:
    if isinstance(refusal.request, Other):
        # Its arguments could not be read.
        return (pointer.pointer,)
    name = refusal.request.name
    return _MPROTECT if name in ("mprotect", "pkey_mprotect") else _RULES.get(name, ())


def _first(refusal: Refusal) -> Optional[Finding]:
    reading = _Reading(refusal)
    for check in _BEFORE + _order(refusal):
        if isinstance(check, (forwards.Rule, EachVma)):
            for step in evaluate(refusal, (check,)):
                finding = reading.take(step.answer)
                if finding is not None:
                    return finding
        elif isinstance(check, _EachVmaBackwards):
            for part in refusal.parts():
                for rule in check.rules:
                    if isinstance(rule, forwards.VmaRule):
                        finding = reading.take(rule(refusal, part))
                    else:
                        finding = cast(Optional[Finding], rule(refusal, part))
                    if finding is not None:
                        return finding
        else:
            finding = cast(Optional[Finding], check(refusal))
            if finding is not None:
                return finding
    return reading.best_doubt() or seccomp.filter_possible(refusal)


def _unknown(refusal: Refusal) -> Finding:
    if refusal.errno == "EINTR":
        signal = seen("EINTR comes from a fatal signal only", "mm/util.c:vm_mmap_pgoff (mmap_write_lock_killable)")
        return found(refusal, "unknown", signal, case="interrupted", at_most=POSSIBLE)
    evidence = []
    if refusal.kernel_decided:
        evidence.append(seen("no seccomp filter answered: the call reached the kernel's own code", "ptrace stops"))
    if refusal.host.selinux_enforcing is None and "selinux" in refusal.host.lsm:
        evidence.append(seen("whether SELinux enforces cannot be seen here", "/sys/fs/selinux"))
    elif refusal.host.selinux_enforcing is None:
        evidence.append(seen("SELinux is not running", "/sys/fs/selinux"))
    elif not refusal.host.selinux_enforcing:
        evidence.append(seen("SELinux is permissive", "/sys/fs/selinux/enforce"))
    if refusal.effective_mdwe == 0:
        evidence.append(seen("MDWE is not set", "PR_GET_MDWE"))
    if refusal.parts() and not any(part.vma.has("sl") for part in refusal.parts()):
        evidence.append(seen("nothing in the range is sealed", "VmFlags in /proc/PID/smaps"))
    evidence += modules.excluded_modules(refusal)
    if not refusal.host.lsm_known:
        evidence.append(seen("which security modules are at work is not known", "/sys/kernel/security/lsm"))
    elif refusal.host.lsm:
        evidence.append(seen("security modules: %s" % ", ".join(refusal.host.lsm), "/sys/kernel/security/lsm"))
    return found(refusal, "unknown", *evidence, at_most=POSSIBLE)
