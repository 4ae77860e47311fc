"""The timeline: one run as JSON, by the contract `wxtrace-timeline/1` (timeline-1.schema.json).

Written in one pass over the facts. Events go to the file as they come; the few that may still be amended (refused
calls, faults) leave their place in a spool and are put in at the end.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from importlib import resources
from typing import Any, Callable, Dict, Iterable, List, Optional, TextIO, Tuple

from wxtrace.errors import OutputError, RecordError
from wxtrace.model import facts
from wxtrace.model.enumerations import Abi, Outcome
from wxtrace.model.event import Amendment, CallStack, Event, Touched
from wxtrace.model.flags import prot_letters
from wxtrace.model.processes import Process
from wxtrace.model.region import Region
from wxtrace.model.replay import Replay, signal_name
from wxtrace.model.syscalls.mmap import has_unreadable_block
from wxtrace.model.syscalls.table import returns_address, symbolic_args
from wxtrace.record.spool import open_spool

__all__ = ["SCHEMA_ID", "schema_text", "write_timeline"]

SCHEMA_ID = "wxtrace-timeline/1"
_PROGRESS_EVERY = 20000
# What is written here is made here, so it holds no circles to look for.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def schema_text() -> str:
    """The JSON Schema of the contract."""
    return resources.files("wxtrace.record").joinpath("timeline-1.schema.json").read_text("utf-8")


def write_timeline(entries: Iterable[Any], out: TextIO, progress: Optional[Callable[[int], None]] = None) -> Replay:
    """Tell the story of `entries` to `out` as one JSON object. `progress` hears how many events were written."""
    with open_spool("w+") as spool:
        return _Writer(spool, progress).write(entries, out)


class _Writer:
    def __init__(self, spool: Any, progress: Optional[Callable[[int], None]]) -> None:
        self._spool = spool
        self._progress = progress
        self._regions: List[Region] = []
        self._origins: Dict[int, str] = {}
        self._replay = Replay(self._regions.append, self._keep_origin)
        self._open: Dict[int, Tuple[int, int, Event]] = {}
        self._amended: Dict[int, Amendment] = {}
        self._stacks: Dict[int, List[Dict[str, Any]]] = {}
        self._notes: List[Dict[str, str]] = []
        self._count = 0
        self._outcomes: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()

    def write(self, entries: Iterable[Any], out: TextIO) -> Replay:
        replay = self._replay
        try:
            for entry in entries:
                for shown in replay.feed(entry):
                    self._show(shown)
            for shown in replay.finish():
                self._show(shown)
            self._spool.flush()
        except OSError as error:
            raise OutputError("no room for a temporary file (%s): set TMPDIR" % error.strerror) from None
        out.write(_members(self._head())[:-1])
        out.write(',\n"events":[')
        self._copy_events(out)
        out.write("\n],\n")
        out.write(_members({"summary": self._summary()})[1:])
        out.write("\n")
        return replay

    def _keep_origin(self, region: Region, word: str) -> None:
        self._origins[region.id] = word

    def _show(self, shown: Any) -> None:
        if isinstance(shown, Event):
            self._event(shown)
        elif isinstance(shown, Amendment):
            self._amended[shown.n] = shown
        elif isinstance(shown, CallStack):
            if shown.frames:
                self._stacks[shown.n] = [frame._asdict() for frame in shown.frames]
        elif isinstance(shown, facts.Note):
            self._notes.append({"kind": shown.kind, "text": shown.text})
        elif isinstance(shown, facts.Mismatch):
            text = "after %s in thread %d the map and /proc/PID/maps differed" % (shown.call, shown.tid)
            self._notes.append({"kind": "mismatch", "text": text})

    def _event(self, event: Event) -> None:
        self._outcomes[event.outcome] += 1
        if event.outcome == Outcome.REFUSED and event.diagnosis is not None:
            self._causes[event.diagnosis.cause] += 1
        self._count += 1
        text = ("," if self._count > 1 else "") + "\n" + self._event_text(event, None)
        if event.diagnosis is not None:
            position = self._spool.tell()
            self._open[event.n] = (position, len(text), event)
        self._spool.write(text)
        if self._progress is not None and self._count % _PROGRESS_EVERY == 0:
            self._progress(self._count)

    def _copy_events(self, out: TextIO) -> None:
        spool = self._spool
        at = 0
        for n, (position, length, event) in sorted(self._open.items()):
            if n not in self._amended and n not in self._stacks:
                continue
            spool.seek(at)
            _copy(spool, out, position - at)
            comma = spool.read(length)[:1] == ","
            out.write(("," if comma else "") + "\n" + self._event_text(event, self._amended.get(n)))
            at = position + length
        spool.seek(at)
        shutil.copyfileobj(spool, out, 1 << 20)

    def _event_text(self, event: Event, amendment: Optional[Amendment]) -> str:
        call = event.call
        if call is not None:
            abi, args, raw = _word(Abi(call.abi).label), _args_text(call), _RAW % call.args
        else:
            details = {key: _argument(value) for key, value in (event.details or {}).items()}
            abi, args, raw = _encode(self._abi_of(event)), _encode(details), "[]"
        result: Any = event.result
        if result is not None and returns_address(event.name):
            result = '"%#x"' % result
        stack = self._stacks.get(event.n)
        return _EVENT % (
            event.n,
            event.t_ns,
            event.proc,
            event.pid,
            event.tid,
            event.space,
            event.name,
            abi,
            args,
            raw,
            _number(result),
            _word(event.errno),
            event.outcome,
            ",".join([_touched_text(part) for part in event.touched]),
            "null" if event.diagnosis is None else _encode(_diagnosis(event, amendment)),
            "null" if stack is None else _encode(stack),
        )

    def _abi_of(self, event: Event) -> str:
        images = self._replay.processes[event.proc - 1].images
        return images[-1][1].abi if images else Abi(0).label

    def _head(self) -> Dict[str, Any]:
        replay = self._replay
        run = replay.run
        if run is None:
            raise RecordError("the journal holds no run: it ends before the program was started")
        host = run.host
        selinux = None
        if host.selinux_enforcing is not None:
            selinux = {"enforcing": host.selinux_enforcing, "booleans": host.selinux_booleans}
        return {
            "schema": SCHEMA_ID,
            "tool": {"name": "wxtrace", "version": run.tool_version},
            "host": {
                "kernel": host.kernel,
                "machine": host.machine,
                "page_size": host.page_size,
                "lsm": host.lsm,
                "selinux": selinux,
                "sysctl": host.sysctl,
            },
            "command": {
                "argv": run.argv,
                "cwd": run.cwd,
                "started": run.started,
                "duration_ns": replay.duration_ns,
                "exit": _exit(replay.processes[0]) if replay.processes else None,
            },
            "processes": [_process(process) for process in replay.processes],
            "spaces": [
                {"id": state.space.id, "parent": state.parent, "forked_at": state.forked_at} for state in replay.spaces
            ],
            "regions": [_region(region, self._origins.get(region.id)) for region in self._regions],
            "notes": self._notes,
            "incomplete": replay.lost,
        }

    def _summary(self) -> Dict[str, Any]:
        replay = self._replay
        verified = replay.run is not None and replay.run.verify
        return {
            "events": self._count,
            "outcomes": dict(self._outcomes),
            "by_cause": dict(self._causes),
            "processes": len(replay.processes),
            "verify": {"checked": replay.checked, "mismatches": replay.mismatches} if verified else None,
        }


# Every run has many events and few shapes of them: a format takes half of the encoder's time. What is put in as it is
# is a number or one of our own words; anything else is encoded.
_EVENT = (
    '{"n":%d,"t_ns":%d,"proc":%d,"pid":%d,"tid":%d,"space":%d,"call":"%s","abi":%s,"args":%s,"raw":%s,"result":%s,'
    '"errno":%s,"outcome":"%s","touched":[%s],"diagnosis":%s,"stack":%s}'
)
_RAW = '["%#x","%#x","%#x","%#x","%#x","%#x"]'
_TOUCHED = '{"region":%s,"start":"%#x","end":"%#x","before":%s,"asked":%s,"after":%s,"provenance":%s,"sealed_by":%s}'


def _args_text(call: facts.Call) -> str:
    unreadable = has_unreadable_block(call.abi, call.number, call.result, call.decided)
    args = symbolic_args(call.abi, call.number, call.args, unreadable).items()
    return "{%s}" % ",".join(['"%s":%d' % item if type(item[1]) is int else '"%s":"%s"' % item for item in args])


def _touched_text(part: Touched) -> str:
    return _TOUCHED % (
        _number(part.region),
        part.start,
        part.end,
        _word(part.before),
        _word(part.asked),
        _word(part.after),
        _word(part.provenance),
        _number(part.sealed_by),
    )


def _word(text: Optional[str]) -> str:
    return "null" if text is None else '"%s"' % text


def _number(value: Any) -> Any:
    return "null" if value is None else value


def _members(value: Dict[str, Any]) -> str:
    """One member a line; lists of records one record a line."""
    lines = []
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            text = "[\n" + ",\n".join(_encode(entry) for entry in item) + "\n]"
        else:
            text = json.dumps(item)
        lines.append("%s:%s" % (json.dumps(key), text))
    return "{" + ",\n".join(lines) + "}"


def _copy(source: Any, out: TextIO, length: int) -> None:
    while length > 0:
        part = source.read(min(length, 1 << 20))
        if not part:
            return
        out.write(part)
        length -= len(part)


def _argument(value: Any) -> Any:
    """Details hold lists (argv); the contract's args are text or numbers."""
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else value


