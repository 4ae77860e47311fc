"""From a failed call to its cause: what the rules of the kernel's order answer, held against the errno that came."""

from __future__ import annotations

from itertools import takewhile
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from wxtrace.model.causes import lsm, unknown
from wxtrace.model.causes.answer import Answer, Verdict
from wxtrace.model.causes.argument import pointer
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Cause
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.order import Order, evaluate
from wxtrace.model.causes.seccomp.answered import filter_answers
from wxtrace.model.enumerations import Confidence, Errno, Outcome
from wxtrace.model.event import Diagnosis, Evidence, Fix, Partial
from wxtrace.model.outcome import outcome_of_failure
from wxtrace.model.syscalls.row import Other
from wxtrace.model.syscalls.table import BY_NAME

__all__ = ["Diagnosed", "diagnose", "diagnose_intercepted"]

_IN_SHORT = seen(
    "such calls fail all the time, and not all was read anew at this one", "the time there is for looking at failures"
)
_FROM_BEFORE = frozenset({"/proc/PID/maps", "/proc/cpuinfo", "/sys/fs/selinux/access", "bpf(BPF_PROG_GET_NEXT_ID)"})


class _Finding(NamedTuple):
    """An answer in words."""

    cause: Cause
    case: str
    confidence: Confidence
    summary: str
    evidence: Tuple[Evidence, ...]
    fixes: Tuple[Fix, ...]
    related: Tuple[int, ...]


class Diagnosed(NamedTuple):
    """Why a call failed, whether that is an alarm, and the events it refers to."""

    diagnosis: Diagnosis
    outcome: Outcome
    related: Tuple[int, ...]


def diagnose(ctx: CallContext, came: Errno, partial: Optional[Partial]) -> Diagnosed:
    """The diagnosis of a call that failed with `came`."""
    finding = _cause_of(ctx, came) or _told(ctx, came, unknown.unexplained(ctx, came))
    if ctx.probe.short:
        finding = finding._replace(evidence=(*map(_as_read, finding.evidence), _IN_SHORT))
    return _diagnosed(ctx, came, finding, partial)


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


def _diagnosed(ctx: CallContext, came: Errno, finding: _Finding, partial: Optional[Partial] = None) -> Diagnosed:
    cause = finding.cause
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

    def take(self, answer: Answer) -> Optional[_Finding]:
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

    def best_doubt(self) -> Optional[_Finding]:
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
            finding = finding._replace(evidence=(*finding.evidence, *more))
        return finding


def _told(
    ctx: CallContext,
    came: Errno,
    answer: Answer,
    confidence: Optional[Confidence] = None,
    doubts: Sequence[Answer] = (),
) -> _Finding:
    """An answer in words; `confidence` is its own unless the others lower it. `doubts`: what cannot be excluded."""
    cause = answer.cause
    assert cause is not None
    name = "" if came is Errno.NONE else came.name
    words = {"errno": name, "call": ctx.request.name, "kernel": ctx.host.kernel, **answer.words}
    summary, fixes = cause.in_words(answer.case, **words)
    evidence = (*answer.evidence, *_not_excluded(cause, doubts))
    sure = confidence or answer.at_most or Confidence.POSSIBLE
    return _Finding(cause, answer.case, sure, summary, evidence, fixes, answer.related)


def _not_excluded(cause: Cause, doubts: Sequence[Answer]) -> Tuple[Evidence, ...]:
    """Why something is not proved: what comes before it, and what would settle that."""
    lines: Dict[Evidence, None] = {}
    for doubt in doubts:
        if doubt.cause is not None and doubt.cause is not cause:
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


def _order(ctx: CallContext) -> Order:
    """What any call passes first, its own checks, and what may end it at any time."""
    if isinstance(ctx.request, Other):
        # Its arguments could not be read.
        own: Order = (pointer.pointer,)
    else:
        row = BY_NAME.get(ctx.request.name)
        own = row.checks() if row is not None else ()
    return (filter_answers, *own, unknown.interrupted)


def _cause_of(ctx: CallContext, came: Errno) -> Optional[_Finding]:
    reading = _Reading(ctx, came)
    for step in evaluate(ctx, _order(ctx)):
        finding = reading.take(step.answer)
        if finding is not None:
            return finding
    return reading.best_doubt()
