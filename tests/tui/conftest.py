"""What the screen's tests share: a recorded refusal, and an application over a journal."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Awaitable, Callable

import pytest

from tui.records import PAGE, RW, R, Recorded
from tui.screen_kit import NEW, settled
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui.app import TraceApp


@pytest.fixture
def refused() -> Recorded:
    """./jit maps memory, flips it ten times, is refused R|X twice with a healthy call between, and exits with 1."""
    told = Recorded()
    told.map_anonymous(NEW, 2)
    for _ in range(5):
        told.call("mprotect", NEW, PAGE, R)
        told.call("mprotect", NEW, PAGE, RW)
    told.refuse()
    told.call("munmap", NEW, 2 * PAGE)
    told.refuse()
    told.end(1)
    return told


@pytest.fixture
def journal(refused: Recorded, tmp_path: Path) -> Path:
    """The same, written down."""
    return refused.write(tmp_path / "refused.journal")


Act = Callable[[TraceApp, Any], Awaitable[None]]


@pytest.fixture
def screen(journal: Path) -> Callable[..., None]:
    """Run an application over a journal, and what a test does with it."""

    def run(act: Act, path: Path = journal, size: tuple[int, int] = (80, 24), **keywords: Any) -> None:
        async def main() -> None:
            app = TraceApp(JournalBytes(str(path)), **keywords)
            async with app.run_test(size=size) as pilot:
                await settled(app, pilot)
                await act(app, pilot)

        asyncio.run(main())

    return run