def _exit(process: Process) -> Optional[Dict[str, Any]]:
    if not process.ended or process.let_go:
        return None
    if process.exit_signal is not None:
        return {"signal": signal_name(process.exit_signal)}
    return {"code": process.exit_code}


def _process(process: Process) -> Dict[str, Any]:
    return {
        "proc": process.id,
        "pid": process.pid,
        "parent": process.parent,
        "space": process.spaces,
        "images": [
            {"n": n, "exe": image.exe, "argv": image.argv, "comm": image.comm, "abi": image.abi}
            for n, image in process.images
        ],
        "threads": process.threads,
        "exit": _exit(process),
        "mode": process.mode,
        "name": process.title,
    }


def _region(region: Region, exec_origin: Optional[str]) -> Dict[str, Any]:
    backing = region.backing
    return {
        "id": region.id,
        "space": region.space,
        "start": hex(region.start),
        "end": hex(region.end),
        "provenance": region.provenance,
        "backing": None
        if backing is None
        else {
            "path": backing.path,
            "dev": backing.dev,
            "inode": backing.inode,
            "offset": backing.offset,
            "deleted": backing.deleted,
        },
        "created_by": region.created_by,
        "inferred": region.inferred,
        "shared": region.shared,
        "found_prot": None if region.found_prot is None else prot_letters(region.found_prot),
        "exec_origin": exec_origin,
    }


