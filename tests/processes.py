"""What tests of the command and the tracer share: running it, waiting for events, a shell's job on a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, Generator, List, Optional, Type

WXTRACE = Path(sys.executable).with_name("wxtrace")
AS_NOBODY = """
import ctypes, os, pkgutil, sys
import wxtrace.__main__, _strptime, encodings.ascii
for module in pkgutil.walk_packages(wxtrace.__path__, "wxtrace."):
    if "tui" not in module.name:
        __import__(module.name)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
sys.exit(wxtrace.__main__.main(sys.argv[1:]))
"""
"""wxtrace run by a user without rights, who may not be able to read this interpreter: all is imported first."""
DEADLINE = 20.0
"""Seconds after which whatever was waited for counts as missing."""


def run_wxtrace(
    environment: Dict[str, str], *arguments: str | Path, **keywords: Any
) -> subprocess.CompletedProcess[str]:
    """One finished run; nothing on standard input unless the test gives something."""
    if "input" not in keywords:
        keywords.setdefault("stdin", subprocess.DEVNULL)
    if "stdout" not in keywords:
        keywords.setdefault("capture_output", True)
    return subprocess.run(
        [str(WXTRACE), *map(str, arguments)],
        env=environment,
        errors="surrogateescape",
        timeout=2 * DEADLINE,
        **keywords,
    )


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """The first true value of `condition`, asked again and again."""
    deadline = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, what or "it never came true"
        time.sleep(0.005)


def status_field(pid: int, name: str) -> str:
    """One field of /proc/PID/status; empty once the process is gone."""
    try:
        text = Path("/proc/%d/status" % pid).read_text(errors="replace")
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(name + ":")), "")


def state(pid: int) -> str:
    """R, S, T, t, Z …; empty once the process is gone."""
    return status_field(pid, "State")[:1]


def answered(steps: Generator[Any, Any, Any]) -> Any:
    """What steps come to (wxtrace.live.inquiry) where every question is answered, by this very process."""
    answer = None
    while True:
        try:
            function, arguments, files = steps.send(answer)
        except StopIteration as end:
            return end.value
        descriptors = [os.open(path, os.O_RDONLY) for path in files]
        answer = function(*descriptors, *arguments)
        for fd in descriptors:
            os.close(fd)


def children(pid: int) -> List[int]:
    """The children of a process with one thread."""
    try:
        return [int(word) for word in Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()]
    except OSError:
        return []


def only_child(pid: int) -> int:
    """The one child, as soon as there is one."""
    return int(until(lambda: children(pid), "%d has no child" % pid)[0])


class Shell:
    """An interactive bash on a terminal of its own, without echo: what programs print is all that comes."""

    PROMPT = "shell> "

    def __init__(self, environment: Dict[str, str]) -> None:
        self._rest = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            path = "%s:%s" % (WXTRACE.parent, environment["PATH"])
            environment = {**environment, "PATH": path, "PS1": "", "TERM": "dumb"}
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
        self.type("stty -echo; PS1='%s'; echo rea''dy\n" % self.PROMPT)
        self.read("ready")
        self.read(self.PROMPT)

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)

    @property
    def terminal(self) -> int:
        """The master side."""
        return self._terminal

    def type(self, text: str) -> None:
        """Keys, or a line."""
        os.write(self._terminal, text.encode())

    def read(self, text: str) -> str:
        """Everything up to and with `text`."""
        deadline = time.monotonic() + DEADLINE
        while text not in self._rest:
            left = deadline - time.monotonic()
            assert left > 0, "%r never came; there was %r" % (text, self._rest)
            if select.select([self._terminal], [], [], left)[0]:
                self._rest += os.read(self._terminal, 65536).decode(errors="replace").replace("\r\n", "\n")
        end = self._rest.index(text) + len(text)
        seen, self._rest = self._rest[:end], self._rest[end:]
        return seen

    def status(self) -> int:
        """The exit status of what ran last, once the prompt is back."""
        self.read(self.PROMPT)
        self.type('echo "status=$?"\n')
        self.read("status=")
        status = int(self.read("\n"))
        self.read(self.PROMPT)
        return status
