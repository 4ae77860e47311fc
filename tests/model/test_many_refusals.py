"""A program that is refused all the time: memory does not grow with its refusals, and each gets its aftermath."""

from __future__ import annotations

from stories import Told

from wxtrace.model import replay
from wxtrace.model.event import Amendment


def test_the_oldest_refusals_are_told_to_have_been_survived() -> None:
    told = Told()
    events = [told.refuse() for _ in range(replay._MOST_PENDING + 2)]
    old = [shown for shown in told.shown if isinstance(shown, Amendment)]

    assert [(amendment.n, amendment.aftermath) for amendment in old] == [(event.n, "continued") for event in events[:2]]
    told.exit(100, code=0)
    told.finish()
    told_of = [shown.n for shown in told.shown if isinstance(shown, Amendment)]
    assert told_of == [event.n for event in events]
