"""What the whole screen looks like, at 80 by 24 and at 160 by 50: kept as text, row by row.

After a change that is meant: WXTRACE_NEW_SCREENS=1 pytest tests/tui/test_tui_screens.py, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Tuple

import pytest

from tui.records import PAGE, RX, R, Recorded
from tui.screen_kit import NEW, settled, shown
from wxtrace.model.causes.diagnosis import Diagnosed
from wxtrace.model.enumerations import Confidence, Outcome
from wxtrace.model.event import Diagnosis, Evidence, Fix
from wxtrace.model.failed_calls import FailedCalls
from wxtrace.tui.app import TraceApp

KEPT = Path(__file__).resolve().parent / "screens"
SIZES = [(80, 24), (160, 50)]


def compare(name: str, text: str) -> None:
    path = KEPT / (name + ".txt")
    text = "\n".join(line.rstrip() for line in text.split("\n")) + "\n"
    if os.environ.get("WXTRACE_NEW_SCREENS"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.fixture(autouse=True)
def one_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the rules say, and how they say it, is for other tests."""
    evidence = (Evidence("the kernel said so", "a place that was read"), Evidence("and nobody else did", "the stops"))
    fixes = (Fix("developer", "Ask for less."), Fix("administrator", "Allow more.", "setsebool more on"))
    diagnosis = Diagnosis("example", "kernel", Confidence.PROVED, "One sentence that says why.", evidence, fixes)
    monkeypatch.setattr(FailedCalls, "_diagnose", lambda *_: Diagnosed(diagnosis, Outcome.REFUSED, ()))


def several() -> Recorded:
    """Three processes, of which one is refused, one makes memory executable, and one is killed."""
    told = Recorded()
    told.start(200, space=2, how="fork", parent=100)
    told.exec(200, 3, comm="compiler")
    told.map_anonymous(NEW, 3, tid=200)
    told.call("mprotect", NEW, PAGE, RX, tid=200)
    told.call("mprotect", NEW + PAGE, PAGE, R, tid=200)
    told.start(300, space=4, how="fork", parent=200)
    told.refuse(tid=300)
    told.exit(300, signal=9)
    told.call("munmap", NEW, 2 * PAGE, tid=200)
    told.exit(200, code=0)
    told.end()
    return told


@pytest.mark.parametrize("size", SIZES, ids=lambda size: "%dx%d" % size)
@pytest.mark.parametrize(
    ("name", "keys"),
    [("refused", ()), ("map", ("m",)), ("history", ("m", "enter")), ("tree", ("p",)), ("filter", ("f",))],
)
def test_the_screen_looks_as_it_did(
    name: str, keys: Tuple[str, ...], size: Tuple[int, int], tmp_path: Path, screen: Callable[..., None]
) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await pilot.press(*keys)
        await settled(app, pilot)
        compare("%s-%dx%d" % (name, *size), shown(app))

    screen(act, several().write(tmp_path / "j"), size=size)
