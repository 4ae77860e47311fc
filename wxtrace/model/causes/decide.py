"""From a failed call to its cause: the rules in the kernel's own order, the first that holds wins.

The order of checks inside each call is mm/mmap.c, mm/mprotect.c and mm/mremap.c of Linux 6.18; mprotect looks at
one VMA after the other and changes each before it looks at the next.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, cast

from wxtrace.frozen import replace
from wxtrace.model.causes import (
    addresses,
    advice,
    arguments,
    descriptors,
    features,
    interference,
    limits,
    modules,
    protections,
    segments,
    selinux,
    unknown,
)
from wxtrace.model.causes import answer as forwards
from wxtrace.model.causes.answer import Answer, Verdict
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
        arguments.offset_alignment,
        descriptors.bad_descriptor,
        features.huge_page_size,
        selinux.policy_denies_mmap,
        arguments.mmap_arguments,
        arguments.huge_range,
        descriptors.offset_overflow,
        limits.map_count,
        addresses.no_room,
        addresses.no_gap,
        addresses.below_minimum,
        selinux.low_address,
        addresses.occupied,
        limits.memlock,
        *_FILE,
        selinux.selinux_at_mmap,
        *_NEW_MEMORY,
        descriptors.secret_memory,
        features.bad_pointer,
        modules.module_with_sign,
        descriptors.driver_refused,
    ),
    "shmat": (
        segments.shmat_arguments,
        segments.segment_access,
        selinux.selinux_at_mmap,
        arguments.huge_range,
        addresses.below_minimum,
        selinux.low_address,
        limits.map_count,
        limits.memlock,
        protections.mdwe_at_mmap,
        protections.sealed,
        limits.address_space,
    ),
    "shmdt": (protections.sealed, segments.shmdt_arguments),
    "munmap": (arguments.munmap_arguments, protections.sealed, protections.whole_only, limits.map_count),
    "mremap": (
        arguments.mremap_arguments,
        limits.map_count,
        addresses.unmapped,
        protections.sealed,
        protections.whole_only,
        addresses.not_together,
        addresses.across_mappings,
        limits.memlock,
        limits.address_space,
        limits.data,
        addresses.below_minimum,
        selinux.low_address,
        addresses.no_room,
        addresses.cannot_stay,
        addresses.no_gap,
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
    "mseal": (arguments.mseal_arguments, addresses.vsyscall, addresses.unmapped, limits.map_count),
    "madvise": (
        advice.advice_arguments,
        arguments.huge_range,
        protections.sealed,
        limits.map_count,
        advice.advice_for_memory,
        addresses.vsyscall,
        addresses.unmapped,
    ),
    "process_madvise": (features.bad_pointer, advice.remote_advice),
    "remap_file_pages": (segments.remap_arguments, protections.sealed, addresses.unmapped, limits.map_count),
    "memfd_create": (
        features.memfd_flags,
        features.memfd_must_not_run,
        features.huge_page_size,
        features.bad_pointer,
        limits.open_files,
    ),
    "memfd_secret": (features.secret_memory_off, limits.open_files),
    "pkey_alloc": (features.protection_key,),
    "pkey_free": (features.protection_key,),
    "map_shadow_stack": (features.shadow_stack, addresses.occupied),
    "arch_prctl": (features.shadow_stack, features.bad_pointer),
    "prctl": (features.mdwe_arguments, interference.strict_mode, features.bad_pointer),
    "seccomp": (interference.strict_mode, features.bad_pointer, limits.open_files),
    "fork": (limits.overcommit,),
    "clone": (limits.overcommit,),
    "clone3": (features.bad_pointer, limits.overcommit),
    "io_setup": (features.bad_pointer, features.aio_arguments, limits.address_space, limits.map_count),
    "io_destroy": (features.aio_arguments,),
    "ptrace": (interference.already_traced, features.bad_pointer),
}


class _EachVmaBackwards(NamedTuple):
    rules: Tuple[Any, ...]


_MPROTECT: Tuple[Any, ...] = (
    arguments.mprotect_arguments,
    arguments.huge_range,
    _EachVmaBackwards(
        (
            protections.may_not_become,
            protections.mdwe_at_mprotect,
            selinux.selinux_at_mprotect,
        )
    ),
    protections.sealed,
    addresses.vsyscall,
    addresses.unmapped,
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
