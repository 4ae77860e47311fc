"""A text in blocks, before it becomes plain text or Markdown: what a report is made of."""

from __future__ import annotations

from typing import Callable, Iterator, NamedTuple, Union

from wxtrace.explain.document import Document
from wxtrace.explain.wording import caller_texts, ending_text, plural
from wxtrace.printable import printable

__all__ = ["Block", "Code", "Heading", "Item", "event_blocks", "with_text"]

_MOST_CALLERS = 12


class Heading(NamedTuple):
    """What a new part is about."""

    text: str


class Code(NamedTuple):
    """A call."""

    text: str


class Item(NamedTuple):
    """One labelled line. The label is a word of ours."""

    label: str
    text: str


Block = Union[Heading, Code, Item]


def with_text(block: Block, change: Callable[[str], str]) -> Block:
    """The block with its text changed."""
    return block._replace(text=change(block.text))


def event_blocks(document: Document, times: int = 1) -> Iterator[Block]:
    """A refused call, in the order in which a maintainer reads; `times`: how often it happened."""
    yield Code(document.head)
    cause = document.cause
    if cause is not None:
        yield Item("why", document.why)
        by = ", refused by %s" % cause.by if cause.by else ""
        yield Item("cause", "%s%s, %s" % (cause.id, by, cause.confidence))
    yield Item("who", document.who.name + (", %d times" % times if times > 1 else ""))
    for text in caller_texts(document.caller, _MOST_CALLERS):
        yield Item("caller", text)
    for part in document.memory:
        yield Item("memory", part.text if part.made_at is None else "%s, from event %d" % (part.text, part.made_at))
    for evidence in document.evidence:
        yield Item("evidence", "%s (%s)" % evidence)
    if document.half_done is not None:
        changed, pages = document.half_done
        yield Item("half done", "%d of %s changed all the same" % (changed, plural(pages, "page")))
    yield from _what_then(document)
    for fix in document.fixes:
        command = "  $ " + fix.command if fix.command else ""
        yield Item("fix", "(%s) %s%s" % (fix.audience, fix.text, command))


def _what_then(document: Document) -> Iterator[Block]:
    attempts = document.attempts
    if attempts is not None and document.n != attempts.attempts[0].n:
        yield Item("then", "a further attempt of the search that began with event %d" % attempts.attempts[0].n)
    elif attempts is not None:
        yield Item("then", attempts.text)
        for n, way, cause in attempts.attempts:
            yield Item("tried", "event %d: %s: %s" % (n, way, cause or "worked"))
    elif document.aftermath is not None:
        text = ending_text(document.aftermath, document.ending)
        if text:
            yield Item("then", printable(text))
