"""What the rules about arguments have in common: the evidence of a value, and the checks that many calls make."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, refuses
from wxtrace.model.causes.argument.entries import ALIGNMENT
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Evidence

__all__ = ["HIGHEST", "alignment", "argument", "rounded"]

HIGHEST = 1 << 64
"""Addresses and lengths are unsigned 64-bit words: sums wrap here."""


def argument(fact: str) -> Evidence:
    """A fact that the registers tell."""
    return seen(fact, "the arguments of the call")


def rounded(ctx: CallContext, length: int) -> int:
    """PAGE_ALIGN, without the wrapping."""
    page = ctx.host.page_size
    return (length + page - 1) // page * page


def alignment(ctx: CallContext, what: str, value: int, case: str = "") -> Answer:
    """EINVAL for an address or offset inside a page."""
    page = ctx.host.page_size
    if value % page == 0:
        return LETS_THROUGH
    past = value % page
    fact = argument("%#x is %d byte%s past a multiple of %d" % (value, past, "s" * (past > 1), page))
    return refuses(ctx, ALIGNMENT, fact, errno=Errno.EINVAL, case=case, what=what)
