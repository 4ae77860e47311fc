"""Ctrl-C while wxtrace starts: it ends as the program would have, and shows no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Dict

import pytest

pytestmark = pytest.mark.trace

# SIGINT to the process group, as the terminal sends it, when the named module is about to be imported.
INTERRUPTING = """
import builtins, os, signal, sys
asked = builtins.__import__
def interrupting(name, *rest):
    if name == %r:
        builtins.__import__ = asked
        os.killpg(0, signal.SIGINT)
    return asked(name, *rest)
builtins.__import__ = interrupting
import wxtrace.__main__
sys.argv[0] = "wxtrace"
wxtrace.__main__.command()
"""
MOMENTS = ["argparse", "wxtrace.commands", "wxtrace.live", "wxtrace.commands.console", "wxtrace.commands.front"]


def notice_ctrl_c() -> None:
    """Whoever runs the tests may ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_start_that_is_interrupted_says_nothing_of_python(environment: Dict[str, str], moment: str) -> None:
    line = [sys.executable, "-c", INTERRUPTING % moment, "--", "sleep", "1000"]
    done = subprocess.run(
        line,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        preexec_fn=notice_ctrl_c,
    )

    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
