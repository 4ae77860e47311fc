"""The line at the top, and the one that comes up at the bottom."""

from __future__ import annotations

from typing import Optional

from textual.geometry import Size
from textual.strip import Strip
from textual.timer import Timer

from wxtrace.tui.lines import Line, Span
from wxtrace.tui.pane import Pane

__all__ = ["Header", "Notice"]


class _OneLine(Pane, can_focus=False):
    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._line = Line([])

    def show(self, line: Line) -> None:
        """Another state."""
        if line != self._line:
            self._line = line
            self.refresh()

    def line_count(self) -> int:
        """One."""
        return 1

    def line_at(self, row: int, width: int) -> Line:
        """It."""
        return self._line

    def render_line(self, y: int) -> Strip:
        """Never scrolled."""
        self.virtual_size = Size(0, 1)
        return super().render_line(y)


class Header(_OneLine):
    """The state of the run."""

    def __init__(self) -> None:
        super().__init__("header")


class Notice(_OneLine):
    """A sentence for some seconds, over the footer: nothing that is looked at moves, or is covered."""

    def __init__(self) -> None:
        super().__init__("notice")
        self._timer: Optional[Timer] = None

    def say(self, text: str, role: str, seconds: float) -> None:
        """Takes the place of the one before."""
        self.show(Line([Span(text, role)]))
        self.add_class("-shown")
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, self.away)

    def away(self) -> None:
        """The footer again."""
        self.remove_class("-shown")
