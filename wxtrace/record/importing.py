"""A timeline that somebody sent: the contract `wxtrace-timeline/1` read back, streaming, nothing believed.

Only the head (run, processes, address spaces) is kept, and it is bounded; regions and events pass by one at a time.
The first fault ends the reading with one RecordError that names the place.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from wxtrace.errors import RecordError
from wxtrace.model import facts
from wxtrace.model.event import Amendment, CallStack, Fallback
from wxtrace.model.facts import RunStarted
from wxtrace.model.processes import Process, SpaceState
from wxtrace.model.region import Region
from wxtrace.model.replay import Shown
from wxtrace.record.contract import (
    COMMAND,
    EVENT,
    HOST,
    NOTE,
    PROCESS,
    REGION,
    SPACE,
    SUMMARY,
    TOOL,
    VERIFY,
)
from wxtrace.record.journalbytes import Readable
from wxtrace.record.jsonstream import members
from wxtrace.record.validators import Check, Fault, maybe, text

__all__ = ["Timeline"]

MOST_HEAD = 64 << 20
"""Bytes, roughly, that processes, spaces and notes may take in memory together."""

_FAMILY, _MAJOR = "wxtrace-timeline/", "1"
_STREAMED = frozenset({"processes", "spaces", "regions", "notes", "events"})
_HEAD = frozenset({"schema", "tool", "host", "command", "processes", "spaces"})


class Timeline:
    """One saved timeline; what it tells has the records and the face of a Story. Raises RecordError on any fault."""

    def __init__(self, file: Readable, name: str) -> None:
        self.run: Optional[RunStarted] = None
        self.processes: List[Process] = []
        self.spaces: List[SpaceState] = []
        self.lost: Optional[str] = None
        self.duration_ns = 0
        self.checked = self.mismatches = self.dropped = 0
        self._file = file
        self._name = name
        self._numbers: Dict[int, int] = {}
        self._notes: List[facts.Note] = []
        self._held = 0
        self._read_head()

    def regions(self) -> Iterator[Tuple[Region, Optional[str]]]:
        """Every region with how it came to be executable (`exec_origin`), in order of their ids."""
        last = -1
        for key, elements in self._members():
            if key != "regions":
                continue
            for i, element in enumerate(elements):
                region, origin = self._take(REGION, element, "regions[%d]" % i)
                if region.id <= last:
                    raise self._wrong("regions[%d].id" % i, "a number above %d, as ids ascend" % last)
                last = region.id
                yield region, origin
            return

    def shown(self) -> Iterator[Shown]:
        """What a Story would show: notes, then events in order, each followed by what was learnt about it."""
        yield from self._notes
        for key, value in self._members():
            if key == "events":
                yield from self._events(value)
            elif key == "summary":
                self._take(SUMMARY, value, "summary")
                verify = value.get("verify")
                if verify is not None:
                    self.checked, self.mismatches = self._take(VERIFY, verify, "summary.verify")
        if self.lost is not None:
            yield facts.Lost(self.lost)

    # The head

    def _members(self) -> Iterator[Tuple[str, Any]]:
        self._file.seek(0)
        return members(self._file, self._name, _STREAMED)

    def _read_head(self) -> None:
        found: Dict[str, Any] = {}
        readers: Dict[str, Callable[[Any], None]] = {
            "processes": self._read_processes,
            "spaces": self._read_spaces,
            "notes": self._read_notes,
        }
        for key, value in self._members():
            if key == "schema":
                self._check_schema(value)
            if key == "events" and found.keys() >= _HEAD:
                break
            found[key] = value if key not in _STREAMED else None
            if key in readers:
                readers[key](value)
        if "schema" not in found:
            raise RecordError("%s is not a wxtrace timeline: it names no schema" % self._name)
        missing = _HEAD - found.keys()
        if missing:
            raise self._wrong(min(missing), "a value")
        self._start(found)
        for process in self.processes:
            if process.parent is not None:
                process.parent = self._process(process.parent, "processes[%d].parent" % (process.id - 1))

    def _check_schema(self, schema: Any) -> None:
        if not isinstance(schema, str) or not schema.startswith(_FAMILY):
            raise RecordError("%s is not a wxtrace timeline" % self._name)
        if schema != _FAMILY + _MAJOR:
            raise RecordError(
                "%s is a timeline of another version; this wxtrace reads version %s" % (self._name, _MAJOR)
            )

    def _start(self, found: Dict[str, Any]) -> None:
        host = self._take(HOST, found["host"], "host")
        version = self._take(TOOL, found["tool"], "tool")
        argv, cwd, started, self.duration_ns = self._take(COMMAND, found["command"], "command")
        mode = self.processes[0].mode if self.processes else "accelerated"
        self.run = RunStarted(version, host, argv, cwd, started, mode, False)
        self.lost = self._take(maybe(text), found.get("incomplete"), "incomplete")

    def _read_processes(self, elements: Iterator[Any]) -> None:
        for i, element in enumerate(elements):
            where = "processes[%d]" % i
            proc, process = self._take(PROCESS, element, where)
            if proc in self._numbers:
                raise self._wrong(where + ".proc", "an id that was not used before")
            self._hold(600 + 8 * (len(process.threads) + len(process.spaces)) + _text_size(process), where)
            self.processes.append(process)
            process.id = self._numbers[proc] = len(self.processes)

    def _read_spaces(self, elements: Iterator[Any]) -> None:
        seen = set()
        for i, element in enumerate(elements):
            where = "spaces[%d]" % i
            state = self._take(SPACE, element, where)
            if state.space.id in seen:
                raise self._wrong(where + ".id", "an id that was not used before")
            self._hold(600, where)
            seen.add(state.space.id)
            self.spaces.append(state)

    def _read_notes(self, elements: Iterator[Any]) -> None:
        for i, element in enumerate(elements):
            note = self._take(NOTE, element, "notes[%d]" % i)
            self._hold(200 + len(note.text), "notes[%d]" % i)
            self._notes.append(note)

    def _hold(self, size: int, where: str) -> None:
        self._held += size
        if self._held > MOST_HEAD:
            raise self._wrong(where, "less: processes, spaces and notes take more than %d MiB" % (MOST_HEAD >> 20))

    # The events

    def _events(self, elements: Iterator[Any]) -> Iterator[Shown]:
        last = -1
        for i, element in enumerate(elements):
            where = "events[%d]" % i
            event, stack, learnt = self._take(EVENT, element, where)
            if event.n <= last:
                raise self._wrong(where + ".n", "a number above %d, as events are numbered in order" % last)
            last = event.n
            event = event._replace(proc=self._process(event.proc, where + ".proc"))
            yield event
            if stack is not None:
                yield CallStack(event.n, tuple(stack))
            if learnt is not None:
                aftermath, related, attempts, ending = learnt
                fallback = Fallback(tuple(attempts), tuple(attempt.n for attempt in attempts)) if attempts else None
                yield Amendment(event.n, aftermath, tuple(related), event, fallback, ending)

    def _process(self, proc: int, where: str) -> int:
        position = self._numbers.get(proc)
        if position is None:
            raise self._wrong(where, "the id of one of the processes")
        return position

    def _take(self, check: Check, value: Any, where: str) -> Any:
        try:
            return check(value)
        except Fault as fault:
            raise self._wrong(where + fault.path, fault.expected) from None

    def _wrong(self, where: str, expected: str) -> RecordError:
        return RecordError("%s: %s: expected %s" % (self._name, where, expected))


def _text_size(process: Process) -> int:
    return sum(len(image.exe) + sum(len(word) + 60 for word in image.argv) + 400 for _, image in process.images)
