"""Every key, for the help screen, the footer and the command palette alike."""

from __future__ import annotations

from typing import List, NamedTuple

from wxtrace.tui.lines import Line, Span

__all__ = ["KEYS", "Key", "help_lines"]


class Key(NamedTuple):
    """`keys` as Textual names them, `shown` as people do. `footer`: short words, or nothing."""

    keys: str
    shown: str
    action: str
    text: str
    footer: str = ""


KEYS = (
    Key("n", "n", "next_refused", "next refused call", "refused"),
    Key("N", "N", "previous_refused", "previous refused call"),
    Key("slash", "/", "search", "search for a call, process, file or address", "find"),
    Key("full_stop", ".", "search_again", "search on"),
    Key("f", "f", "filter", "filter: refused, gains exec, process, call, path, region", "filter"),
    Key("r", "r", "only_refused", "list only refused calls, or all again"),
    Key("x", "x", "only_exec", "list only what became executable, or all again"),
    Key("u", "u", "toggle_fold", "fold repetitions, or show each"),
    Key("F", "F", "follow", "follow the newest event", "follow"),
    Key("m", "m", "map", "region map, as it was at the selected event", "map"),
    Key("w", "w", "why", "why: all that is known of the selected event"),
    Key("t", "t", "output", "the program's terminal", "term"),
    Key("p", "p", "processes", "process tree", "procs"),
    Key("e", "e", "export", "export the timeline (JSON) or a report", "export"),
    Key("y", "y", "copy", "copy the call, the diagnosis as issue text, a fix"),
    Key("b,backspace", "b", "jump_back", "back to where you jumped from"),
    Key("tab", "Tab", "app.focus_next", "next pane (Shift-Tab: previous)"),
    Key("d", "d", "theme", "dark or light"),
    Key("question_mark", "?", "help", "this help", "help"),
    Key("q", "q", "leave", "quit; a running program is asked about", "quit"),
)

_MOVING = (
    ("↑ ↓ j k", "move"),
    ("PgUp PgDn", "a screenful"),
    ("g G", "first, last"),
    ("Enter", "in the list: unfold a row, or go to the why pane"),
    ("", "in the why pane: jump to the event"),
    ("", "in the map: history of the region"),
    ("Esc", "leave a filter, a dialog"),
    ("Ctrl-]", "leave the program's terminal"),
    ("Ctrl-P", "command palette: every command by name"),
)
_MARKS = (
    ("✗", "refused, or faked by a filter"),
    ("x", "memory became executable"),
    ("·", "a probe: a failure that healthy programs make on purpose"),
    ("-", "failed: the call could never work"),
    ("!", "a fault; in the map: what a refused call aimed at"),
    ("+ − ~", "in the map: new, gone, changed by this event"),
    ("=", "in the map: sealed (mseal)"),
    ("H S A F", "in the map: heap, stack, anonymous, file"),
    ("C M", "in the map: file written to, memfd"),
)


def help_lines() -> List[Line]:
    """Keys and marks."""
    lines = [_line(shown, text) for shown, text in _MOVING]
    lines.append(Line([]))
    lines += [_line(key.shown, key.text) for key in KEYS]
    lines += [Line([]), Line([Span("Marks", "heading")])]
    lines += [_line(mark, text) for mark, text in _MARKS]
    return lines


def _line(shown: str, text: str) -> Line:
    return Line([Span("  %-12s " % shown, "command"), Span(text)])
