"""Where wxtrace cannot see anything, it says so."""

from __future__ import annotations

import os

import pytest

from wxtrace.commands import run
from wxtrace.errors import WxtraceError


def test_another_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """On arm64 a refused mprotect was not seen, and "nothing was refused" said of it."""
    ours = os.uname()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((*ours[:4], "aarch64")))
    with pytest.raises(WxtraceError, match="aarch64") as raised:
        run.check_machine()

    assert raised.value.exit_status == 125
