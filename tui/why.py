"""The why pane: everything that is known of one event, most telling first."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional

from wxtrace.explain.document import Cause, Document, Memory
from wxtrace.explain.wording import ending_text, frame_text
from wxtrace.model.enumerations import Confidence, Outcome
from wxtrace.tui.compact_text import seconds_text
from wxtrace.tui.lines import Line, Span, labelled

__all__ = ["WhyItem", "why_items", "why_lines"]

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
_MOST_LABEL = 8


class WhyItem(NamedTuple):
    """One labelled text, however many lines it takes; without a label it belongs to the one before."""

    label: str
    text: str
    role: str = ""
    jump: Optional[int] = None
    copy: Optional[str] = None


def why_lines(document: Document, width: int) -> List[Line]:
    """The lines of the pane, `width` in cells."""
    lines: List[Line] = []
    for label, text, role, jump, copy in why_items(document):
        lines += labelled(label, text, width, role, jump, copy)
    if document.outcome in (Outcome.REFUSED, Outcome.FAKED):
        lines[0].spans[0] = Span(lines[0].spans[0].text, "refused")
    return lines


def why_items(document: Document) -> Iterator[WhyItem]:
    """What the pane says."""
    alarm = document.outcome in (Outcome.REFUSED, Outcome.FAKED)
    label = {Outcome.REFUSED: "REFUSED", Outcome.FAKED: "FAKED"}.get(document.outcome, "event")
    yield WhyItem(label, document.head, "refused" if alarm else "heading", copy=document.head)
    if document.cause is not None:
        yield WhyItem("why", document.why, "heading", copy=document.why)
        yield WhyItem("by", _by(document.cause))
    elif _OUTCOMES.get(document.outcome):
        yield WhyItem("outcome", _OUTCOMES[document.outcome])
    label = "memory"
    for part in document.memory:
        yield from _memory(label, part, document.n)
        label = ""
    if document.unlisted:
        yield WhyItem("", "and %d more parts: see the region map (m)" % document.unlisted)
    yield from _backing(document)
    yield from _what_then(document)
    label = "stack"
    for frame in document.caller:
        yield WhyItem(label, frame_text(frame))
        label = ""
    who = document.who
    text = "%s, thread %d, event %d, %s s after %s"
    yield WhyItem("who", text % (who.name, who.tid, document.n, seconds_text(who.t_ns), who.since))
    for key, text in document.details:
        yield WhyItem(key[:_MOST_LABEL], text)


def _by(cause: Cause) -> str:
    by = cause.by + ", " if cause.by else ""
    return "%scause %s; %s" % (by, cause.id, _CONFIDENCE[cause.confidence])


def _memory(label: str, part: Memory, n: int) -> Iterator[WhyItem]:
    yield WhyItem(label, part.text + (", " + part.change if part.change else ""))
    if part.made_at is not None and part.made_at != n:
        made = ": " + part.made_by if part.made_by else ""
        yield WhyItem("from", "made by event %d%s" % (part.made_at, made), "link", jump=part.made_at)
    elif part.found:
        yield WhyItem("from", part.found)
    if part.executable:
        yield WhyItem("exec", part.executable)
    if part.sealed_at is not None:
        yield WhyItem("sealed", "by event %d" % part.sealed_at, "link", jump=part.sealed_at)


def _backing(document: Document) -> Iterator[WhyItem]:
    if document.half_done is not None:
        yield WhyItem("half done", "%d of %d pages were changed all the same" % document.half_done, "warn")
    label = document.evidence_label
    for evidence in document.evidence:
        yield WhyItem(label, "%s (%s)" % evidence)
        label = ""
    for fix in document.fixes:
        yield WhyItem("fix", "%s: %s" % (fix.audience, fix.text), "good", copy=fix.command or fix.text)
        if fix.command:
            yield WhyItem("", "$ " + fix.command, "command", copy=fix.command)


def _what_then(document: Document) -> Iterator[WhyItem]:
    ending = ending_text(document.aftermath, document.ending) if document.aftermath is not None else ""
    if ending:
        yield WhyItem("then", ending)
    if document.attempts is not None:
        yield WhyItem("ways", document.attempts.text)
        for n, way, cause in document.attempts.attempts:
            if n != document.n:
                how = "refused: " + cause if cause is not None else "worked"
                yield WhyItem("", "event %d: %s (%s)" % (n, way, how), "link", jump=n)
    for n in document.related:
        yield WhyItem("related", "event %d" % n, "link", jump=n)
