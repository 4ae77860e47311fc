"""What `y` copies: a diagnosis as text for an issue."""

from __future__ import annotations

from wxtrace.explain.document import Document
from wxtrace.explain.markdown import code_block, code_span, inert
from wxtrace.printable import printable
from wxtrace.tui.why import why_items

__all__ = ["issue_text"]


def issue_text(document: Document, command: str, tool: str) -> str:
    """The why pane in Markdown: a code block, in which nothing is markup, and where it was seen."""
    body = "\n".join("%-9s%s" % (item.label, item.text) for item in why_items(document))
    return "%s\n\nSeen in %s with wxtrace %s.\n" % (
        code_block(body),
        code_span(printable(command, 2000)),
        inert(printable(tool)),
    )
