"""The kernel's order of checks, asked forwards.

A call passes its checks one after the other, and the first that refuses decides; mprotect makes some of them for each
VMA, and changes one VMA before it looks at the next. `evaluate` asks every check of that order about one call. Why a
call was refused, whether one would be, and what one that succeeded has passed are three readings of its answers.
"""

from __future__ import annotations

from typing import Dict, Generic, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar, Union

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, Rule, Verdict, VmaRule
from wxtrace.model.causes.context import CallContext, Part

__all__ = ["Check", "EachModule", "EachVma", "Order", "Step", "evaluate", "refused_by"]

_Asked = TypeVar("_Asked", Rule, VmaRule)


class EachModule(Generic[_Asked]):
    """One hook of the security modules: they are asked in their order, and the first that refuses decides.

    The rules by the names of the modules in /sys/kernel/security/lsm; a module that is not listed there is asked last
    (IMA before Linux 6.9; all of them where the list cannot be read).
    """

    def __init__(self, **rules: _Asked) -> None:
        self.rules: Dict[str, _Asked] = rules

    def in_order(self, lsm: Sequence[str]) -> List[_Asked]:
        """The rules, in the order of this list of modules."""
        listed: List[_Asked] = [self.rules[name] for name in lsm if name in self.rules]
        others: List[_Asked] = [rule for name, rule in self.rules.items() if name not in lsm]
        return listed + others


class EachVma(NamedTuple):
    """Checks of each VMA of the range, in address order; `hole` is asked where nothing is mapped."""

    rules: Tuple[Union[VmaRule, EachModule[VmaRule]], ...]
    hole: Optional[Rule] = None


Check = Union[Rule, EachModule[Rule], EachVma]
Order = Tuple[Check, ...]


class Step(NamedTuple):
    """One rule that was asked, about the whole call or about one VMA, and what it answered."""

    rule: Union[Rule, VmaRule]
    part: Optional[Part]
    answer: Answer


def evaluate(ctx: CallContext, order: Order) -> Iterator[Step]:
    """Every rule of the order with its answer. Nothing is left out behind a refusal: whoever reads it decides."""
    for check in order:
        if isinstance(check, EachVma):
            yield from _each_vma(ctx, check)
        else:
            for rule in check.in_order(ctx.host.lsm) if isinstance(check, EachModule) else (check,):
                yield Step(rule, None, _kept(rule, rule(ctx), ctx))


def refused_by(ctx: CallContext, order: Order) -> Tuple[Optional[Step], List[Step]]:
    """The first step that refuses for certain, and those before it that cannot be known."""
    unknown: List[Step] = []
    for step in evaluate(ctx, order):
        if step.answer.verdict is Verdict.REFUSES:
            return step, unknown
        if step.answer.verdict is Verdict.UNKNOWN:
            unknown.append(step)
    return None, unknown


def _each_vma(ctx: CallContext, check: EachVma) -> Iterator[Step]:
    parts = ctx.reached()
    covered, last, end = ctx.passed, ctx.stopped_at, max(ctx.end, ctx.start + 1)
    for part in parts:
        line = part.vma.line
        if check.hole is not None and covered < line.start and covered <= last:
            yield Step(check.hole, None, _kept(check.hole, check.hole(ctx), ctx))
        # [vsyscall] has a line in maps, and is no VMA.
        for each in check.rules if line.path != "[vsyscall]" else ():
            for rule in each.in_order(ctx.host.lsm) if isinstance(each, EachModule) else (each,):
                yield Step(rule, part, _kept(rule, rule(ctx, part), ctx))
        covered = line.end
    if check.hole is not None and covered < end and covered <= last:
        yield Step(check.hole, None, _kept(check.hole, check.hole(ctx), ctx))


def _kept(rule: Union[Rule, VmaRule], answer: Answer, ctx: CallContext) -> Answer:
    """An answer that no entry promises is none (a test holds every rule to its entries)."""
    return answer if rule.keeps(answer, ctx.request.name) else LETS_THROUGH
