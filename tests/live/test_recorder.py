"""What the recorder tells the front about its journal: once, and at once."""

from __future__ import annotations

import io
import json
import os
import socket
import tempfile
from typing import Any, Dict, List

from wxtrace.channel import JOURNAL_BYTES
from wxtrace.live.recorder import Recorder
from wxtrace.model.facts import Call, Dropped, Note
from wxtrace.record.journal import JournalReader
from wxtrace.record.store import NewJournal

CALL = Call(1, 2, 0, 10, (0, 4096, 1, 0, 0, 0), 0)


def raw(front: socket.socket) -> List[bytes]:
    messages = []
    front.setblocking(False)
    while True:
        try:
            messages.append(front.recv(65536))
        except BlockingIOError:
            return messages


def heard(front: socket.socket) -> List[Dict[str, Any]]:
    return [json.loads(message) for message in raw(front)]


def test_what_no_file_takes_goes_to_the_front(channel: List[socket.socket]) -> None:
    # A terminal that nobody reads from any more answers EIO.
    reader, broken = os.openpty()
    os.close(reader)
    recorder = Recorder(NewJournal(broken, None, True), channel[0])
    for _ in range(2):
        recorder.fact(Note("kind", "text"))
        recorder.flush()
    os.close(broken)

    first, *pieces = raw(channel[1])
    assert json.loads(first) == {"is": "journal-unkept", "why": "Input/output error", "at": 0, "kept": False}
    journal = b"".join(piece[1:] for piece in pieces if piece[:1] == JOURNAL_BYTES)
    assert list(JournalReader(io.BytesIO(journal), "journal").all()) == [Note("kind", "text")] * 2


def test_a_front_that_stands_still_gets_all_in_the_end(channel: List[socket.socket]) -> None:
    recorder = Recorder(NewJournal(-1, None, True), channel[0])
    facts = [Note("kind", "x" * 20_000) for _ in range(50)]
    for fact in facts:
        recorder.fact(fact)
        recorder.flush()
    journal = b""
    for _ in facts:
        journal += b"".join(piece[1:] for piece in raw(channel[1]) if piece[:1] == JOURNAL_BYTES)
        recorder.flush()

    assert list(JournalReader(io.BytesIO(journal), "journal").all()) == facts


def test_at_its_limit_it_says_so_and_keeps_what_matters(channel: List[socket.socket]) -> None:
    with tempfile.TemporaryFile() as file:
        recorder = Recorder(NewJournal(file.fileno(), None, False), channel[0])
        recorder.journal.limit = 100
        for _ in range(2):
            recorder.call(CALL)
            recorder.flush()
        recorder.call(CALL)
        recorder.flush()
        recorder.call(CALL._replace(result=-13), keep=True)
        recorder.fact(Note("kind", "text"))
        recorder.flush()
        file.seek(0)
        kept = list(JournalReader(file, "journal").all())

    assert kept == [CALL, CALL, CALL._replace(result=-13), Dropped(1), Note("kind", "text")]
    assert [message for message in heard(channel[1]) if message["is"] == "journal-full"] == [
        {"is": "journal-full", "limit": 100}
    ]
