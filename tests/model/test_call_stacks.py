"""Stacks that are told after their calls: each finds its event."""

from __future__ import annotations

import signal

from stories import ANON_AT, PAGE, RX, Told

from wxtrace.model.event import CallStack
from wxtrace.model.facts import BY_FILTER, StackRead, StackSampled
from wxtrace.model.frames import Frame

FRAMES = [Frame("/srv/jit", 0x11F0, "flip"), Frame("[anon]", 16)]


def sampled(told: Told, tid: int = 100) -> int:
    """The stack of the next call was copied; its time."""
    told.feed(StackSampled(tid, told.t_ns + 1))
    return told.t_ns + 1


def test_a_stack_names_the_event_of_its_call() -> None:
    told = Told()
    at = sampled(told)
    refused = told.refuse()
    later = told.refuse()
    told.feed(StackRead(100, at, FRAMES))

    assert (refused.stack_follows, later.stack_follows) == (True, False)
    assert told.shown[-1] == CallStack(refused.n, tuple(FRAMES))


def test_a_stack_may_come_after_the_end_of_its_process() -> None:
    told = Told()
    at = sampled(told)
    refused = told.refuse()
    told.exit(signal=signal.SIGSEGV)
    told.feed(StackRead(100, at, FRAMES))

    assert told.shown[-1] == CallStack(refused.n, tuple(FRAMES))


def test_a_call_that_is_only_understood_later() -> None:
    """A filter that answers with the call's own number may have trapped it, or made the answer up."""
    told = Told()
    at = sampled(told)
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.signal(signal.SIGSYS, None, code=1)
    told.feed(StackRead(100, at, FRAMES))
    told.exit(signal=signal.SIGSYS)

    [event] = told.named("mprotect")
    assert event.outcome == "refused" and event.stack_follows
    assert told.shown[told.shown.index(event) + 1] == CallStack(event.n, tuple(FRAMES))


def test_a_stack_without_a_call_is_nobodys() -> None:
    told = Told()
    before = len(told.shown)
    told.feed(StackRead(100, 99, FRAMES), StackSampled(100, 98), StackRead(100, 98, FRAMES))

    assert len(told.shown) == before
