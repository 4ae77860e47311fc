"""What a refused call looks like on a terminal of eighty columns."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import Dict

import pytest
from processes import WXTRACE

pytestmark = pytest.mark.trace


def test_lines_end_where_the_terminal_does(environment: Dict[str, str], examples: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [WXTRACE, "--", examples / "filter_exec", "-e", "0", examples / "jit_anon"]
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs)
    os.set_blocking(ours, False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 65536).decode()).splitlines()

    paths = [line for line in lines if "/" in line.split()[-1] or str(examples) in line]
    assert [line for line in lines if len(line) > 80 and line not in paths] == []
    fault = next(number for number, line in enumerate(lines) if line.startswith("FAULT"))
    advice = " ".join(" ".join(lines[fault:]).split())
    assert "The call reported success, so the program could not know" in advice
