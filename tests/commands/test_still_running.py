"""A program that hangs after a refusal: the console says what stands behind the silence, once."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "model"))

from stories import Told

from wxtrace.commands import console as module
from wxtrace.commands.console import Console


def test_a_long_silence_after_a_refusal_is_explained_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE", 0.0)
    stream = io.StringIO()
    told, console = Told(), Console(stream)
    console.show(told.refuse(), told.replay)
    for _ in range(2):
        console.still_running()

    assert stream.getvalue().count("wxtrace: still running; last refused: mprotect(") == 1


def test_a_program_that_was_refused_nothing_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE", 0.0)
    stream = io.StringIO()
    console = Console(stream)
    console.still_running()

    assert (stream.getvalue(), console.patience()) == ("", None)
