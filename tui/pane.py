"""What every pane is: a column of lines with a cursor, of which only those on the screen are made and drawn."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from wxtrace.tui.lines import Line, fitted

__all__ = ["ROLES", "LinePane", "Pane"]

ROLES = (
    "refused",
    "quiet",
    "heading",
    "label",
    "link",
    "command",
    "good",
    "warn",
    "changed",
    "exec",
    "write",
    "both",
)


class Pane(ScrollView, can_focus=True):
    """Subclasses say how many lines there are and what each is; `cursor` is one of them, or -1 without any."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"pane--%s" % role for role in (*ROLES, "cursor", "cursor-blurred")}
    BINDINGS: ClassVar[List[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup,ctrl+b", "move_page(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f,space", "move_page(1)", "page down", show=False),
        Binding("g,home", "go_first", "first", show=False),
        Binding("G,end", "go_last", "last", show=False),
        Binding("enter", "choose", "open", show=False),
    ]

    class Moved(Message):
        """Somebody moved the cursor."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

    class Chosen(Message):
        """Enter, or a click on the line of the cursor."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, id: Optional[str] = None, classes: Optional[str] = None) -> None:
        super().__init__(id=id, classes=classes)
        self.cursor = -1
        self._roles: Dict[Tuple[str, str], Style] = {}
        self._titles = ("", "")

    # For subclasses

    def line_count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def line_at(self, row: int, width: int) -> Line:
        """One line."""
        raise NotImplementedError

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        row = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        if row >= self.line_count():
            return Strip.blank(width, self.rich_style)
        line = fitted(self.line_at(row, width), width)
        under = ("cursor" if self.has_focus else "cursor-blurred") if row == self.cursor else ""
        segments = [Segment(span.text, self._style(span.role, under)) for span in line.spans if span.text]
        return Strip(segments).adjust_cell_length(width, self._style("", under))

    def _style(self, role: str, under: str) -> Style:
        style = self._roles.get((role, under))
        if style is None:
            style = self.rich_style
            if role:
                own = self.get_component_styles("pane--" + role).partial_rich_style
                style += own
            if under:
                style += self.get_component_styles("pane--" + under).partial_rich_style
            self._roles[role, under] = style
        return style

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._roles.clear()

    def lines_changed(self) -> None:
        """To be called when there are more lines, fewer, or others."""
        count = self.line_count()
        if self.virtual_size.height != count:
            self.virtual_size = Size(0, count)
        if self.cursor >= count:
            self.cursor = count - 1
        self.refresh()

    def refresh_rows(self, *rows: int) -> None:
        """Draw these again, if they are on the screen."""
        for row in rows:
            y = row - self.scroll_offset.y
            if 0 <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def set_title(self, title: str, subtitle: str = "") -> None:
        """Above the lines. Text, never markup."""
        if (title, subtitle) != self._titles:
            self._titles = title, subtitle
            self.border_title = Text(title + (" · " + subtitle if subtitle else ""))

    # Moving

    def go_to(self, row: int, tell: bool = True) -> None:
        """Put the cursor on a row and bring it into view."""
        count = self.line_count()
        if self.virtual_size.height != count:
            self.virtual_size = Size(0, count)
        row = max(min(row, count - 1), 0) if count else -1
        before, self.cursor = self.cursor, row
        self.show_row(row)
        self.refresh_rows(before, row)
        if tell and row != before:
            self.post_message(self.Moved(self))

    def show_row(self, row: int, context: int = 0) -> None:
        """Scroll as little as is needed, with `context` rows above where it has to scroll."""
        top, height = self.scroll_offset.y, self.size.height
        if row < top:
            self.scroll_to(y=max(row - context, 0), animate=False, force=True)
        elif height and row >= top + height:
            self.scroll_to(y=max(row - height + 1, 0) if not context else row - context, animate=False, force=True)

    def action_move(self, rows: int) -> None:
        """Up and down."""
        self.go_to(self.cursor + rows)

    def action_move_page(self, pages: int) -> None:
        """A screenful."""
        self.go_to(self.cursor + pages * max(self.size.height - 1, 1))

    def action_go_first(self) -> None:
        """The first line."""
        self.go_to(0)

    def action_go_last(self) -> None:
        """The last line."""
        self.go_to(self.line_count() - 1)

    def action_choose(self) -> None:
        """Enter."""
        if self.cursor >= 0:
            self.post_message(self.Chosen(self))

    def on_click(self, event: events.Click) -> None:
        """The line under the mouse; a second click chooses it."""
        offset = event.get_content_offset(self)
        row = offset.y + self.scroll_offset.y if offset is not None else -1
        if not 0 <= row < self.line_count():
            return
        chosen = row == self.cursor and event.chain > 1
        self.go_to(row)
        if chosen:
            self.post_message(self.Chosen(self))

    def on_focus(self, event: events.Focus) -> None:
        """The cursor shows where the keys go."""
        self.refresh()

    def on_blur(self, event: events.Blur) -> None:
        """Likewise."""
        self.refresh()


class LinePane(Pane):
    """A pane over lines that are all there, or made when they are looked at."""

    def __init__(self, lines: Sequence[Line] = (), **arguments: Any) -> None:
        super().__init__(**arguments)
        self.lines = lines

    def on_mount(self) -> None:
        """The lines that were given."""
        super().on_mount()  # type: ignore[no-untyped-call]
        self.set_lines(self.lines)

    def line_count(self) -> int:
        """How many."""
        return len(self.lines)

    def line_at(self, row: int, width: int) -> Line:
        """As it is."""
        return self.lines[row]

    def set_lines(self, lines: Sequence[Line], cursor: int = 0) -> None:
        """Other lines, from the top."""
        self.lines = lines
        self.cursor = cursor if self.lines else -1
        self.lines_changed()
        self.scroll_to(y=0, animate=False, force=True)

    @property
    def line(self) -> Optional[Line]:
        """The line under the cursor."""
        return self.lines[self.cursor] if 0 <= self.cursor < len(self.lines) else None
