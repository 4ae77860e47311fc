"""A timeline without users, hosts and secrets: read twice, first to learn what they are, then to write it anew."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, TextIO

from wxtrace.commands.redaction import Redaction
from wxtrace.record.journalbytes import Readable
from wxtrace.record.jsonstream import members

__all__ = ["write_redacted"]

_STREAMED = frozenset({"processes", "spaces", "regions", "notes", "events"})
# What wxtrace itself wrote there, a word of the contract or a number as text; a user may be called like one.
_OURS = frozenset(
    {
        "abi",
        "after",
        "aftermath",
        "asked",
        "before",
        "by_cause",
        "call",
        "cause",
        "confidence",
        "dev",
        "end",
        "errno",
        "exec_origin",
        "for",
        "kind",
        "mode",
        "outcome",
        "outcomes",
        "provenance",
        "raw",
        "refused_by",
        "result",
        "schema",
        "sealed_by",
        "signal",
        "start",
        "started",
    }
)
_ARGUMENTS = "argv"
_NOTE = {"kind": "redacted", "text": "users, home folders, hosts and secrets were hidden (USER, HOST, SECRET)"}


def write_redacted(timeline: Readable, name: str, out: TextIO) -> str:
    """Copy `timeline` to `out`; what was hidden, in words. Raises RecordError where it is none, and OSError."""
    redaction = Redaction()
    timeline.seek(0)
    for key, value in members(timeline, name, _STREAMED):
        for element in value if key in _STREAMED else (value,):
            _learn(element, key, redaction)
    timeline.seek(0)
    start = "{"
    for key, value in members(timeline, name, _STREAMED):
        out.write("%s%s:" % (start, json.dumps(key)))
        start = ",\n"
        if key in _STREAMED:
            _write_elements(out, value, redaction, [_NOTE] if key == "notes" else [])
        else:
            out.write(json.dumps(_hidden(value, key, redaction)))
    out.write("}\n")
    return redaction.told()


def _write_elements(out: TextIO, elements: Iterable[Any], redaction: Redaction, more: List[Dict[str, str]]) -> None:
    before = "[\n"
    for element in elements:
        out.write(before + json.dumps(_hidden(element, "", redaction), separators=(",", ":")))
        before = ",\n"
    for element in more:
        out.write(before + json.dumps(element))
        before = ",\n"
    out.write("[]" if before == "[\n" else "\n]")


def _learn(value: Any, key: str, redaction: Redaction) -> None:
    if isinstance(value, str) and key not in _OURS:
        redaction.learn(value)
    elif isinstance(value, list):
        if key == _ARGUMENTS:
            redaction.learn_arguments([word for word in value if isinstance(word, str)])
        for item in value:
            _learn(item, key, redaction)
    elif isinstance(value, dict):
        for name, item in value.items():
            _learn(item, name, redaction)


def _hidden(value: Any, key: str, redaction: Redaction) -> Any:
    if key in _OURS:
        return value
    if isinstance(value, str):
        return redaction.apply(value)
    if isinstance(value, list):
        if key == _ARGUMENTS and all(isinstance(word, str) for word in value):
            return redaction.apply_arguments(value)
        return [_hidden(item, key, redaction) for item in value]
    if isinstance(value, dict):
        return {name: _hidden(item, name, redaction) for name, item in value.items()}
    return value
