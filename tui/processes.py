"""The process tree, the line at the top of the screen, and what to do next."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

from rich.cells import cell_len

from wxtrace.commands.wording import plural
from wxtrace.model.processes import Process
from wxtrace.model.story import signal_name
from wxtrace.printable import printable
from wxtrace.tui.columns import Columns
from wxtrace.tui.index import Index
from wxtrace.tui.lines import Line, Span, cut, labelled, paragraph

__all__ = ["State", "advice", "header_line", "process_lines", "who_words"]

_MOST_COUNTED = 1000
"""Gains that are looked through; this is asked at every look at a program that runs."""


class State(NamedTuple):
    """How the run stands, beyond what its journal tells."""

    live: bool = False
    what: str = ""
    """Words that take the place of `live` or the ending: `detached`."""
    elapsed: Optional[float] = None
    """Seconds by the clock, while the run is live."""


def who_words(process: Process) -> str:
    """`jit[4711]`."""
    return "%s[%d]" % (printable(process.title or "?", 40), process.pid)


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
    story = index.story
    run = story.run
    if run is None:
        return Line([Span("wxtrace", "heading"), Span("  nothing recorded yet", "quiet")])
    command = "process %d" % run.attached if run.attached is not None else " ".join(run.argv)
    refused = len(index.columns.alarms)
    spans = [Span("  "), _standing(index, state)]
    spans.append(Span("  "))
    if refused:
        spans.append(Span("✗ %d refused" % refused, "refused"))
    elif story.lost is not None:
        spans.append(Span("no refused call recorded"))
    else:
        spans.append(Span("nothing refused" if index.complete else "nothing refused yet", "good"))
    text = "  %s  %s  %.2f s" % (
        plural(index.calls, "call"),
        plural(len(story.processes), "process", "processes"),
        story.duration_ns / 1e9 if state.elapsed is None else state.elapsed,
    )
    spans.append(Span(text))
    if story.dropped:
        spans.append(Span("  %d calls not kept" % story.dropped, "warn"))
    if story.lost is not None:
        spans.append(Span("  incomplete", "warn"))
    room = width - sum(cell_len(span.text) for span in spans)
    return Line([Span(cut(printable(command, 400), max(room, 8)), "heading"), *spans])


def nothing_refused(index: Index, live: bool = False) -> str:
    """The sentence for a record without a refused call, as far as it goes."""
    if index.story.lost is not None:
        return "No refused call was recorded, but the record is incomplete."
    return "Nothing was refused%s." % ("" if index.complete and not live else " so far")


def _standing(index: Index, state: State) -> Span:
    if state.what:
        return Span(state.what, "warn")
    if state.live:
        return Span("● live", "good")
    if not index.complete:
        return Span("reading %d %%" % int(index.progress * 100), "warn")
    main = index.story.processes[0] if index.story.processes else None
    if main is None or not main.ended:
        return Span("its end is not recorded", "warn")
    bad = main.exit_signal is not None or bool(main.exit_code)
    return Span(ending_words(main), "warn" if bad else "good")


def advice(index: Index, state: State, width: int = 80) -> List[Line]:
    """What to do next when nothing is selected, or nothing was refused; in lines of `width` cells."""
    lines: List[Line] = []
    story = index.story
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
    if story.lost is not None:
        lines += paragraph("The record is incomplete: " + printable(story.lost, 300), width, "warn")
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


def process_lines(index: Index) -> List[Line]:
    """The tree, each process with its command, refused calls and ending; Enter lists its events."""
    refused: Dict[int, int] = {}
    for n in index.columns.alarms:
        proc = index.columns.who_of(n).proc
        refused[proc] = refused.get(proc, 0) + 1
    children: Dict[Optional[int], List[Process]] = {}
    for process in index.story.processes:
        children.setdefault(process.parent, []).append(process)
    lines: List[Line] = []
    stack = [(process, 0) for process in reversed(children.get(None, []))]
    while stack:
        process, depth = stack.pop()
        lines.append(_process_line(process, depth, refused.get(process.id, 0)))
        stack += [(child, depth + 1) for child in reversed(children.get(process.id, []))]
    return lines


def _process_line(process: Process, depth: int, refused: int) -> Line:
    argv = " ".join(process.images[-1][1].argv) if process.images else ""
    spans = [
        Span("  " * min(depth, 20) + ("└ " if depth else ""), "quiet"),
        Span(who_words(process), "heading"),
        Span("  " + printable(argv, 160)),
    ]
    if len(process.threads) > 1:
        spans.append(Span("  %s" % plural(len(process.threads), "thread"), "quiet"))
    if refused:
        spans.append(Span("  ✗ %d refused" % refused, "refused"))
    ending = ending_words(process)
    spans.append(Span("  " + (ending or "● runs"), "quiet" if ending else "good"))
    return Line(spans, copy=str(process.pid))
