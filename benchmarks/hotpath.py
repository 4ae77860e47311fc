#!/usr/bin/env python3
"""Where the time of one traced call goes, and the floor below it.

    benchmarks/hotpath.py [--flips N] [--runs N] [--json FILE]

The parts are timed inside a loop that does what wxtrace.live.hotpath does, on one processor with the target; what the
clock itself costs is taken off. `wait` holds the target's own turn and both switches.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

from measure import WXTRACE, Table, build, interleaved, seconds

from wxtrace.live import ptrace, seccomp
from wxtrace.live.arch import NATIVE
from wxtrace.model.facts import BY_KERNEL
from wxtrace.model.replay import Replay
from wxtrace.record.journal import JournalReader, JournalWriter, plain_head

_ENTRY, _EXIT = struct.Struct("<B3xIQQ7QI"), struct.Struct("<B23xq")
PARTS = ("wait", "ptrace requests", "decode", "record")


def started(flips: str, count: int) -> int:
    """The program under our filter, seized and let go."""
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(go_read, 1)
        seccomp.install()
        os.execv(flips, [flips, str(count)])
    ptrace.request(ptrace.PTRACE_SEIZE, pid, 0, ptrace.OPTIONS | ptrace.O_TRACESECCOMP | ptrace.O_EXITKILL)
    os.write(go_write, b"x")
    os.close(go_read)
    os.close(go_write)
    return pid


def resume_only(flips: str, count: int) -> float:
    """Microseconds a call when this loop does nothing but wait and resume."""
    status = ctypes.c_int()
    where, wait, request = ctypes.addressof(status), ptrace.waitpid, ptrace.raw_request
    started(flips, count)
    start = time.monotonic()
    while True:
        tid = wait(-1, where, ptrace.WALL)
        if tid < 0:
            return (time.monotonic() - start) / count * 1e6
        request(ptrace.PTRACE_SYSCALL if status.value == ptrace.SECCOMP_STOP else ptrace.PTRACE_CONT, tid, 0, 0)


def parts(flips: str, count: int, journal: int) -> Dict[str, float]:
    """Microseconds of each part of a call."""
    clock = time.perf_counter_ns
    status = ctypes.c_int()
    info = ctypes.create_string_buffer(ptrace.SYSCALL_INFO_SIZE)
    where, at = ctypes.addressof(status), ctypes.addressof(info)
    wait, request = ptrace.waitpid, ptrace.raw_request
    writer = JournalWriter(journal)
    head = plain_head(NATIVE, BY_KERNEL)
    waited = asked = decoded = recorded = readings = 0
    call = _ENTRY.unpack(bytes(_ENTRY.size))
    started(flips, count)
    while True:
        t0 = clock()
        tid = wait(-1, where, ptrace.WALL)
        t1 = clock()
        if tid < 0:
            break
        stop = status.value
        if stop not in (ptrace.SECCOMP_STOP, ptrace.SYSCALL_STOP):
            request(ptrace.PTRACE_CONT, tid, 0, 0)
            continue
        request(ptrace.PTRACE_GET_SYSCALL_INFO, tid, ptrace.SYSCALL_INFO_SIZE, at)
        t2 = clock()
        if stop == ptrace.SECCOMP_STOP:
            call = _ENTRY.unpack_from(info)
            t3 = t4 = clock()
            request(ptrace.PTRACE_SYSCALL, tid, 0, 0)
        else:
            _, result = _EXIT.unpack_from(info)
            t3 = clock()
            if result >= 0:
                writer.plain_call(tid, t3, head, call, result)
            t4 = clock()
            request(ptrace.PTRACE_CONT, tid, 0, 0)
        t5 = clock()
        waited += t1 - t0
        asked += t2 - t1 + t5 - t4
        decoded += t3 - t2
        recorded += t4 - t3
        readings += 1
    start = clock()
    writer.flush()
    recorded += clock() - start
    start = clock()
    for _ in range(100000):
        clock()
    own = (clock() - start) / 100000
    figures = (waited - readings * own, asked - 2 * readings * own, decoded - readings * own, recorded - readings * own)
    return {name: figure / count / 1000 for name, figure in zip(PARTS, figures)}


def replay(flips: str, count: int, folder: str) -> float:
    """Microseconds a call of reading the journal and keeping the map, as front, export and report do."""
    environment = {**os.environ, "XDG_STATE_HOME": folder}
    command = [WXTRACE, "-q", "--log", "/dev/null", "--", flips, str(count)]
    subprocess.run(command, env=environment, check=True)
    (path,) = Path(folder, "wxtrace").glob("*.journal")
    replay = Replay()
    start = time.process_time()
    with path.open("rb", buffering=0) as file:
        for fact in JournalReader(file, str(path)).all():
            for _ in replay.feed(fact):
                pass
    path.unlink()
    return (time.process_time() - start) / count * 1e6


def main() -> int:
    """Print the table; write the JSON when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flips", type=int, default=50000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    table = Table()
    count = options.flips
    # One processor for all: what is measured is work, not how processors wake each other.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as journal:
        flips, floor = build(folder, "flips"), build(folder, "floor")
        environment = dict(os.environ)
        c_floor, python_floor = interleaved(
            options.runs,
            lambda: seconds([floor, flips, str(count)], environment) / count * 1e6,
            lambda: resume_only(flips, count),
        )
        table.heading("floors: a tracer that only resumes, both stops of a call")
        table.value("in C", statistics.median(c_floor), "us a call")
        table.value("in Python", statistics.median(python_floor), "us a call")
        table.heading("wxtrace's own work for one call")
        found: List[Dict[str, float]] = [parts(flips, count, journal.fileno()) for _ in range(options.runs)]
        for name in PARTS:
            table.value(name, statistics.median(each[name] for each in found), "us a call")
        maps = [replay(flips, count, folder) for _ in range(options.runs)]
        table.value("map (another process, from the journal)", statistics.median(maps), "us a call")
    table.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
