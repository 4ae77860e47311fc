"""What the program writes, and the way to write to it."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Any, ClassVar, List, Optional

from rich.color import ColorParseError
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip

from wxtrace.tui.emulation import Emulation
from wxtrace.tui.keyboard import key_bytes
from wxtrace.tui.lines import Line, Span
from wxtrace.tui.live import Live
from wxtrace.tui.pane import Pane
from wxtrace.tui.scrollback import Scrollback

__all__ = ["LEAVE_KEY", "OutputPane"]

LEAVE_KEY = "ctrl+right_square_bracket"
_BACK_KEYS = ("shift+pageup", "shift+up")
_SAVED = "A program's output is shown here while it runs in `wxtrace tui`; a record does not hold it."
_ATTACHED = "The program writes to its own terminal: wxtrace only attached to it."
_HINT = "keys go to the program; Ctrl-] leaves, Shift-PgUp scrolls back"
_LINUX_NAMES = {"brown": "yellow", "brightbrown": "bright_yellow"}


class OutputPane(Pane):
    """The program's screen, or its output as lines: scrolled back, after its end, and where no emulator works."""

    BINDINGS: ClassVar[List[Any]] = []

    def __init__(self, live: Optional[Live], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._live = live
        self._scrollback = Scrollback()
        self._emulation: Optional[Emulation] = None
        self._back = False
        """Whether lines are shown although there is a screen."""

    def on_mount(self) -> None:
        """The emulator starts with the program."""
        super().on_mount()  # type: ignore[no-untyped-call]
        self.set_title("Output")
        if self._live is not None and self._live.has_terminal:
            self._emulation = Emulation(*self._live.size)
            loop = asyncio.get_running_loop()
            loop.add_reader(self._live.terminal_fd, self.hear)
            if self._emulation.failed:
                self._emulation = None
            else:
                loop.add_reader(self._emulation.output, self._draw)

    def on_unmount(self) -> None:
        """It ends with us."""
        if self._live is not None and self._live.has_terminal:
            asyncio.get_running_loop().remove_reader(self._live.terminal_fd)
        self._lose_emulation()

    @property
    def takes_keys(self) -> bool:
        """Whether what is typed goes to the program."""
        return self._live is not None and self._live.has_terminal and self._live.running

    @property
    def _screen_shown(self) -> bool:
        return self._emulation is not None and bool(self._emulation.rows) and self.takes_keys and not self._back

    # What comes

    def hear(self) -> None:
        """Take in what the program wrote."""
        assert self._live is not None
        parts = self._live.output()
        if self._live.terminal_over:
            asyncio.get_running_loop().remove_reader(self._live.terminal_fd)
        at_end = self.scroll_offset.y >= self.virtual_size.height - self.size.height - 1
        for part in parts:
            self._scrollback.feed(part)
            if self._emulation is not None:
                self._emulation.feed(part)
        self._lose_failed()
        if parts and not self._screen_shown:
            self.lines_changed()
            if at_end:
                self._to_end()

    def _draw(self) -> None:
        emulation = self._emulation
        if emulation is None or not emulation.poll():
            return
        self._lose_failed()
        self.lines_changed()
        if self._screen_shown:
            self.scroll_to(y=0, animate=False, force=True)

    def _lose_failed(self) -> None:
        if self._emulation is not None and self._emulation.failed:
            self._lose_emulation()
            self.lines_changed()
            self._to_end()

    def _lose_emulation(self) -> None:
        if self._emulation is not None:
            asyncio.get_running_loop().remove_reader(self._emulation.output)
            self._emulation.close()
            self._emulation = None

    def ended(self) -> None:
        """The program has: its output as lines from here on."""
        self.hear()
        self.set_title("Output")
        self.lines_changed()
        self._to_end()

    def _to_end(self) -> None:
        self.scroll_to(y=max(self.line_count() - self.size.height, 0), animate=False, force=True)

    # What is shown

    def line_count(self) -> int:
        """Rows of the screen, or lines of output."""
        return max(self.size.height, 1) if self._screen_shown else len(self._scrollback.lines)

    def line_at(self, row: int, width: int) -> Line:
        """One line of output, or one that says why there is none."""
        lines = self._scrollback.lines
        if lines == [""] and (self._live is None or not self._live.has_terminal):
            return Line([Span(_ATTACHED if self._live is not None else _SAVED, "quiet")])
        return Line([Span(lines[row])])

    def render_line(self, y: int) -> Strip:
        """The emulator's row, where there is one."""
        emulation = self._emulation
        if emulation is None or not self._screen_shown:
            return super().render_line(y)
        width = self.scrollable_content_region.width
        segments = [Segment(text, self.rich_style + style_of(colours)) for text, colours in emulation.rows.get(y, ())]
        strip = Strip(segments).adjust_cell_length(width, self.rich_style)
        row, column, shown = emulation.cursor
        if shown and y == row and self.has_focus and column < width:
            before, cursor, after = strip.divide([column, column + 1, width])
            strip = Strip.join([before, cursor.apply_style(Style(reverse=True)), after])
        return strip

    # What is typed

    def on_resize(self, event: events.Resize) -> None:
        """The program's terminal is as large as the pane."""
        size = self.scrollable_content_region
        if self._live is not None and size.height > 1 and size.width > 1:
            self._live.resize(size.height, size.width)
            if self._emulation is not None:
                self._emulation.resize(size.height, size.width)

    def on_focus(self, event: events.Focus) -> None:
        """Say how to get out again."""
        super().on_focus(event)
        self.set_title("Output", _HINT if self.takes_keys else "")

    def on_blur(self, event: events.Blur) -> None:
        """And no more."""
        super().on_blur(event)
        self.set_title("Output")

    async def on_key(self, event: events.Key) -> None:
        """To the program, whatever it is but the keys that leave and scroll."""
        if not self.takes_keys or event.key == LEAVE_KEY:
            return
        if event.key in _BACK_KEYS:
            self._back = True
            self.lines_changed()
            self.call_after_refresh(self._to_end)
        elif self._back and event.key in ("pageup", "pagedown", "up", "down"):
            return
        else:
            self._type(key_bytes(event.key, event.character))
        event.stop()
        event.prevent_default()

    def _type(self, data: bytes) -> None:
        assert self._live is not None
        if self._back:
            self._back = False
            self.lines_changed()
        if data:
            self._live.type(data)

    def on_paste(self, event: events.Paste) -> None:
        """Pasted text as well."""
        if self.takes_keys:
            self._type(event.text.encode("utf-8", "surrogateescape"))
            event.stop()


@lru_cache(maxsize=1024)
def style_of(colours: str) -> Style:
    """The style behind the emulator's words for it."""
    if not colours:
        return Style.null()
    foreground, background, letters = colours.split(" ")
    flags = {name: True for letter, name in _FLAGS.items() if letter in letters}
    try:
        return Style(color=_colour(foreground), bgcolor=_colour(background), **flags)  # type: ignore[arg-type]
    except ColorParseError:
        return Style(**flags)  # type: ignore[arg-type]


_FLAGS = {"b": "bold", "i": "italic", "u": "underline", "s": "strike", "r": "reverse"}


def _colour(name: str) -> Optional[str]:
    if name == "default":
        return None
    name = _LINUX_NAMES.get(name, name)
    if len(name) == 6 and all(digit in "0123456789abcdefABCDEF" for digit in name):
        return "#" + name
    return "bright_" + name[6:] if name.startswith("bright") and "_" not in name else name
