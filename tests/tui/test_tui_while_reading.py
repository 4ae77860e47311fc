"""Keys that are pressed while a large journal is still read, or its rows are still listed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Callable

import pytest

from tui.records import ANON_AT, PAGE, RW, R, Recorded
from tui.screen_kit import settled, until_shown
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui.app import TraceApp
from wxtrace.tui.listing import Listing

Screen = Callable[..., None]


def test_n_waits_for_what_is_still_to_be_read(journal: Path) -> None:
    async def main() -> None:
        app = TraceApp(JournalBytes(str(journal)))
        read_on, held = app.index.advance, True
        app.index.advance = lambda seconds: not held and read_on(seconds)  # type: ignore[method-assign]
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("n")
            await until_shown(app, pilot, "Reading on to the next refused call")
            await pilot.press("slash", "z", "enter")
            await until_shown(app, pilot, "Nothing matches “z” in what was read so far.")
            held = False
            await settled(app, pilot)
            assert app.events.selected == app.index.columns.alarms[0]

    asyncio.run(main())


def test_the_cursor_comes_back_to_its_event_however_long_listing_takes(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extend = Listing.extend
    monkeypatch.setattr(Listing, "extend", lambda listing, seconds=0.0: extend(listing, 0.0))
    told = Recorded()
    for i in range(700):
        told.call("mprotect", ANON_AT, PAGE, (R, RW, RW)[i % 3])
    told.end()

    async def act(app: TraceApp, pilot: Any) -> None:
        await pilot.press("G", "k", "k")
        await settled(app, pilot)
        stood = app.events.selected
        assert stood is not None and stood > 600
        await pilot.press("u")
        await settled(app, pilot)
        assert app.events.selected == stood
        await pilot.press("u")
        await settled(app, pilot)
        assert app.events.selected == stood

    screen(act, told.write(tmp_path / "long.journal"))
