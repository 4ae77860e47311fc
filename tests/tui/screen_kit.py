"""What the screen's tests do with an application: wait until it has come to rest, and read it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("textual", reason="the screen needs textual: pip install '.[tui]'")

from textual.pilot import Pilot

from wxtrace.tui.app import TraceApp

__all__ = ["NEW", "settled", "shown", "until_shown"]

NEW = 0x7F2000000000


async def settled(app: TraceApp, pilot: Pilot[Any]) -> None:
    """Everything that there is has been read, and drawn."""
    before = ""
    for _ in range(1000):
        await pilot.pause()
        read = (app.index.complete or app.growing) and app.events.listing.seen == len(app.index)
        if read and not app.busy:
            now = shown(app)
            if now == before and now.strip():
                return
            before = now
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to rest")


async def until_shown(app: TraceApp, pilot: Pilot[Any], text: str) -> None:
    """The screen shows this; what takes more than one layout comes a little later than the key."""
    for _ in range(500):
        if text in shown(app):
            return
        await pilot.pause(0.01)
    raise AssertionError("%r is not there:\n%s" % (text, shown(app)))


def shown(app: TraceApp) -> str:
    """The screen as text."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())
