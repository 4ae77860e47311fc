"""From a failed call to its cause: the rules in the kernel's own order, the first that holds wins.

The order of checks inside each call is mm/mmap.c, mm/mprotect.c and mm/mremap.c of Linux 6.18; mprotect looks at
one VMA after the other and changes each before it looks at the next.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, cast

from wxtrace.frozen import replace
from wxtrace.model.causes import answer as forwards
from wxtrace.model.causes import (
    descriptors,
    features,
    interference,
    limits,
    modules,
    protections,
    selinux,
    unknown,
)
from wxtrace.model.causes.address import below_minimum, brk, occupied, room, special, unmapped
from wxtrace.model.causes.answer import Answer, Verdict
from wxtrace.model.causes.argument import (
    aio,
    control,
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
from wxtrace.model.causes.base import (
    CONSISTENT,
    PROVED,
    Finding,
    Refusal,
    in_words,
    not_excluded,
    seen,
)
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.order import EachVma, evaluate
from wxtrace.model.causes.seccomp.answered import filter_answers
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Diagnosis, Evidence, Partial

__all__ = ["diagnose", "diagnose_intercepted"]

_BEFORE: Tuple[Any, ...] = (filter_answers,)
_ANY_TIME: Tuple[Any, ...] = (unknown.interrupted,)
_IN_SHORT = seen(
    "such calls fail all the time, and not all was read anew at this one", "the time there is for looking at failures"
)

_FROM_BEFORE = frozenset({"/proc/PID/maps", "/proc/cpuinfo", "/sys/fs/selinux/access", "bpf(BPF_PROG_GET_NEXT_ID)"})


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
        pointer.pointer,
        modules.module_with_sign,
        descriptors.driver_refused,
    ),
    "shmat": (
        shm.address,
        shm.segment,
        shm.access,
        selinux.selinux_at_mmap,
        shm.removed,
        occupied.occupied,
        limits.map_count,
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
        special.not_together,
        mremap.copy,
        mremap.one_mapping,
        special.cannot_grow,
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
    "arch_prctl": (control.arch_prctl, features.shadow_stack, control.base_address, pointer.pointer),
    "prctl": (features.mdwe_arguments, interference.strict_mode, pointer.pointer),
    "seccomp": (
        interference.strict_mode,
        control.seccomp,
        pointer.pointer,
        control.filter_program,
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
    mprotect.growth,
    _EachVmaBackwards(
        (
            protections.may_not_become,
            protections.mdwe_at_mprotect,
            selinux.selinux_at_mprotect,
        )
    ),
    protections.sealed,
    special.vsyscall,
    EachVma((), unmapped.unmapped),
    limits.data,
    limits.overcommit,
    protections.whole_only,
    limits.map_count,
    features.protection_key,
)


def diagnose(refusal: Refusal, partial: Optional[Partial]) -> tuple[Diagnosis, tuple[int, ...]]:
    """The diagnosis of a call that failed, and the events it refers to."""
    finding = _first(refusal)
    if finding is None and refusal.looked_at:
        finding = modules.module_refused(refusal)
    if finding is None:
        finding = _told(refusal, unknown.unexplained(refusal))
    if refusal.probe.short:
        finding = replace(finding, evidence=(*map(_as_read, finding.evidence), _IN_SHORT))
    return _diagnosis(finding, partial), finding.related


def diagnose_intercepted(ctx: CallContext) -> tuple[Diagnosis, tuple[int, ...]]:
    """The same of a call that a filter is known to have answered, or to have ended by a signal."""
    finding = _told(ctx, filter_answers(ctx))
    return _diagnosis(finding, None), finding.related


def _as_read(evidence: Evidence) -> Evidence:
    """Evidence of a call that was not looked at closely, with where it is from (`wxtrace.model.known`)."""
    if "smaps" in evidence.source:
        return evidence._replace(source="the calls, and /proc/PID/smaps at an earlier failure")
    if evidence.source in _FROM_BEFORE:
        return evidence._replace(source=evidence.source + ", at an earlier failure")
    return evidence


def _diagnosis(finding: Finding, partial: Optional[Partial]) -> Diagnosis:
    return Diagnosis(
        finding.cause,
        CAUSES[finding.cause].refused_by,
        finding.confidence,
        finding.summary,
        finding.evidence,
        finding.fixes,
        partial,
    )


def _told(ctx: CallContext, answer: Answer, confidence: str = "", doubts: Sequence[Answer] = ()) -> Finding:
    """An answer in words; `confidence` is its own unless the others lower it. `doubts`: what cannot be excluded."""
    cause = answer.cause
    assert cause is not None
    evidence = list(answer.evidence)
    if Need.NO_MODULE in answer.missing:
        evidence.append(not_excluded(ctx))
    for doubt in doubts:
        if doubt.cause is not None and doubt.cause.id != cause.id and doubt.missing:
            told = "%s cannot be excluded: not known is %s" % (doubt.cause.id, doubt.missing[0].words)
            evidence.append(seen(told, doubt.missing[0].source))
    words = {"errno": ctx.errno, "call": ctx.request.name, "kernel": ctx.host.kernel, **answer.words}
    summary, fixes = in_words(cause.id, answer.case, **words)
    return Finding(cause.id, confidence or str(answer.at_most), summary, tuple(evidence), fixes, answer.related)


class _Reading:
    """The answers of an order, held against the errno that came."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._came = Errno(-refusal.result) if refusal.result < 0 else Errno.NONE
        self._doubts: List[Answer] = []
        self._hidden = False

    def take(self, answer: Answer) -> Optional[Finding]:
        """The cause, once an answer fits that no earlier one hides."""
        if answer.verdict is Verdict.LETS_THROUGH:
            return None
        if not answer.fits(self._came):
            # By what is known it should have been refused here: something that was read is not as it was.
            self._hidden = self._hidden or answer.verdict is Verdict.REFUSES
            return None
        if answer.verdict is Verdict.REFUSES:
            sure = not self._doubts and not self._hidden
            return _told(self._refusal, answer, PROVED if sure else CONSISTENT, self._doubts)
        self._doubts.append(answer)
        return None

    def best_doubt(self) -> Optional[Finding]:
        """What may have refused, where nothing refuses for certain."""
        named = [answer for answer in self._doubts if answer.at_most is not None]
        if not named:
            return None
        best = max(named, key=lambda answer: answer.at_most.rank if answer.at_most is not None else 0)
        if best.by_exclusion and len(self._doubts) == 1 and not self._hidden:
            return _told(self._refusal, best, PROVED)
        return _told(self._refusal, best, doubts=[answer for answer in self._doubts if answer is not best])


def _first(refusal: Refusal) -> Optional[Finding]:
    reading = _Reading(refusal)
    name = refusal.request.name
    order = _MPROTECT if name in ("mprotect", "pkey_mprotect") else _RULES.get(name, ())
    for check in (*_BEFORE, *order, *_ANY_TIME):
        if isinstance(check, (forwards.Rule, EachVma)):
            for step in evaluate(refusal, (check,)):
                finding = reading.take(step.answer)
                if finding is not None:
                    return finding
        elif isinstance(check, _EachVmaBackwards):
            for part in refusal.reached():
                if refusal.probe.short and not part.vma.flags:
                    # What it may become is asked first: without an answer nothing behind it is sure to be reached.
                    break
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
    return reading.best_doubt()
