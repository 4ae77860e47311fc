"""The process tree, the line at the top of the screen, and what to do next."""

from __future__ import annotations

from collections import Counter
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from rich.cells import cell_len

from wxtrace.explain.build import name_text
from wxtrace.explain.wording import plural
from wxtrace.model.processes import Process
from wxtrace.model.replay import signal_name
from wxtrace.printable import printable
from wxtrace.tui.columns import Columns
from wxtrace.tui.index import Index
from wxtrace.tui.lazy_lines import LazyLines
from wxtrace.tui.lines import Line, Span, cut, labelled, paragraph

__all__ = ["ProcessLines", "State", "advice", "header_line"]

_MOST_COUNTED = 1000
"""Gains that are looked through; this is asked at every look at a program that runs."""


class State(NamedTuple):
    """How the run stands, beyond what its journal tells."""

    live: bool = False
    what: str = ""
    """Words that take the place of `live` or the ending: `detached`."""
    elapsed: Optional[float] = None
    """Seconds by the clock, while the run is live."""


def ending_words(process: Process) -> str:
    """How a process ended; empty while it runs."""
    if not process.ended:
        return ""
    if process.let_go:
        return "let go"
    if process.exit_signal is not None:
        return "killed by %s" % signal_name(process.exit_signal)
    return "exit status %s" % process.exit_code


def header_line(index: Index, state: State, width: int) -> Line:
    """The state in one line: command, how it stands, refused, calls, processes, elapsed. Only the command is cut."""
    replay = index.replay
    run = replay.run
    if run is None:
        return Line([Span("wxtrace", "heading"), Span("  nothing recorded yet", "quiet")])
    command = "process %d" % run.attached if run.attached is not None else " ".join(run.argv)
    refused = len(index.columns.alarms)
    spans = [Span("  "), _standing(index, state)]
    spans.append(Span("  "))
    if refused:
        spans.append(Span("✗ %d refused" % refused, "refused"))
    elif replay.lost is not None:
        spans.append(Span("no refused call recorded"))
    else:
        spans.append(Span("nothing refused" if index.complete else "nothing refused yet", "good"))
    text = "  %s  %s  %.2f s" % (
        plural(index.calls, "call"),
        plural(len(replay.processes), "process", "processes"),
        replay.duration_ns / 1e9 if state.elapsed is None else state.elapsed,
    )
    spans.append(Span(text))
    if replay.dropped:
        spans.append(Span("  %d calls not kept" % replay.dropped, "warn"))
    if replay.lost is not None:
        spans.append(Span("  incomplete", "warn"))
    room = width - sum(cell_len(span.text) for span in spans)
    return Line([Span(cut(printable(command, 400), max(room, 8)), "heading"), *spans])


def nothing_refused(index: Index, live: bool = False) -> str:
    """The sentence for a record without a refused call, as far as it goes."""
    if index.replay.lost is not None:
        return "No refused call was recorded, but the record is incomplete."
    return "Nothing was refused%s." % ("" if index.complete and not live else " so far")


def _standing(index: Index, state: State) -> Span:
    if state.what:
        return Span(state.what, "warn")
    if state.live:
        return Span("● live", "good")
    if not index.complete:
        return Span("reading %d %%" % int(index.progress * 100), "warn")
    main = index.replay.processes[0] if index.replay.processes else None
    if main is None or not main.ended:
        return Span("its end is not recorded", "warn")
    bad = main.exit_signal is not None or bool(main.exit_code)
    return Span(ending_words(main), "warn" if bad else "good")


def advice(index: Index, state: State, width: int = 80) -> List[Line]:
    """What to do next when nothing is selected, or nothing was refused; in lines of `width` cells."""
    lines: List[Line] = []
    replay = index.replay
    if not len(index):
        if not index.complete:
            return [Line([Span("Waiting for the first call …", "quiet")])]
        return [Line([Span("Nothing was recorded.", "heading")])]
    if not index.columns.alarms:
        lines += paragraph(nothing_refused(index, state.live), width, "heading")
        if index.columns.gains:
            lines += paragraph("%s: press x to see which." % _gains_words(index.columns), width)
        else:
            lines += paragraph("No memory became executable but programs and libraries.", width, "quiet")
    if replay.lost is not None:
        lines += paragraph("The record is incomplete: " + printable(replay.lost, 300), width, "warn")
    for note in index.notes[:20]:
        lines += labelled("note", note, width)
    return lines


def _gains_words(columns: Columns) -> str:
    gains = columns.gains
    if len(gains) > _MOST_COUNTED:
        return "Memory became executable %d times" % len(gains)
    # A JIT flips the same pages again and again.
    regions = {(columns.space[n - 1], columns.low[n - 1]) for n in gains}
    return "%s became executable" % plural(len(regions), "region")


class ProcessLines(LazyLines):
    """The tree, each process with its command, refused calls and ending; Enter lists its events."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self._index = index
        self._refused: Counter[int] = Counter()
        self._rows: List[Tuple[Process, int]] = []

    def steps(self) -> Iterator[None]:
        """Alarm by alarm, then process by process."""
        columns = self._index.columns
        for n in columns.alarms:
            self._refused[columns.who_of(n).proc] += 1
            yield
        children: Dict[Optional[int], List[Process]] = {}
        for process in self._index.replay.processes:
            children.setdefault(process.parent, []).append(process)
            yield
        open_levels = [iter(children.get(None, ()))]
        while open_levels:
            child = next(open_levels[-1], None)
            if child is None:
                open_levels.pop()
                continue
            self._rows.append((child, len(open_levels) - 1))
            open_levels.append(iter(children.get(child.id, ())))
            yield

    def __len__(self) -> int:
        return len(self._rows)

    def line(self, row: int) -> Line:
        """One process."""
        process, depth = self._rows[row]
        return _process_line(process, depth, self._refused[process.id])


def _process_line(process: Process, depth: int, refused: int) -> Line:
    argv = " ".join(process.images[-1][1].argv) if process.images else ""
    spans = [
        Span("  " * min(depth, 20) + ("└ " if depth else ""), "quiet"),
        Span(name_text(process.title, process.pid), "heading"),
        Span("  " + printable(argv, 160)),
    ]
    if len(process.threads) > 1:
        spans.append(Span("  %s" % plural(len(process.threads), "thread"), "quiet"))
    if refused:
        spans.append(Span("  ✗ %d refused" % refused, "refused"))
    ending = ending_words(process)
    spans.append(Span("  " + (ending or "● runs"), "quiet" if ending else "good"))
    return Line(spans, copy=str(process.pid))
