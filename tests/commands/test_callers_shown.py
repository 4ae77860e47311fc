"""Where the caller of a refused call stands: in its block on the console, in the timeline, in the report."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import List

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "model"))

from stories import HOST, MAPS, Told, vma

from wxtrace.commands import terminal_writer
from wxtrace.commands.console import Console
from wxtrace.model.event import Event
from wxtrace.model.facts import Call, Image, Probe, RunStarted, Seeded, StackRead, StackSampled, TaskStarted
from wxtrace.model.frames import Frame
from wxtrace.model.syscalls.table import NUMBERS
from wxtrace.record.timeline import write_timeline

FRAMES = [
    Frame("/lib/libc.so.6", 0x101A37, "mprotect"),
    Frame("/srv/jit", 0x11F0, "flip"),
    Frame("/srv/jit", 0x1300, "main"),
]


class Shown:
    """A console that is told of a refused call whose stack was copied."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.console = Console(self.stream)
        self.told = Told()
        self.told.feed(StackSampled(100, self.told.t_ns + 1))
        self.refused: Event = self.told.refuse()
        self.console.show(self.refused, self.told.replay)

    def stack_comes(self, frames: List[Frame]) -> str:
        assert self.refused.call is not None
        self.told.feed(StackRead(100, self.refused.call.t_ns, frames))
        self.console.show(self.told.shown[-1], self.told.replay)
        return self.stream.getvalue()


def test_the_block_waits_for_its_caller() -> None:
    shown = Shown()
    assert (shown.stream.getvalue(), shown.console.holds) == ("", True)
    text = shown.stack_comes(FRAMES)

    lines = text.splitlines()
    where = lines.index("  caller  flip in /srv/jit (+0x11f0)")
    assert lines[where - 1].startswith("  who ")
    assert lines[where + 1] == "          main in /srv/jit (+0x1300)"
    assert lines[where + 2].startswith("  seen ")
    assert not shown.console.holds


def test_a_stack_that_could_not_be_read_leaves_no_trace() -> None:
    text = Shown().stack_comes([])

    assert text.startswith("REFUSED") and "caller" not in text


def test_a_stack_that_comes_late_has_a_heading_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal_writer, "HELD_SECONDS", 0.0)
    shown = Shown()
    block = shown.stream.getvalue()
    rest = shown.stack_comes(FRAMES)[len(block) :]

    assert block.startswith("REFUSED") and "\n  caller  not known yet: `wxtrace report` has it later\n" in block
    assert rest.startswith("CALLER   of mprotect(0x7f0000000000, 4096, PROT_READ|PROT_EXEC)\n  caller  flip in ")


def test_the_timeline_has_every_frame() -> None:
    image = Image("/srv/jit", ["./jit"], "jit", "x86_64")
    mprotect = NUMBERS[0]["mprotect"]
    call = Call(100, 3, 0, mprotect, (MAPS[1].start, 4096, 5, 0, 0, 0), -13, 1)
    out = io.StringIO()
    write_timeline(
        [
            RunStarted("0", HOST, ["./jit"], "/", "2024-01-01T00:00:00Z", "accelerated", False),
            TaskStarted(100, 1, 100, 1, "launch"),
            Seeded(100, 2, 100, 1, "exec", image, list(MAPS), 0, 0, 0),
            Probe(100, vmas=[vma(MAPS[1])]),
            StackSampled(100, 3),
            call,
            Probe(100, vmas=[vma(MAPS[1])]),
            call._replace(t_ns=4),
            StackRead(100, 3, FRAMES),
        ],
        out,
    )
    stacks = [event["stack"] for event in json.loads(out.getvalue())["events"] if event["call"] == "mprotect"]

    assert stacks[1] is None
    assert stacks[0] == [{"module": frame.module, "offset": frame.offset, "symbol": frame.symbol} for frame in FRAMES]
