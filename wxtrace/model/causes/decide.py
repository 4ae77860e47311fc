"""From a failed call to its cause: the rules in the kernel's own order, the first that holds wins.

The order of checks inside each call is mm/mmap.c, mm/mprotect.c and mm/mremap.c of Linux 6.18; mprotect looks at
one VMA after the other and changes each before it looks at the next.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, cast

from wxtrace.frozen import replace
from wxtrace.model.causes import answer as forwards
from wxtrace.model.causes import (
    fd,
    hugetlb,
    interference,
    kernel,
    lsm,
    may_split,
    mdwe,
    memfd,
    mount,
    mseal,
    pkey,
    secretmem,
    shadow_stack,
    unknown,
    vm_may,
)
from wxtrace.model.causes.address import below_minimum, brk, occupied, room, special, unmapped
from wxtrace.model.causes.answer import Answer, Verdict
from wxtrace.model.causes.argument import (
    aio,
    creation,
    madvise,
    mmap,
    mprotect,
    mremap,
    pointer,
    prctl,
    process_madvise,
    ranges,
    remap_file_pages,
    shm,
)
from wxtrace.model.causes.argument import seccomp as seccomp_arguments
from wxtrace.model.causes.base import (
    CONSISTENT,
    PROVED,
    Finding,
    Refusal,
    in_words,
    seen,
)
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.limit import fds, hugepages, map_count, memlock, overcommit, size
from wxtrace.model.causes.order import EachModule, EachVma, evaluate
from wxtrace.model.causes.seccomp.answered import filter_answers
from wxtrace.model.causes.selinux import rules as selinux
from wxtrace.model.enumerations import Confidence, Errno, Outcome
from wxtrace.model.event import Diagnosis, Evidence, Partial
from wxtrace.model.outcome import outcome_of_failure
from wxtrace.model.syscalls.row import Other

__all__ = ["Diagnosed", "diagnose", "diagnose_intercepted"]

_BEFORE: Tuple[Any, ...] = (filter_answers,)
_ANY_TIME: Tuple[Any, ...] = (unknown.interrupted,)
_IN_SHORT = seen(
    "such calls fail all the time, and not all was read anew at this one", "the time there is for looking at failures"
)

_FROM_BEFORE = frozenset({"/proc/PID/maps", "/proc/cpuinfo", "/sys/fs/selinux/access", "bpf(BPF_PROG_GET_NEXT_ID)"})


_FILE: Tuple[Any, ...] = (
    fd.no_dax,
    fd.write_mode,
    fd.swap_file,
    fd.append_only,
    fd.read_mode,
    mount.mount_noexec,
    mount.superblock_noexec,
    fd.not_mappable,
    mmap.file_grows_down,
    memfd.write_seal,
)
# security_mmap_file, from mm/util.c:vm_mmap_pgoff, before all that mmap checks of its arguments.
_MMAP_FILE = EachModule(
    selinux=selinux.selinux_at_mmap,
    apparmor=lsm.apparmor_at_mmap,
    smack=lsm.smack_at_mmap,
    bpf=lsm.bpf_at_mmap,
    ipe=lsm.ipe_at_mmap,
    ima=lsm.ima_at_mmap,
    unlisted=lsm.unlisted_at_mmap,
)
# security_mmap_addr, behind the capability for low addresses.
_MMAP_ADDR = EachModule(selinux=selinux.selinux_at_address, bpf=lsm.bpf_at_address)
_FILE_MPROTECT = EachModule(
    selinux=selinux.selinux_at_mprotect,
    apparmor=lsm.apparmor_at_mprotect,
    bpf=lsm.bpf_at_mprotect,
    ipe=lsm.ipe_at_mprotect,
    ima=lsm.ima_at_mprotect,
    unlisted=lsm.unlisted_at_mprotect,
)

_NEW_MEMORY: Tuple[Any, ...] = (
    mdwe.mdwe_at_mmap,
    map_count.split_by_unmapping,
    mseal.sealed,
    may_split.cut_by_a_new_mapping,
    size.address_space,
    size.data,
    overcommit.overcommit,
)
_DESCRIPTOR: Tuple[Any, ...] = (fds.files_of_machine, fds.open_files)

_RULES: Dict[str, Tuple[Any, ...]] = {
    "mmap": (
        mmap.offset,
        fd.bad_descriptor,
        hugetlb.size_or_file,
        _MMAP_FILE,
        mmap.length,
        map_count.map_count,
        room.beyond_the_end,
        room.no_gap,
        mmap.fixed_address,
        hugetlb.alignment,
        below_minimum.below_minimum,
        _MMAP_ADDR,
        occupied.occupied,
        memlock.may_lock,
        memlock.memlock,
        mmap.mapping_type,
        fd.offset_overflow,
        *_FILE,
        *_NEW_MEMORY,
        hugetlb.offset,
        hugepages.hugepages,
        secretmem.private_mapping,
        memlock.secret_memory,
        memlock.perf_ring,
        fd.driver,
    ),
    "shmat": (
        shm.address,
        shm.segment,
        shm.access,
        selinux.selinux_at_segment,
        _MMAP_FILE,
        shm.removed,
        shm.range_of_segment,
        occupied.occupied,
        map_count.map_count,
        room.beyond_the_end,
        room.no_gap,
        below_minimum.below_minimum,
        _MMAP_ADDR,
        memlock.memlock,
        mdwe.mdwe_at_mmap,
        mseal.sealed,
        may_split.cut_by_a_new_mapping,
        size.address_space,
    ),
    "shmdt": (shm.detach_address, mseal.sealed, shm.attached),
    "munmap": (ranges.munmap, map_count.split_by_unmapping, mseal.sealed, may_split.cut),
    "mremap": (
        mremap.arguments,
        mremap.target,
        map_count.map_count,
        special.vsyscall,
        unmapped.unmapped,
        mseal.sealed,
        may_split.huge_pages_at_mremap,
        may_split.left_behind,
        map_count.split_by_unmapping,
        special.not_together,
        mremap.copy,
        mremap.one_mapping,
        special.cannot_grow,
        mremap.given_up,
        memlock.memlock,
        size.address_space,
        size.data,
        mseal.sealed_target,
        may_split.cut,
        below_minimum.below_minimum,
        _MMAP_ADDR,
        room.beyond_the_end,
        room.cannot_stay,
        room.no_gap,
        map_count.move,
        overcommit.overcommit,
    ),
    "brk": (
        brk.below_start,
        size.break_data,
        mseal.sealed,
        memlock.memlock,
        brk.collision,
        size.address_space,
        size.data,
        map_count.map_count,
        overcommit.overcommit,
    ),
    "mseal": (kernel.no_call, ranges.mseal, special.vsyscall, unmapped.unmapped, EachVma((map_count.split,))),
    "madvise": (
        madvise.arguments,
        madvise.privilege,
        mseal.sealed,
        EachVma((map_count.split, madvise.memory)),
        madvise.not_built_in,
        special.vsyscall,
        unmapped.unmapped,
        madvise.not_carried_out,
    ),
    "process_madvise": (
        kernel.no_call,
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
        _MMAP_FILE,
        mdwe.mdwe_at_mmap,
        mseal.sealed,
        map_count.map_count,
    ),
    "memfd_create": (
        memfd.flags,
        memfd.noexec_sysctl,
        memfd.name,
        pointer.pointer,
        hugetlb.size_or_file,
        *_DESCRIPTOR,
    ),
    "memfd_secret": (secretmem.switched_off, creation.secret_flags, *_DESCRIPTOR),
    "pkey_alloc": (pkey.built_in, creation.key_rights, pkey.alloc),
    "pkey_free": (pkey.built_in, pkey.allocated),
    "map_shadow_stack": (
        shadow_stack.support,
        shadow_stack.unknown_flags,
        shadow_stack.room_for_token,
        shadow_stack.too_low,
        creation.stack_size,
        creation.stack_address,
        occupied.occupied,
    ),
    "arch_prctl": (shadow_stack.control, pointer.pointer),
    "prctl": (prctl.set_mdwe, interference.strict_mode, pointer.pointer),
    "seccomp": (
        seccomp_arguments.operation,
        interference.strict_mode,
        pointer.pointer,
        seccomp_arguments.filter_program,
        *_DESCRIPTOR,
    ),
    "fork": (overcommit.copying,),
    "clone": (overcommit.copying,),
    "clone3": (pointer.pointer, overcommit.copying),
    "io_setup": (
        pointer.pointer,
        aio.events,
        aio.context,
        map_count.map_count,
        memlock.memlock,
        size.address_space,
    ),
    "io_destroy": (aio.ring,),
    "ptrace": (interference.already_traced, pointer.pointer),
}


_MPROTECT: Tuple[Any, ...] = (
    mprotect.arguments,
    pkey.built_in,
    pkey.allocated,
    mseal.sealed,
    mprotect.growth,
    EachVma(
        (
            vm_may.may_not_become,
            mdwe.mdwe_at_mprotect,
            _FILE_MPROTECT,
            mseal.sealed_part,
            size.data_at_mprotect,
            overcommit.overcommit_at_mprotect,
            may_split.cut_by_mprotect,
            map_count.split,
        ),
        unmapped.unmapped,
    ),
    special.vsyscall,
)


class Diagnosed(NamedTuple):
    """Why a call failed, whether that is an alarm, and the events it refers to."""

    diagnosis: Diagnosis
    outcome: Outcome
    related: Tuple[int, ...]


def diagnose(refusal: Refusal, partial: Optional[Partial]) -> Diagnosed:
    """The diagnosis of a call that failed."""
    came = Errno(-refusal.result) if refusal.result < 0 else Errno.NONE
    finding = _first(refusal, came) or _told(refusal, came, unknown.unexplained(refusal, came))
    if refusal.probe.short:
        finding = replace(finding, evidence=(*map(_as_read, finding.evidence), _IN_SHORT))
    return _diagnosed(refusal, came, finding, partial)


def diagnose_intercepted(ctx: CallContext) -> Diagnosed:
    """The same of a call that a filter is known to have answered, or to have ended by a signal."""
    return _diagnosed(ctx, Errno.NONE, _told(ctx, Errno.NONE, filter_answers(ctx)))


def _as_read(evidence: Evidence) -> Evidence:
    """Evidence of a call that was not looked at closely, with where it is from (`wxtrace.model.known`)."""
    if "smaps" in evidence.source:
        return evidence._replace(source="the calls, and /proc/PID/smaps at an earlier failure")
    if evidence.source in _FROM_BEFORE:
        return evidence._replace(source=evidence.source + ", at an earlier failure")
    return evidence


def _diagnosed(ctx: CallContext, came: Errno, finding: Finding, partial: Optional[Partial] = None) -> Diagnosed:
    cause = CAUSES[finding.cause]
    diagnosis = Diagnosis(
        cause.id, cause.refused_by, finding.confidence, finding.summary, finding.evidence, finding.fixes, partial
    )
    outcome = outcome_of_failure(cause, ctx.request, came, ctx.kernel_decided, finding.case)
    return Diagnosed(diagnosis, outcome, finding.related)


class _Reading:
    """The answers of an order, held against the errno that came.

    The first answer that refuses with this errno is the cause. It is proved where no rule of another cause before it
    could not be known to let the call through, and none would have refused it with another errno: then something that
    was read is not as it was. Where none refuses for certain, the surest of those that cannot be known is told as such.
    """

    def __init__(self, ctx: CallContext, came: Errno) -> None:
        self._ctx = ctx
        self._came = came
        self._doubts: List[Answer] = []
        self._contradicted = False
        self._contradicted_at_first_doubt = False

    def take(self, answer: Answer) -> Optional[Finding]:
        """The cause, once an answer fits that no earlier one hides."""
        if answer.verdict is Verdict.LETS_THROUGH:
            return None
        if not answer.fits(self._came):
            self._contradicted = self._contradicted or answer.verdict is Verdict.REFUSES
            return None
        if answer.verdict is Verdict.REFUSES:
            sure = not self._contradicted and all(doubt.cause is answer.cause for doubt in self._doubts)
            confidence = Confidence.PROVED if sure else Confidence.CONSISTENT
            return _told(self._ctx, self._came, answer, confidence, self._doubts)
        if not self._doubts:
            self._contradicted_at_first_doubt = self._contradicted
        self._doubts.append(answer)
        return None

    def allow(self, finding: Finding) -> Finding:
        """What a rule says that is not yet asked forwards, behind what could not be known before it."""
        doubt = self.best_doubt() if finding.confidence != PROVED else None
        if doubt is not None and Confidence(doubt.confidence).rank >= Confidence(finding.confidence).rank:
            return doubt
        if finding.confidence != PROVED or not self._doubts:
            return finding
        more = _not_excluded(finding.cause, self._doubts)
        return replace(finding, confidence=CONSISTENT, evidence=(*finding.evidence, *more))

    def best_doubt(self) -> Optional[Finding]:
        """What may have refused, where nothing refuses for certain."""
        named = [answer for answer in self._doubts if answer.at_most is not None]
        if self._ctx.probe.short:
            # What was not looked at comes first: nothing behind it is sure to have been asked.
            named = list(takewhile(lambda answer: answer.at_most is not None, self._doubts))
        if not named:
            return None
        best = max(named, key=_rank)
        others = [answer for answer in self._doubts if answer.cause is not best.cause]
        # What comes behind it and refuses otherwise was never reached.
        if best.by_exclusion and not others and not self._contradicted_at_first_doubt:
            return _told(self._ctx, self._came, best, Confidence.PROVED)
        confidence = best.at_most
        alike = [answer for answer in others if answer.among is not None and answer.among is best.among]
        if alike:
            confidence = Confidence.POSSIBLE
            as_good = [answer for answer in alike if _rank(answer) == _rank(best)]
            if as_good:
                best = lsm.either(self._ctx, [best, *as_good])
                others = [answer for answer in others if answer not in as_good]
        finding = _told(self._ctx, self._came, best, confidence, others)
        if best.among is lsm.LSM_UNKNOWN:
            none = seen("none of the kernel's own rules explains %s" % self._came.name, "the evidence of this call")
            more = (none, *unknown.excluded_modules(self._ctx, self._came))
            finding = replace(finding, evidence=(*finding.evidence, *more))
        return finding


def _told(
    ctx: CallContext,
    came: Errno,
    answer: Answer,
    confidence: Optional[Confidence] = None,
    doubts: Sequence[Answer] = (),
) -> Finding:
    """An answer in words; `confidence` is its own unless the others lower it. `doubts`: what cannot be excluded."""
    cause = answer.cause
    assert cause is not None
    name = "" if came is Errno.NONE else came.name
    words = {"errno": name, "call": ctx.request.name, "kernel": ctx.host.kernel, **answer.words}
    summary, fixes = in_words(cause.id, answer.case, **words)
    evidence = (*answer.evidence, *_not_excluded(cause.id, doubts))
    sure = confidence or answer.at_most or Confidence.POSSIBLE
    return Finding(cause.id, sure, summary, evidence, fixes, answer.related, answer.case)


def _not_excluded(cause: str, doubts: Sequence[Answer]) -> Tuple[Evidence, ...]:
    """Why something is not proved: what comes before it, and what would settle that."""
    lines: Dict[Evidence, None] = {}
    for doubt in doubts:
        if doubt.cause is not None and doubt.cause.id != cause:
            name = doubt.cause.id
            if doubt.cause is lsm.LSM_UNKNOWN and "modules" in doubt.words:
                name = str(doubt.words["modules"])
            need = doubt.missing[0] if doubt.missing else None
            why = ": not known is %s" % need.words if need is not None else ""
            source = need.source if need is not None else "the order of the kernel's checks"
            lines[seen("%s cannot be excluded%s" % (name, why), source)] = None
    return tuple(lines)


def _rank(answer: Answer) -> int:
    return answer.at_most.rank if answer.at_most is not None else 0


def _order(ctx: CallContext) -> Tuple[Any, ...]:
    if isinstance(ctx.request, Other):
        # Its arguments could not be read.
        return (pointer.pointer,)
    name = ctx.request.name
    return _MPROTECT if name in ("mprotect", "pkey_mprotect") else _RULES.get(name, ())


def _first(ctx: CallContext, came: Errno) -> Optional[Finding]:
    reading = _Reading(ctx, came)
    for check in (*_BEFORE, *_order(ctx), *_ANY_TIME):
        if isinstance(check, (forwards.Rule, EachVma, EachModule)):
            for step in evaluate(ctx, (check,)):
                finding = reading.take(step.answer)
                if finding is not None:
                    return finding
        else:
            finding = cast(Optional[Finding], check(ctx))
            if finding is not None:
                return reading.allow(finding)
    return reading.best_doubt()
