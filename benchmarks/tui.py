#!/usr/bin/env python3
"""The screen at scale, measured through a pseudo-terminal: opening a journal of a million events, and its keys.

    benchmarks/tui.py [--events N] [--regions N] [--keys N] [--only saved|live]

A key's time runs from writing it until the terminal has been sent another row. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import random
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Dict, List

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.model.enumerations import Abi
from wxtrace.model.facts import (
    BY_KERNEL,
    Call,
    Host,
    Image,
    Probe,
    RunEnded,
    RunStarted,
    Seeded,
    TaskExited,
    TaskStarted,
)
from wxtrace.record.journal import JournalReader, JournalWriter, plain_head

HERE = Path(__file__).resolve().parent
WXTRACE = shutil.which("wxtrace", path=str(Path(sys.executable).parent)) or "wxtrace"
BATCH = 400
"""Calls a frame: forty milliseconds of ten thousand calls a second."""
BASE = 0x7F0000000000
SIZE = 8192
KEYS = (b"j", b"j", b"k", b"\x1b[6~", b"\x1b[5~", b"n", b"N", b"G", b"g")


def write_journal(path: str, events: int, regions: int) -> None:
    """As the tracer would: every region is mapped, then pages change their protection; now and then it is refused."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    writer = JournalWriter(fd, limit=1 << 40)
    head = plain_head(Abi.X86_64, BY_KERNEL)
    host = Host("6.18.4", "x86_64", 4096, ["capability"], mdwe=0)
    writer.fact(RunStarted("0.1", host, ["./big", "--fast"], "/srv", "2024-05-01T12:00:00Z", "accelerated", False))
    writer.fact(TaskStarted(100, 1, 100, 1, "launch"))
    maps = [
        MapLine(0x555500000000, 0x555500004000, "r-xp", 0, "08:01", 7, "/srv/big"),
        MapLine(0x7FFE00000000, 0x7FFE00021000, "rw-p", 0, "00:00", 0, "[stack]"),
    ]
    image = Image("/srv/big", ["./big"], "big", "x86_64")
    writer.fact(Seeded(100, 2, 100, 1, "exec", image, maps, 0x555500005000, 0x7FFE00020000, 0))
    chance = random.Random(1)
    for n in range(events):
        t_ns = 100_000 * n
        at = BASE + (n if n < regions else chance.randrange(regions)) * 2 * SIZE
        if n < regions:
            words = (0, 0, 0, 0, 9, 0, SIZE, 3, 0x22, (1 << 64) - 1, 0, 0)
            writer.plain_call(100, t_ns, head, words, at)
        elif n % (events // 300 + 1) == 0:
            line = MapLine(at, at + SIZE, "rw-p", 0, "00:00", 0, "")
            writer.fact(Probe(100, "big", vmas=[Vma(line, ("mr", "mw", "me"), 0, 0, 0)], mdwe=0))
            writer.call(Call(100, t_ns, 0, 10, (at, SIZE, 5, 0, 0, 0), -13, BY_KERNEL), keep=True)
        else:
            words = (0, 0, 0, 0, 10, at, SIZE, chance.choice((0, 1, 3)), 0, 0, 0, 0)
            writer.plain_call(100, t_ns, head, words, 0)
        if n % BATCH == 0:
            writer.flush()
    writer.fact(TaskExited(100, 100_000 * events, code=0))
    writer.fact(RunEnded(100_000 * events))
    writer.flush()
    os.close(fd)


class Terminal:
    """A program on a terminal of 160 by 50."""

    ROW = re.compile(rb"mmap|mprotect|refused")

    def __init__(self, command: List[str], environment: Dict[str, str]) -> None:
        self.start = time.monotonic()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, {**environment, "TERM": "xterm-256color"})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))

    def read(self, seconds: float) -> bytes:
        """What comes within that time; the first piece of it."""
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                return os.read(self.fd, 1 << 16)
            except OSError:
                return b""
        return b""

    def until(self, wanted: re.Pattern[bytes], seconds: float = 120) -> float:
        """How long it takes until that is written."""
        start, seen = time.monotonic(), b""
        while not wanted.search(seen):
            if time.monotonic() - start > seconds:
                raise TimeoutError(wanted.pattern)
            seen += self.read(0.05)
        return time.monotonic() - start

    def drain(self, seconds: float = 0.25) -> None:
        """Until nothing has come for that long, or a while has passed."""
        end = time.monotonic() + 4 * seconds
        while time.monotonic() < end and self.read(seconds):
            pass

    def key(self, key: bytes) -> float:
        """Milliseconds until rows are drawn for a key."""
        while self.read(0):
            pass
        start = time.monotonic()
        os.write(self.fd, key)
        self.until(self.ROW, 20)
        return (time.monotonic() - start) * 1000

    def memory(self) -> int:
        """MiB it had at most."""
        text = Path("/proc/%d/status" % self.pid).read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM"))) // 1024

    def close(self) -> None:
        """Quit."""
        os.write(self.fd, b"q")
        self.drain()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def told(times: List[float]) -> str:
    """Median, 95th percentile and worst."""
    times = sorted(times)
    return "median %5.1f ms, 95%% %5.1f ms, worst %5.1f ms" % (
        statistics.median(times),
        times[int(len(times) * 0.95)],
        times[-1],
    )


