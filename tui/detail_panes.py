"""The panes beside the event list: why, and the region map."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

from wxtrace.errors import RecordError
from wxtrace.explain.build import Context, explain, name_text, regions_in, since_of
from wxtrace.explain.document import Document
from wxtrace.model.event import Event
from wxtrace.model.run_view import MapView
from wxtrace.model.space import AddressSpace
from wxtrace.tui.index import Index
from wxtrace.tui.lines import Line, Span, paragraph
from wxtrace.tui.pane import LinePane, Pane
from wxtrace.tui.processes import State, advice
from wxtrace.tui.regions import MapRow, RegionMap, map_at
from wxtrace.tui.why import why_lines

__all__ = ["RegionPane", "WhyPane", "document_of", "replay_at"]

_MOST_PARTS = 8


def replay_at(index: Index, event: Event) -> Tuple[MapView, Optional[AddressSpace]]:
    """The story right after an event, and the event's space; those before it where it ended the space."""
    replay = index.moment(event.n)
    space = _space(replay, event.space)
    if space is None or not len(space):
        space = index.left_at(event)
    return replay, space


def _space(replay: MapView, id: int) -> Optional[AddressSpace]:
    # Most are gone, and looked at are rather the later ones.
    return next((state.space for state in reversed(replay.spaces) if state.space.id == id), None)


def document_of(index: Index, n: int) -> Document:
    """Event n explained. Raises RecordError where the record cannot be read any more."""
    event = index.event(n)
    replay, space = replay_at(index, event)
    context = Context(
        name_text(index.replay.processes[event.proc - 1].title_at(n), event.pid),
        regions_in(space),
        replay.origins.of,
        index.amendments.get(n),
        index.stacks.get(n),
        most_parts=_MOST_PARTS,
        since=since_of(index.replay.run),
    )
    return explain(event, context)


class WhyPane(LinePane):
    """Everything that is known of the selected event; what to do next where there is none."""

    def __init__(self, index: Index, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.index = index
        self._shown: Tuple[Any, ...] = ()
        self._width = 20

    def show(self, n: Optional[int], state: State) -> None:
        """Event n."""
        # Behind the map it has none: then what it had, or it would come back in a narrow column.
        width = self._width = self.scrollable_content_region.width or self._width
        amendment = self.index.amendments.get(n) if n is not None else None
        # The story goes on: only what concerns this event makes it drawn anew.
        shown = (
            n,
            width,
            amendment,
            n in self.index.stacks,
            None if n is not None else (len(self.index), state.live, self.index.complete),
        )
        if shown == self._shown:
            return
        same = self._shown[:1] == shown[:1]
        self._shown = shown
        lines: List[Line]
        if n is None:
            self.set_title("Why")
            lines = advice(self.index, state, width) or paragraph("No event is listed: Esc lists all.", width)
        else:
            self.set_title("Why: event %d" % n)
            lines = self._lines(n, width)
            if not self.index.columns.alarms and self.index.complete:
                lines += [Line([]), *advice(self.index, state, width)]
        self.set_lines(lines, self.cursor if same else 0)

    def _lines(self, n: int, width: int) -> List[Line]:
        try:
            return why_lines(document_of(self.index, n), width)
        except RecordError as error:
            return [Line([Span("The record cannot be read any more: %s" % error, "warn")])]


class RegionPane(Pane):
    """The map of the selected event's space."""

    def __init__(self, index: Index, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.index = index
        self.n: Optional[int] = None
        self.space = 0
        self.map = RegionMap("")

    def show(self, n: Optional[int]) -> None:
        """As it was after event n."""
        if n == self.n and n is not None:
            return
        self.n = n
        if n is None:
            self.map = RegionMap("")
        else:
            try:
                event = self.index.event(n)
                self.space = event.space
                replay, space = replay_at(self.index, event)
                self.map = map_at(event, space, replay.origins.of)
            except RecordError as error:
                self.map = RegionMap(str(error))
        self.set_title("Map: %s" % self.map.title if self.map.title else "Map")
        self.cursor = self.map.focus if len(self.map) else -1
        self.lines_changed()
        self._into_view()

    def on_resize(self) -> None:
        """It may just have come up."""
        self._into_view()

    def _into_view(self) -> None:
        height = self.scrollable_content_region.height
        top = self.map.focus - height // 3
        self.scroll_to(y=max(min(top, len(self.map) - height), 0), animate=False, force=True)

    def line_count(self) -> int:
        """Regions."""
        return len(self.map)

    def line_at(self, row: int, width: int) -> Line:
        """One of them."""
        return self.map[row].line(wide=width >= 64)

    @property
    def row(self) -> Optional[MapRow]:
        """The region under the cursor."""
        return self.map[self.cursor] if 0 <= self.cursor < len(self.map) else None
