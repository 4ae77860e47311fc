"""What could not be looked at, because the target itself or a process of its would have had to answer (FUSE, …)."""

from __future__ import annotations

from wxtrace.frozen import replace
from wxtrace.model import facts
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Confidence
from wxtrace.model.event import Diagnosis

__all__ = ["with_unanswered"]

_WORDS = {
    facts.MAP: "the map of the memory",
    facts.OPEN_FILE: "seals and attributes of the open file",
    facts.MODULES: "what the security modules say of the files",
    facts.LIBRARY: "the headers of the mapped file",
    facts.STACK: "the stack",
}
_MAY_DECIDE = {facts.MAP, facts.OPEN_FILE, facts.MODULES}


def with_unanswered(diagnosis: Diagnosis, ctx: CallContext) -> Diagnosis:
    """The same diagnosis, with the word what is missing; not proved where that could have told another cause."""
    missing = [kind for kind in ctx.probe.unanswered if kind in _WORDS]
    if not missing:
        return diagnosis
    fact = "not seen, as no answer came in time: %s" % ", ".join(_WORDS[kind] for kind in missing)
    lacking = (
        diagnosis.confidence == Confidence.PROVED and ctx.decided != facts.BY_FILTER and _MAY_DECIDE & set(missing)
    )
    return replace(
        diagnosis,
        confidence=Confidence.CONSISTENT if lacking else diagnosis.confidence,
        evidence=(*diagnosis.evidence, seen(fact, "the helper process")),
    )
