"""Names that a target or a file chose are text on the screen: no markup, no escape sequence, no broken layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest
from rich.cells import cell_len

from tui.records import Recorded
from tui.screen_kit import settled, shown
from wxtrace.decoders.procmaps import MapLine
from wxtrace.model.facts import Image, Note, Seeded
from wxtrace.tui.app import TraceApp

NAMES = [
    "[red]loud[/red]",
    "[@click=app.quit]x[/]",
    "\x1b]0;title\x07\x1b[31m",
    "two\nlines\ttab\rback",
    "x" * 4096,
    "caf\udce9 \udcff\udcfe",
    "漢字かな" * 40,
    "a\u202eb\u200d\ufeff",
    "\x9b31m\x85",
]


def hostile() -> Recorded:
    """One process runs a program of each name in turn, and each maps a file of that name and is refused."""
    told = Recorded()
    for i, name in enumerate(NAMES):
        at = 0x7F3000000000 + 0x100000 * i
        line = MapLine(at, at + 0x1000, "r-xp", 0, "08:01", 9 + i, "/srv/" + name)
        image = Image("/srv/" + name, [name, "[bold]argument"], name, "x86_64")
        told.feed(Seeded(100, told.now(), 100, 1, "exec", image, [*told.facts[2].maps, line], 1, 2, 0))
        told.feed(Note("kind", name))
        told.call("munmap", at, 0x1000)
        told.refuse()
    return told


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_names_are_text_everywhere(size: tuple[int, int], tmp_path: Path, screen: Callable[..., None]) -> None:
    def check(app: TraceApp) -> str:
        text = shown(app)
        assert not [char for char in text if char != "\n" and not char.isprintable()]
        assert {cell_len(line) for line in text.split("\n")} == {size[0]}
        return text

    async def act(app: TraceApp, pilot: Any) -> None:
        seen = check(app)
        for n in range(1, len(app.index) + 1):
            if size[0] == 80 and app.index.columns.kind_of(n).name == "exec":
                app.events.select(n)
                app.show_details()
                await pilot.pause()
                seen += check(app)
        for keys in (("m", "enter"), ("escape", "p"), ("escape", "y")) if size[0] == 80 else (("p",),):
            await pilot.press(*keys)
            await settled(app, pilot)
            seen += check(app)
        if size[0] == 80:
            assert all(text in seen for text in ("[red]loud", "漢字か", "two\\nlines", "\\x1b]0;"))

    screen(act, hostile().write(tmp_path / "j"), size=size)
