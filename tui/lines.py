"""What view models are made of: lines of spans, each with the role that its colour comes from.

A span's text is harmless already: whatever a target or a file chose went through `printable`.
"""

from __future__ import annotations

import textwrap
from typing import List, NamedTuple, Optional

from rich.cells import cell_len, chop_cells, set_cell_size

__all__ = ["Line", "Span", "cut", "fitted", "labelled", "padded", "paragraph"]


class Span(NamedTuple):
    """A piece of text. `role` is one of `pane.ROLES`, or empty for plain text."""

    text: str
    role: str = ""


class Line(NamedTuple):
    """One line. Enter on it jumps to event `jump`, `y` copies `copy`."""

    spans: List[Span]
    jump: Optional[int] = None
    copy: Optional[str] = None

    @property
    def text(self) -> str:
        """Without roles."""
        return "".join(span.text for span in self.spans)


def cut(text: str, width: int) -> str:
    """At most `width` cells; what is cut ends in an ellipsis."""
    if len(text) * 2 <= width or cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1).rstrip() + "…"


def padded(text: str, width: int) -> str:
    """Exactly `width` cells."""
    return set_cell_size(cut(text, width), max(width, 0))


def fitted(line: Line, width: int) -> Line:
    """The line in at most `width` cells."""
    spans, left = [], width
    for span in line.spans:
        size = cell_len(span.text)
        if size > left:
            spans.append(Span(cut(span.text, left) if left else "", span.role))
            if not left and spans[:-1]:
                spans[-2] = Span(cut(spans[-2].text, cell_len(spans[-2].text) - 1) + "…", spans[-2].role)
            break
        spans.append(span)
        left -= size
    return line._replace(spans=spans)


def labelled(
    label: str, text: str, width: int, role: str = "", jump: Optional[int] = None, copy: Optional[str] = None
) -> List[Line]:
    """`label  text`, wrapped under itself."""
    indent = 9
    lines = []
    for part in _wrapped(text, max(width - indent, 20)):
        lines.append(Line([Span(padded(label, indent), "label"), Span(part, role)], jump, copy))
        label = ""
    return lines


def paragraph(text: str, width: int, role: str = "") -> List[Line]:
    """Text over as many lines as it needs."""
    return [Line([Span(part, role)]) for part in _wrapped(text, max(width, 20))]


def _wrapped(text: str, width: int) -> List[str]:
    parts: List[str] = []
    for part in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]:
        # Words longer than the line, and wide characters, which textwrap counts as one cell.
        parts += chop_cells(part, width) if cell_len(part) > width else [part]
    return parts
