"""The policy's own answers, and which permission they say was refused.

They are selinuxfs's, taken at the refusal (`wxtrace.model.restrictions.SelinuxState`).
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.selinux.checks import Check
from wxtrace.model.enumerations import Confidence
from wxtrace.model.event import Evidence
from wxtrace.model.restrictions import PolicyAnswer

__all__ = ["Decision", "active", "answer_about", "decide", "is_granted", "selinux_grants"]


class Decision(NamedTuple):
    """Which permission was refused, and how sure that is. `answered`: by the policy itself."""

    check: Check
    permissions: Tuple[Check, ...]
    confidence: Confidence
    answered: bool

    @property
    def by_exclusion(self) -> bool:
        """Whether nothing shows that it was asked for, but all else is granted."""
        return self.answered and not self.check.certain and len(self.permissions) == 1


def active(ctx: CallContext) -> Optional[bool]:
    """Whether SELinux enforces: True, False, or None where it runs and does not say."""
    state = ctx.probe.selinux
    if state is not None:
        return state.enforcing
    if ctx.host.selinux_enforcing is None and "selinux" in ctx.host.lsm:
        return None
    return bool(ctx.host.selinux_enforcing)


def answer_about(ctx: CallContext, check: Check, about: str) -> Optional[PolicyAnswer]:
    """What the policy said of the class and object of a check; `about` as in PolicyAnswer."""
    state = ctx.probe.selinux
    if state is None:
        return None
    for answer in state.answers:
        if check.tclass in ("process", "memprotect"):
            if answer.tclass == check.tclass:
                return answer
        elif answer.about == about and about:
            return answer
    return None


def is_granted(ctx: CallContext, check: Check, about: str) -> Optional[bool]:
    """Whether the policy grants one permission, or refuses nothing to this domain; None where it was not asked."""
    answer = answer_about(ctx, check, about)
    if answer is None:
        return None
    if answer.permissive or check.permission in answer.granted:
        return True
    return False if check.permission in answer.refused else None


def decide(ctx: CallContext, checks: List[Check], about: str) -> Optional[Decision]:
    """The kernel asks in this order, and stops at the first permission that is not granted; None: all are."""
    doubtful: List[Check] = []
    for check in checks:
        granted = is_granted(ctx, check, about)
        if granted is None:
            return _undecided(ctx, checks, about)
        if granted:
            continue
        if check.certain:
            sure = Confidence.PROVED if not doubtful else Confidence.CONSISTENT
            return Decision(_likeliest([*doubtful, check]), (*doubtful, check), sure, True)
        doubtful.append(check)
    if not doubtful:
        return None
    # All else is granted: it can only have been this one, if nothing but the policy can have refused.
    sure = Confidence.PROVED if len(doubtful) == 1 else Confidence.CONSISTENT
    return Decision(_likeliest(doubtful), tuple(doubtful), sure, True)


def _likeliest(checks: List[Check]) -> Check:
    return next((check for check in checks if check.likely), checks[0])


def _undecided(ctx: CallContext, checks: List[Check], about: str) -> Optional[Decision]:
    """Some answer is missing: what may have been refused, the exec permissions first."""
    open_checks = [check for check in checks if is_granted(ctx, check, about) is not True]
    candidates = [check for check in open_checks if check.permission.startswith("exec")] or open_checks
    if not candidates:
        return None
    only = len(candidates) == 1 and candidates[0].certain and active(ctx) is True
    confidence = Confidence.CONSISTENT if only else Confidence.POSSIBLE
    return Decision(_likeliest(candidates), tuple(candidates), confidence, False)


def selinux_grants(ctx: CallContext) -> Optional[Evidence]:
    """That the policy was asked and grants all that the kernel asked for: then it was not SELinux."""
    state = ctx.probe.selinux
    if state is None or not state.answers or state.why_not:
        return None
    if any(answer.refused and not answer.permissive for answer in state.answers):
        return None
    return seen("SELinux was asked, and its policy grants the access", "/sys/fs/selinux/access")
