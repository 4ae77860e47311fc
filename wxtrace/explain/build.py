"""From an event, and what is known around it, to its explanation."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, Tuple

from wxtrace.explain.document import Attempt, Attempts, Cause, Document, Memory, Who
from wxtrace.explain.wording import (
    arguments_text,
    by_whom,
    call_text,
    fallback_text,
    memory_text,
    new_memory_text,
    result_text,
)
from wxtrace.frozen import Frozen
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Amendment, CallStack, Event, Evidence, Fallback, Fix, Touched
from wxtrace.model.facts import RunStarted
from wxtrace.model.region import Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.trampolines import TRICKS
from wxtrace.printable import printable

__all__ = ["Context", "RegionOf", "explain", "head_text", "name_text", "regions_in", "since_of"]

_MOST_NAME = 40
_MOST_CALL = 4000
_MOST_TEXT = 1000
_MOST_FACT = 600

RegionOf = Callable[[Touched], Optional[Region]]


def _no_region(_: Touched) -> Optional[Region]:
    return None


def _no_origin(_: Optional[int]) -> Optional[str]:
    return None


class Context(Frozen):
    """What is known around an event. `who`: the program's name with its pid (`name_text`).

    `region_of` gives the region of a part of the event's range, `origin_of` the word for how a region (by id) became
    executable (wxtrace.model.origins). `fallback`: the attempts so far, where no amendment tells all of them yet.
    """

    who: str
    region_of: RegionOf = _no_region
    origin_of: Callable[[Optional[int]], Optional[str]] = _no_origin
    amendment: Optional[Amendment] = None
    stack: Optional[CallStack] = None
    fallback: Optional[Fallback] = None
    most_parts: int = 4
    # What times are counted from.
    since: str = "the start"


def since_of(run: Optional[RunStarted]) -> str:
    """What the times of a run are counted from."""
    return "the start" if run is None or run.attached is None else "attaching"


def regions_in(space: Optional[AddressSpace]) -> RegionOf:
    """Looks regions up in the map as it is now."""

    def region_of(part: Touched) -> Optional[Region]:
        if space is None or part.region is None:
            return None
        piece = space.at(part.start)
        return piece.region if piece is not None and piece.region.id == part.region else None

    return region_of


def name_text(title: str, pid: int) -> str:
    """`jit[4711]`, of what a process is called (wxtrace.model.processes)."""
    return "%s[%d]" % (printable(title or "?", _MOST_NAME), pid)


def head_text(event: Event) -> str:
    """`mprotect(0x7f…, 4096, PROT_READ|PROT_EXEC) = -1 EACCES (Permission denied)`."""
    result = result_text(event)
    return printable(call_text(event), _MOST_CALL) + (" = " + result if result else "")


def explain(event: Event, context: Context) -> Document:
    """All that is known of one event."""
    diagnosis, amendment = event.diagnosis, context.amendment
    fallback = amendment.fallback if amendment is not None and amendment.fallback is not None else context.fallback
    document: Dict[str, Any] = {}
    if diagnosis is not None:
        document = {
            "why": printable(diagnosis.summary, _MOST_TEXT),
            "cause": Cause(
                printable(diagnosis.cause),
                by_whom(diagnosis.refused_by) if diagnosis.refused_by else "",
                diagnosis.confidence,
            ),
            "evidence": tuple(
                Evidence(printable(fact, _MOST_FACT), printable(source)) for fact, source in diagnosis.evidence
            ),
            "half_done": tuple(diagnosis.partial) if diagnosis.partial is not None else None,
            "fixes": tuple(_fix(fix) for fix in diagnosis.fixes),
        }
    return Document(
        n=event.n,
        outcome=event.outcome,
        head=head_text(event),
        who=Who(context.who, event.tid, event.t_ns, context.since),
        memory=tuple(_memory(part, event, context) for part in event.touched[: context.most_parts]),
        unlisted=max(len(event.touched) - context.most_parts, 0),
        caller=context.stack.frames if context.stack is not None else (),
        attempts=_attempts(fallback) if fallback is not None else None,
        aftermath=amendment.aftermath if amendment is not None else None,
        ending=amendment.ending if amendment is not None else None,
        related=amendment.related if amendment is not None else (),
        details=_details(event),
        **document,
    )


def _fix(fix: Fix) -> Fix:
    command = printable(fix.command, _MOST_TEXT) if fix.command else None
    return Fix(printable(fix.audience), printable(fix.text, _MOST_TEXT), command)


def _memory(part: Touched, event: Event, context: Context) -> Memory:
    region = context.region_of(part)
    path = region.backing.path if region is not None and region.backing is not None else ""
    origin = context.origin_of(part.region)
    made_at, made_by, found = None, "", ""
    if region is not None and region.created_by is not None:
        made_at = region.created_by
        made_by = arguments_text(region.made_by) if region.made_by is not None else ""
    elif region is not None:
        found = "found in the map" if region.inferred else "there since the program was loaded"
    text, change = memory_text(part, path), ""
    if part.after is not None and part.before is not None and part.after != part.before:
        change = "now %s" % part.after
    elif part.after is None and part.before is not None and event.outcome is Outcome.OK:
        change = "gone"
    elif part.before is None and part.after is not None:
        text = new_memory_text(part, path)
    return Memory(
        text, change, made_at, made_by, found, TRICKS.get(origin, origin) if origin is not None else "", part.sealed_by
    )


def _attempts(fallback: Fallback) -> Attempts:
    ways = tuple(
        Attempt(attempt.n, printable(attempt.way, 200), printable(attempt.cause) if attempt.cause is not None else None)
        for attempt in fallback.attempts
    )
    return Attempts(fallback_text(fallback), ways)


def _details(event: Event) -> Tuple[Tuple[str, str], ...]:
    if event.diagnosis is not None or not event.details:
        return ()
    return tuple(
        (printable(key), printable(" ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value), 2000))
        for key, value in event.details.items()
    )
