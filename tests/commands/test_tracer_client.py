"""The tracer's words, whatever the state of the socket they come through."""

from __future__ import annotations

import json
import socket

from wxtrace.commands.tracer_client import TracerLink
from wxtrace.record.journalbytes import JournalBytes


def test_a_tracer_that_leaves_a_message_unread_is_heard_to_its_last_word() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = TracerLink(ours, tracer=0, attached=True, journal=JournalBytes(None))
    link.ask_to_detach()
    for message in ({"is": "started", "pid": 1}, {"is": "detaching"}, {"is": "over"}):
        theirs.send(json.dumps(message).encode("ascii"))
    theirs.close()

    link.hear()

    assert (link.started, link.detached, link.over) == (True, True, True)
    ours.close()
