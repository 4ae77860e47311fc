"""Every call that can be recorded stands in the timeline with its words, whatever its arguments are."""

from __future__ import annotations

import io
import json
import random
from typing import Any, Dict, List, Tuple

from conftest import assert_valid

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import facts
from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.table import NUMBERS, symbolic_args
from wxtrace.record.timeline import write_timeline

HOST = facts.Host("6.18.4", "x86_64", 4096)
LINES = [MapLine(0x7F0000000000, 0x7F0000004000, "rw-p", 0, "00:00", 0, "")]
IMAGE = facts.Image("/srv/jit", ["./jit"], "jit", "x86_64")
START: List[Any] = [
    facts.RunStarted("0.1", HOST, ["./jit"], "/srv", "2024-05-01T12:00:00Z", "accelerated", False),
    facts.TaskStarted(100, 1, 100, 1, "launch"),
    facts.Seeded(100, 2, 100, 1, "exec", IMAGE, LINES, 0x555500000000, 0x7FFE00000000, 0),
]
VALUES = (0, 1, 5, 22, 4096, 0x7F0000000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1)


def calls() -> List[facts.Call]:
    """Each call of each ABI, a few times, successful and not."""
    chance = random.Random(4)
    found: List[facts.Call] = []
    for abi, numbers in enumerate(NUMBERS):
        for name, number in sorted(numbers.items()):
            for result in (0, 0x7F0000001000, -22, -12):
                if name in ("fork", "vfork", "clone", "clone3", "exit", "exit_group") and result >= 0:
                    continue
                width = 0xFFFFFFFF if abi else (1 << 64) - 1
                args: Any = tuple(chance.choice(VALUES) & width for _ in range(6))
                found.append(facts.Call(100, 10 + len(found), abi, number, args, result, facts.BY_KERNEL))
    return found


def told(made: List[facts.Call]) -> Tuple[List[Dict[str, Any]], Dict[int, facts.Call]]:
    """The timeline's events of these calls, and the calls by their time."""
    out = io.StringIO()
    write_timeline([*START, *made, facts.RunEnded(10_000)], out)
    timeline = json.loads(out.getvalue())
    assert_valid(timeline)
    return [event for event in timeline["events"] if event["raw"]], {call.t_ns: call for call in made}


def test_every_call_is_written_with_its_words() -> None:
    events, made = told(calls())

    assert {event["call"] for event in events} >= {"mmap", "mprotect", "mremap", "brk", "prctl", "mseal", "shmat"}
    for event in events:
        call = made[event["t_ns"]]
        assert event["args"] == symbolic_args(call.abi, call.number, call.args)
        assert event["raw"] == [hex(value) for value in call.args]
        assert event["abi"] == Abi(call.abi).label
        assert event["tid"] == 100