def saved(options: argparse.Namespace, folder: str, environment: Dict[str, str]) -> None:
    """Open a large journal and press keys, while it is still read and then."""
    path = os.path.join(folder, "large.journal")
    write_journal(path, options.events, options.regions)
    print("%d events, %d regions, %d MB" % (options.events, options.regions, os.path.getsize(path) >> 20))
    terminal = Terminal([WXTRACE, "view", path], environment)
    terminal.until(Terminal.ROW)
    print("first screen       %.2f s" % (time.monotonic() - terminal.start))
    keys = [KEYS[i % 5] for i in range(options.keys)]
    pressed = []
    for key in keys:
        pressed.append(terminal.key(key))
        terminal.drain(0.02)
    print("keys while reading %s" % told(pressed))
    terminal.until(re.compile(rb"exit status 0"))
    print("all read           %.2f s" % (time.monotonic() - terminal.start))
    terminal.drain()
    pressed = []
    for i in range(options.keys):
        pressed.append(terminal.key(KEYS[i % len(KEYS)]))
        terminal.drain(0.08)
    print("keys afterwards    %s" % told(pressed))
    print("memory             %d MiB" % terminal.memory())
    terminal.close()


def live(folder: str, environment: Dict[str, str]) -> None:
    """A program that flips a page 100,000 times, under the screen and without it: what the screen costs the tracer."""
    flips = os.path.join(folder, "flips")
    subprocess.run(["cc", "-O1", "-pthread", "-o", flips, str(HERE / "flips.c")], check=True)
    command = ["--", flips, "100000"]
    subprocess.run([WXTRACE, "-q", "--log", "/dev/null", *command], env=environment, check=False)
    alone = traced_seconds(folder)
    terminal = Terminal([WXTRACE, "tui", *command], environment)
    terminal.until(Terminal.ROW)
    pressed: List[float] = []
    seen = b""
    while b"exit status" not in seen:
        seen = (seen + terminal.read(0.05))[-4096:]
        if len(pressed) < 30:
            pressed.append(terminal.key(b"kj"[len(pressed) % 2 :][:1]))
    print("live               %.2f s, headless %.2f s" % (traced_seconds(folder), alone))
    print("keys while live    %s" % told(pressed))
    terminal.close()


def traced_seconds(folder: str) -> float:
    """How long the newest run took by its own clock."""
    newest = max(Path(folder).glob("wxtrace/*.journal"), key=lambda path: path.stat().st_mtime)
    with open(newest, "rb") as file:
        return float(list(JournalReader(file, str(newest)).all())[-1].t_ns / 1e9)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--regions", type=int, default=65_000)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--only", choices=("saved", "live"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_STATE_HOME": folder}
        if options.only != "live":
            saved(options, folder, environment)
        if options.only != "saved":
            live(folder, environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
