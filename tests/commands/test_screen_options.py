"""What the commands of the screen refuse before they start anything."""

from __future__ import annotations

from typing import Dict

import pytest
from processes import run_wxtrace

from wxtrace.commands import view
from wxtrace.errors import UsageError


def test_without_its_library_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "find_spec", lambda name: None)

    with pytest.raises(UsageError, match=r"pip install '\.\[tui\]'"):
        view.needs_textual()


def test_options_of_the_other_front_are_refused(environment: Dict[str, str]) -> None:
    done = run_wxtrace(environment, "--tui", "-o", "/dev/null", "--", "true")

    assert (done.returncode, done.stderr) == (
        125,
        "wxtrace: -o does not go with the screen: e exports there, f filters\n",
    )
