"""What refused memory had been allowed earlier: a permission that was given up and is now wanted back."""

from __future__ import annotations

from typing import Iterable

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import seen
from wxtrace.model.event import Diagnosis
from wxtrace.model.region import Piece
from wxtrace.model.syscalls.mprotect import Mprotect

__all__ = ["with_earlier"]


def with_earlier(diagnosis: Diagnosis, ctx: CallContext, pieces: Iterable[Piece]) -> Diagnosis:
    """The same diagnosis, with the word that this memory was executable once. `pieces` are the map of the range."""
    if not isinstance(ctx.request, Mprotect) or not ctx.wants & f.PROT_EXEC:
        return diagnosis
    refused = [(part.vma.line.start, part.vma.line.end) for part in ctx.reached()]
    pieces = [p for p in pieces if any(start < p.end and p.start < end for start, end in refused)]
    lost = next((p for p in pieces if p.earlier & f.PROT_EXEC and not p.prot & f.PROT_EXEC), None)
    if lost is None:
        return diagnosis
    said = "; it had been executable earlier"
    if diagnosis.cause == "mdwe":
        # include/linux/mman.h:map_deny_write_exec looks at the protection of the moment only.
        said += ", but what is given up under MDWE does not come back"
    fact = "%#x-%#x had been executable before it was made %s" % (lost.start, lost.end, f.prot_letters(lost.prot))
    return replace(
        diagnosis,
        summary=diagnosis.summary + said,
        evidence=(*diagnosis.evidence, seen(fact, "the calls since it was made")),
    )
