"""An explanation as it runs over a terminal, while the program goes on writing there."""

from __future__ import annotations

from typing import Callable, Iterator, List, Optional, Sequence

from wxtrace.explain.document import Document
from wxtrace.explain.palette import Palette
from wxtrace.explain.wording import caller_texts, ordinal, plural
from wxtrace.model.enumerations import Outcome
from wxtrace.model.frames import Frame

__all__ = ["TerminalText"]

_LABELS = 10
"""Columns."""


class TerminalText:
    """Makes lines, coloured by `palette`. `wrapped(text, indent)` gives a text's lines with room before each.

    `one_line`: what has a heading stays one line, for grep.
    """

    def __init__(self, palette: Palette, wrapped: Callable[[str, int], List[str]], one_line: bool) -> None:
        self._colour = palette
        self._wrapped = wrapped
        self._one_line = one_line

    def headed(self, head: str, colour: str, text: str) -> Iterator[str]:
        """A line with a heading, continued under itself."""
        first, *more = [text] if self._one_line else self._wrapped(text, len(head))
        word = head.rstrip()
        yield "%s%s%s%s%s" % (colour, word, self._colour.end, head[len(word) :], first)
        for line in more:
            yield " " * len(head) + line

    def item(self, label: str, text: str) -> Iterator[str]:
        """A label with its text."""
        return self._labelled(label, self._wrapped(text, _LABELS))

    def _labelled(self, label: str, texts: Sequence[str]) -> Iterator[str]:
        for text in texts:
            yield "  %s%-7s%s %s" % (self._colour.quiet, label, self._colour.end, text)
            label = ""

    # Parts of a document

    def head(self, document: Document) -> Iterator[str]:
        """What was refused, or faked."""
        word = "REFUSED" if document.outcome is Outcome.REFUSED else "FAKED"
        return self.headed("%-9s" % word, self._colour.refused, document.head)

    def reason(self, document: Document) -> Iterator[str]:
        """The sentence that everything else only backs, and its cause."""
        c, cause = self._colour, document.cause
        if cause is None:
            return
        yield from self.item("why", "%s%s%s" % (c.heading, document.why, c.end))
        by = "; refused by %s" % cause.by if cause.by else ""
        yield from self.item("", "%s[%s%s; %s]%s" % (c.quiet, cause.id, by, cause.confidence, c.end))

    def further_attempt(self, document: Document) -> Iterator[str]:
        """Not the first way that the program tries for one purpose: the reason, and what it is a part of."""
        c, cause, attempts = self._colour, document.cause, document.attempts
        if cause is None or attempts is None:
            return
        yield from self.item("why", "%s%s%s" % (c.heading, document.why, c.end))
        tried = attempts.attempts
        way = "the %s way tried to get executable memory, after event %d" % (ordinal(len(tried)), tried[-2].n)
        yield from self.item("", "%s[%s; %s; %s]%s" % (c.quiet, cause.id, cause.confidence, way, c.end))

    def memory(self, document: Document) -> Iterator[str]:
        """Each part of the range, and where it came from."""
        label = "memory"
        for part in document.memory:
            origin = part.found
            if part.made_at is not None:
                origin = "from event %d" % part.made_at + (": " + part.made_by if part.made_by else "")
            yield from self.item(label, "%s, %s" % (part.text, origin) if origin else part.text)
            label = ""
        if document.unlisted:
            yield from self.item("", "and %s more" % plural(document.unlisted, "part"))

    def who(self, document: Document) -> Iterator[str]:
        """Program, thread and time."""
        who = document.who
        return self.item("who", "%s, thread %d, %.3f s after %s" % (who.name, who.tid, who.t_ns / 1e9, who.since))

    def proof(self, document: Document) -> Iterator[str]:
        """What was seen, and what was done all the same."""
        c, label = self._colour, document.evidence_label
        for evidence in document.evidence:
            yield from self.item(label, "%s %s(%s)%s" % (evidence.fact, c.quiet, evidence.source, c.end))
            label = ""
        if document.half_done is not None:
            changed, pages = document.half_done
            yield from self.item("half", "%d of %s changed all the same" % (changed, plural(pages, "page")))

    def fixes(self, document: Document) -> Iterator[str]:
        """Who can do what; a command stands alone, to be pasted."""
        c = self._colour
        for fix in document.fixes:
            yield from self.item("fix", "%s%s:%s %s" % (c.fix, fix.audience, c.end, fix.text))
            if fix.command:
                yield "            $ " + fix.command

    def caller(self, frames: Sequence[Frame], call: Optional[str] = None) -> List[str]:
        """Who called; under a heading of its own where it is told apart from its `call`. Empty when not known."""
        lines = list(self._labelled("caller", caller_texts(frames)))
        if call is None or not lines:
            return lines
        return ["%sCALLER%s   of %s" % (self._colour.quiet, self._colour.end, call), *lines]
