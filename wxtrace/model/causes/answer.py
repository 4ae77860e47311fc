"""What a rule answers when it is asked whether the kernel would refuse a call there.

It refuses, it lets through, or it cannot be known without some evidence. A rule is asked forwards: it sees the state
before the call and never the errno that came.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Callable, Iterable, Mapping, Optional, Tuple, Union

from wxtrace.frozen import Frozen
from wxtrace.model.causes.entry import Cause, Need
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.event import Evidence

if TYPE_CHECKING:
    from wxtrace.model.causes.context import CallContext, Part

__all__ = [
    "LETS_THROUGH",
    "Answer",
    "Rule",
    "Verdict",
    "VmaRule",
    "cannot_tell",
    "first_of",
    "may_refuse",
    "refuses",
    "rule",
    "vma_rule",
]


class Verdict(Enum):
    """The three things that a rule can say."""

    REFUSES = "refuses"
    LETS_THROUGH = "lets through"
    UNKNOWN = "cannot be known"


class Answer(Frozen):
    """One rule's answer about one call, or about one VMA of it.

    `errnos`: what the kernel would give, more than one where that cannot be told. `missing`: what would settle an
    answer that is UNKNOWN. `by_exclusion`: an UNKNOWN answer that is proved where every other rule of the order
    answers otherwise. `at_most`: None for an answer that says only that something could not be looked at. `among`: the
    cause to name where another answer with the same one fits as well. `signal`: the call does not return, this signal
    comes in its place.
    """

    verdict: Verdict
    cause: Optional[Cause] = None
    errnos: Tuple[Errno, ...] = ()
    case: str = ""
    words: Mapping[str, object] = {}
    evidence: Tuple[Evidence, ...] = ()
    missing: Tuple[Need, ...] = ()
    related: Tuple[int, ...] = ()
    at_most: Optional[Confidence] = Confidence.PROVED
    by_exclusion: bool = False
    among: Optional[Cause] = None
    signal: str = ""

    def fits(self, came: Errno) -> bool:
        """Whether this answer explains an errno: every one where the entry promises any."""
        return came in self.errnos if self.errnos else not self.signal and came is not Errno.NONE


LETS_THROUGH = Answer(Verdict.LETS_THROUGH)
Given = Union[Errno, Tuple[Errno, ...], None]
"""The errno that a check gives, or those that it may give; None where the entry tells it."""


def refuses(
    ctx: CallContext,
    cause: Cause,
    *evidence: Evidence,
    errno: Given = None,
    case: str = "",
    certain: bool = True,
    at_most: Confidence = Confidence.PROVED,
    related: Tuple[int, ...] = (),
    **words: object,
) -> Answer:
    """The kernel refuses with `errno`, which may be left out where the entry names one for this call.

    Unknown instead where the rule is not `certain`, evidence that the entry needs is missing, or not all was read anew.
    """
    # Most programs are refused nothing, and never need this.
    from wxtrace.model.causes.needs import unmet

    errnos = _errnos(ctx, cause, errno)
    missing = unmet(cause.needs, ctx)
    verdict = (
        Verdict.REFUSES
        if certain and not missing and not ctx.probe.short and at_most is Confidence.PROVED
        else Verdict.UNKNOWN
    )
    if verdict is Verdict.UNKNOWN and at_most is Confidence.PROVED:
        at_most = Confidence.CONSISTENT
    signal = (
        "" if errnos else next((given for given in cause.gives(ctx.request.name) or () if isinstance(given, str)), "")
    )
    return Answer(verdict, cause, errnos, case, words, evidence, missing, related, at_most, signal=signal)


def may_refuse(
    ctx: CallContext,
    cause: Cause,
    *evidence: Evidence,
    errno: Given = None,
    without: Tuple[Need, ...] = (),
    case: str = "",
    at_most: Confidence = Confidence.CONSISTENT,
    by_exclusion: bool = False,
    related: Tuple[int, ...] = (),
    among: Optional[Cause] = None,
    **words: object,
) -> Answer:
    """Whether the kernel refuses cannot be known; if it did, this is what to say.

    `by_exclusion`: nothing shows it directly, but where all else is known not to refuse, it is proved; not so where
    evidence that the entry needs is missing. `among`: the cause to name where another one with the same `among` cannot
    be excluded either.
    """
    from wxtrace.model.causes.needs import unmet

    errnos = _errnos(ctx, cause, errno)
    missing = (*without, *unmet(cause.needs, ctx))
    by_exclusion = by_exclusion and not missing
    return Answer(Verdict.UNKNOWN, cause, errnos, case, words, evidence, missing, related, at_most, by_exclusion, among)


def cannot_tell(ctx: CallContext, cause: Cause, *missing: Need, errno: Given = None) -> Answer:
    """Not looked at: enough to keep another cause from being proved, not enough to name this one."""
    return Answer(Verdict.UNKNOWN, cause, _errnos(ctx, cause, errno), missing=missing, at_most=None)


def first_of(answers: Iterable[Answer]) -> Answer:
    """Of answers about one thing after the other: the first that refuses, else the first that cannot be known."""
    unknown = LETS_THROUGH
    for answer in answers:
        if answer.verdict is Verdict.REFUSES:
            return answer
        if unknown is LETS_THROUGH:
            unknown = answer
    return unknown


def _errnos(ctx: CallContext, cause: Cause, errno: Given) -> Tuple[Errno, ...]:
    if isinstance(errno, Errno):
        return (errno,)
    if errno is not None:
        return errno
    return tuple(given for given in cause.gives(ctx.request.name) or () if isinstance(given, Errno))


Ask = Callable[["CallContext"], Answer]
AskVma = Callable[["CallContext", "Part"], Answer]


class _Named:
    def __init__(self, causes: Tuple[Cause, ...], name: str, doc: str) -> None:
        self.causes = causes
        self.name = name
        self.doc = doc

    def keeps(self, answer: Answer, call: str) -> bool:
        """Whether an answer is one that the entries of this rule promise for a call."""
        if answer.verdict is Verdict.LETS_THROUGH:
            return True
        cause = answer.cause
        return cause in self.causes and all(cause.promises(call, errno) for errno in answer.errnos)

    def concerns(self, call: str) -> bool:
        """Whether an entry of this rule names that call."""
        return any(cause.gives(call) is not None for cause in self.causes)


class Rule(_Named):
    """One check that the kernel makes of a call as a whole."""

    def __init__(self, causes: Tuple[Cause, ...], ask: Ask) -> None:
        super().__init__(causes, ask.__name__, ask.__doc__ or "")
        self.ask = ask

    def __call__(self, ctx: CallContext) -> Answer:
        """LETS_THROUGH for calls that no entry names."""
        if not self.concerns(ctx.request.name):
            return LETS_THROUGH
        return self.ask(ctx)


class VmaRule(_Named):
    """One check that the kernel makes of each VMA of a range, in address order."""

    def __init__(self, causes: Tuple[Cause, ...], ask: AskVma) -> None:
        super().__init__(causes, ask.__name__, ask.__doc__ or "")
        self.ask = ask

    def __call__(self, ctx: CallContext, part: Part) -> Answer:
        """LETS_THROUGH for calls that no entry names."""
        if not self.concerns(ctx.request.name):
            return LETS_THROUGH
        return self.ask(ctx, part)


def rule(*causes: Cause) -> Callable[[Ask], Rule]:
    """Make a rule of a function. The entries of `causes` say for which calls it is tried, and which errnos it gives."""
    return lambda ask: Rule(causes, ask)


def vma_rule(*causes: Cause) -> Callable[[AskVma], VmaRule]:
    """The same for a check of one VMA."""
    return lambda ask: VmaRule(causes, ask)