def _ending(amendment: Optional[Amendment]) -> Dict[str, Any]:
    if amendment is None or amendment.ending is None:
        return {}
    return {"ending": amendment.ending._asdict()}


def _fallback_json(amendment: Optional[Amendment]) -> Dict[str, Any]:
    if amendment is None or amendment.fallback is None:
        return {}
    return {"ladder": [attempt._asdict() for attempt in amendment.fallback.attempts]}


def _diagnosis(event: Event, amendment: Optional[Amendment]) -> Optional[Dict[str, Any]]:
    diagnosis = event.diagnosis
    if diagnosis is None:
        return None
    partial = diagnosis.partial
    return {
        "cause": diagnosis.cause,
        "refused_by": diagnosis.refused_by,
        "confidence": diagnosis.confidence,
        "summary": diagnosis.summary,
        "evidence": [{"fact": evidence.fact, "source": evidence.source} for evidence in diagnosis.evidence],
        "fixes": [{"for": fix.audience, "text": fix.text, "command": fix.command} for fix in diagnosis.fixes],
        "partial": None if partial is None else {"changed_pages": partial.changed_pages, "pages": partial.pages},
        "aftermath": amendment.aftermath if amendment is not None else "unknown",
        "related": list(amendment.related) if amendment is not None else [],
        **_ending(amendment),
        **_fallback_json(amendment),
    }
