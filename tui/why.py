"""The why pane: everything that is known of one event, most telling first."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Optional

from wxtrace.commands.wording import (
    arguments_text,
    by_whom,
    call_text,
    ending_text,
    frame_text,
    kind_text,
    ladder_text,
    memory_text,
    result_text,
)
from wxtrace.model.causes.evidence import size_text
from wxtrace.model.enumerations import Confidence, Outcome
from wxtrace.model.event import Amendment, CallStack, Event, Ladder, Touched
from wxtrace.model.region import Region
from wxtrace.model.space import AddressSpace
from wxtrace.model.trampolines import TRICKS
from wxtrace.printable import printable
from wxtrace.tui.lines import Line, Span, labelled
from wxtrace.tui.short import seconds_text

__all__ = ["why_lines"]

_MOST_PARTS = 8
_OUTCOMES = {
    Outcome.OK: "",
    Outcome.REFUSED: "REFUSED",
    Outcome.FAKED: "FAKED: reported as done, and nothing was done",
    Outcome.FAILED: "failed: the call could never work",
    Outcome.PROBE: "a probe: a failure that healthy programs make on purpose",
    Outcome.UNFINISHED: "never came back",
}
_CONFIDENCE = {
    Confidence.PROVED: "proved: the evidence excludes every other cause",
    Confidence.CONSISTENT: "consistent: all that was seen fits, but something else could have said the same",
    Confidence.POSSIBLE: "possible: a guess",
}


def why_lines(
    event: Event,
    who: str,
    space: Optional[AddressSpace],
    amendment: Optional[Amendment],
    stack: Optional[CallStack],
    width: int,
    origin_of: Callable[[Optional[int]], Optional[str]] = lambda _: None,
) -> List[Line]:
    """The lines for one event. `space` is its address space right after it, `width` in cells.

    `origin_of` gives the word for how a region became executable (wxtrace.model.origins).
    """
    return [*_lines(event, space, amendment, stack, width, origin_of), *_who(event, who, width)]


def _lines(
    event: Event,
    space: Optional[AddressSpace],
    amendment: Optional[Amendment],
    stack: Optional[CallStack],
    width: int,
    origin_of: Callable[[Optional[int]], Optional[str]],
) -> Iterator[Line]:
    alarm = event.outcome in (Outcome.REFUSED, Outcome.FAKED)
    result = result_text(event)
    text = printable(call_text(event), 2000) + (" = " + result if result else "")
    label = {Outcome.REFUSED: "REFUSED", Outcome.FAKED: "FAKED"}.get(event.outcome, "event")
    for line in labelled(label, text, width, "refused" if alarm else "heading", copy=text):
        if alarm:
            line.spans[0] = Span(line.spans[0].text, "refused")
        yield line
    diagnosis = event.diagnosis
    if diagnosis is not None:
        yield from labelled("why", printable(diagnosis.summary, 1000), width, "heading", copy=diagnosis.summary)
        yield from labelled("by", _by(diagnosis), width)
    elif _OUTCOMES.get(event.outcome):
        yield from labelled("outcome", _OUTCOMES[event.outcome], width)
    yield from _memory(event, space, width, origin_of)
    if diagnosis is not None:
        if diagnosis.partial is not None:
            changed = diagnosis.partial
            text = "%d of %d pages were changed all the same" % (changed.changed_pages, changed.pages)
            yield from labelled("half done", text, width, "warn")
        label = "proof" if diagnosis.confidence is Confidence.PROVED else "seen"
        for evidence in diagnosis.evidence:
            text = "%s (%s)" % (printable(evidence.fact, 600), printable(evidence.source, 200))
            yield from labelled(label, text, width)
            label = ""
        for fix in diagnosis.fixes:
            text = "%s: %s" % (printable(fix.audience), printable(fix.text, 1000))
            yield from labelled("fix", text, width, "good", copy=fix.command or fix.text)
            if fix.command:
                yield from labelled("", "$ " + printable(fix.command, 1000), width, "command", copy=fix.command)
    ending = ending_text(amendment.aftermath, amendment.ending) if amendment is not None else ""
    if ending:
        yield from labelled("then", ending, width)
    if amendment is not None and amendment.ladder is not None:
        yield from _ladder(amendment.ladder, event.n, width)
    for n in amendment.related if amendment is not None else ():
        yield from labelled("related", "event %d" % n, width, "link", jump=n)
    label = "stack"
    for frame in stack.frames if stack is not None else ():
        yield from labelled(label, frame_text(frame), width)
        label = ""


def _who(event: Event, who: str, width: int) -> Iterator[Line]:
    text = "%s, thread %d, event %d, %s s after the start"
    yield from labelled("who", text % (who, event.tid, event.n, seconds_text(event.t_ns)), width)
    if event.diagnosis is None and event.details:
        for key, value in event.details.items():
            text = " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            yield from labelled(printable(key, 8), printable(text, 2000), width)


def _by(diagnosis: Any) -> str:
    by = by_whom(diagnosis.refused_by) + ", " if diagnosis.refused_by else ""
    confidence = _CONFIDENCE.get(diagnosis.confidence, printable(diagnosis.confidence))
    return "%scause %s; %s" % (by, printable(diagnosis.cause), confidence)


def _memory(
    event: Event, space: Optional[AddressSpace], width: int, origin_of: Callable[[Optional[int]], Optional[str]]
) -> Iterator[Line]:
    label = "memory"
    for part in event.touched[:_MOST_PARTS]:
        region = _region_of(part, space)
        path = region.backing.path if region is not None and region.backing is not None else ""
        text = memory_text(part, path, "")
        if part.after is not None and part.before is not None and part.after != part.before:
            text += ", now %s" % part.after
        elif part.after is None and part.before is not None and event.outcome is Outcome.OK:
            text += ", gone"
        elif part.before is None and part.after is not None:
            text = "%#x-%#x %s, %s of %s, new%s" % (
                part.start,
                part.end,
                part.after,
                size_text(part.end - part.start),
                kind_text(part.provenance),
                ", " + printable(path) if path else "",
            )
        yield from labelled(label, text, width)
        label = ""
        if region is not None and region.created_by is not None and region.created_by != event.n:
            made = ": " + printable(arguments_text(region.made_by), 300) if region.made_by is not None else ""
            text = "made by event %d%s" % (region.created_by, made)
            yield from labelled("from", text, width, "link", jump=region.created_by)
        elif region is not None and region.created_by is None:
            found = "found in the map" if region.inferred else "there since the program was loaded"
            yield from labelled("from", found, width)
        origin = origin_of(part.region)
        if origin is not None:
            yield from labelled("exec", TRICKS.get(origin, origin), width)
        if part.sealed_by is not None:
            yield from labelled("sealed", "by event %d" % part.sealed_by, width, "link", jump=part.sealed_by)
    if len(event.touched) > _MOST_PARTS:
        yield from labelled("", "and %d more parts: see the region map (m)" % (len(event.touched) - _MOST_PARTS), width)


def _region_of(part: Touched, space: Optional[AddressSpace]) -> Optional[Region]:
    if space is None or part.region is None:
        return None
    piece = space.at(part.start)
    return piece.region if piece is not None and piece.region.id == part.region else None


def _ladder(ladder: Ladder, n: int, width: int) -> Iterator[Line]:
    yield from labelled("ways", ladder_text(ladder), width)
    for rung in ladder.rungs:
        if rung.n != n:
            ending = "refused: " + printable(rung.cause) if rung.cause is not None else "worked"
            text = "event %d: %s (%s)" % (rung.n, printable(rung.way, 200), ending)
            yield from labelled("", text, width, "link", jump=rung.n)
