"""Questions and lists that come up over the panes. Escape leaves each of them without doing anything."""

from __future__ import annotations

from typing import ClassVar, List, NamedTuple, Optional, Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, OptionList
from textual.widgets.option_list import Option

from wxtrace.tui.filters import Filter, address_in
from wxtrace.tui.lines import Line
from wxtrace.tui.pane import LinePane, Pane

__all__ = ["Choice", "ChoiceDialog", "FilterDialog", "LinesDialog", "PromptDialog"]

_LEAVE: List[BindingType] = [Binding("escape", "leave", "close")]


class Choice(NamedTuple):
    """One thing to choose: a key, what it is, and what comes back."""

    key: str
    text: str
    value: str


class ChoiceDialog(ModalScreen[Optional[str]]):
    """A question with a few answers, by arrows and Enter or by their keys."""

    BINDINGS: ClassVar[List[BindingType]] = _LEAVE

    def __init__(self, title: str, choices: Sequence[Choice], classes: str = "dialog") -> None:
        super().__init__(classes=classes)
        self._title = title
        self._choices = list(choices)

    def compose(self) -> ComposeResult:
        """The question and its answers."""
        with Vertical(classes="dialog-box"):
            yield Label(self._title, markup=False, classes="dialog-title")
            yield OptionList(*(Option("%s  %s" % (choice.key, choice.text)) for choice in self._choices), markup=False)

    def on_key(self, event: events.Key) -> None:
        """An answer's own key; it is not to mean something to the screen below as well."""
        for choice in self._choices:
            if event.character == choice.key:
                event.stop()
                self.dismiss(choice.value)
                return

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.dismiss(self._choices[event.option_index].value)

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)


class PromptDialog(ModalScreen[Optional[str]]):
    """One line of text."""

    BINDINGS: ClassVar[List[BindingType]] = _LEAVE

    def __init__(self, title: str, value: str = "", hint: str = "") -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._value = value
        self._hint = hint

    def compose(self) -> ComposeResult:
        """What is asked, and where to type."""
        with Vertical(classes="dialog-box"):
            yield Label(self._title, markup=False, classes="dialog-title")
            yield Input(self._value, placeholder=self._hint)

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        self.dismiss(event.value)

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)


class LinesDialog(ModalScreen[Optional[Line]]):
    """Lines to read, or to choose from by Enter."""

    BINDINGS: ClassVar[List[BindingType]] = [*_LEAVE, Binding("q", "leave", show=False)]

    def __init__(self, title: str, lines: Sequence[Line], cursor: int = 0) -> None:
        super().__init__(classes="dialog")
        self._title = title
        self._lines = lines
        self._cursor = cursor

    def compose(self) -> ComposeResult:
        """A pane of its own."""
        with Vertical(classes="dialog-box dialog-lines"):
            yield Label(self._title, markup=False, classes="dialog-title")
            yield LinePane(self._lines)

    def on_mount(self) -> None:
        """The cursor where it is wanted."""
        self.query_one(".dialog-lines").styles.height = min(len(self._lines) + 5, self.app.size.height * 9 // 10)
        pane = self.query_one(LinePane)
        pane.focus()
        self.call_after_refresh(pane.go_to, self._cursor, False)

    @on(Pane.Chosen)
    def chosen(self, event: Pane.Chosen) -> None:
        """Enter."""
        event.stop()
        self.dismiss(self.query_one(LinePane).line)

    @on(Pane.Moved)
    def moved(self, event: Pane.Moved) -> None:
        """Nobody else's business."""
        event.stop()

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)


class _Tick(Checkbox):
    """Empty when off: the library's own shows its X in another colour only."""

    BUTTON_INNER = " "

    def on_mount(self) -> None:
        """It may be on from the start."""
        self.watch_value()

    def watch_value(self) -> None:
        """An X, or nothing."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()


class FilterDialog(ModalScreen[Optional[Filter]]):
    """Which events to list."""

    BINDINGS: ClassVar[List[BindingType]] = _LEAVE

    def __init__(self, wanted: Filter) -> None:
        super().__init__(classes="dialog")
        self._wanted = wanted

    def compose(self) -> ComposeResult:
        """One field for each condition; all of them must hold."""
        wanted = self._wanted
        region = "%x" % wanted.region[0] if wanted.region is not None else ""
        with Vertical(classes="dialog-box"):
            yield Label("List only events that …", markup=False, classes="dialog-title")
            with Horizontal(classes="dialog-row"):
                yield _Tick("were refused", wanted.refused, id="refused", compact=True)
                yield _Tick("made memory executable", wanted.gains_exec, id="gains_exec", compact=True)
            for name, value, hint in (
                ("process", wanted.process, "name, pid or tid"),
                ("call", wanted.call, "mprotect"),
                ("path", wanted.path, "part of the file's path"),
                ("region", region, "an address: 7f31a0000000"),
            ):
                with Horizontal(classes="dialog-row"):
                    yield Label("%-8s" % name, markup=False)
                    yield Input(value, placeholder=hint, id=name, compact=True)
            with Horizontal(classes="dialog-row"):
                yield Button("Apply (Enter)", id="apply", variant="primary", compact=True)
                yield Button("List all", id="all", compact=True)

    def on_mount(self) -> None:
        """Typing starts at the call, which is asked for most."""
        self.query_one("#call").focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#apply")
    def apply(self) -> None:
        """What the fields say."""

        def text(name: str) -> str:
            return self.query_one("#" + name, Input).value.strip()

        def is_on(name: str) -> bool:
            return self.query_one("#" + name, Checkbox).value

        region = None
        if text("region"):
            address = address_in(text("region"))
            if address is None:
                self.notify("region: an address in hexadecimal digits", severity="warning", markup=False)
                return
            same = self._wanted.region is not None and self._wanted.region[0] == address
            region = self._wanted.region if same else (address, address + 1)
        self.dismiss(Filter(is_on("refused"), is_on("gains_exec"), text("process"), text("call"), text("path"), region))

    @on(Button.Pressed, "#all")
    def list_all(self) -> None:
        """No condition."""
        self.dismiss(Filter())

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss(None)
