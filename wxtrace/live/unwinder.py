"""The tracer's side of unwinding: samples go to a process of their own, frames come back whenever they do.

Nobody waits for that process. It is started at the first refused call; whatever is wrong with it (killed, hanging,
crashed over a file of the target's) costs stacks and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections import deque
from typing import Any, Deque, Dict, Generator, List, NamedTuple, Optional

from wxtrace.channel import receive
from wxtrace.live.arch import thread_state
from wxtrace.live.arch.registers import registers
from wxtrace.live.grandchild import Grandchild, start_grandchild
from wxtrace.live.inquiry import Question
from wxtrace.live.ptrace import TaskGone
from wxtrace.live.recorder import Recorder
from wxtrace.live.stacksample import StackSample, sample_by
from wxtrace.live.task import Task
from wxtrace.model.facts import Call, StackRead, StackSampled
from wxtrace.model.frames import MOST_FRAMES, Frame

__all__ = ["Unwinder"]

MOST_PENDING = 32
MOST_STARTS = 3
PATIENCE = 6.0
"""Seconds after which an answer is not waited for any more; the process gives itself less (unwinderprocess.py)."""
LAST_PATIENCE = 2.0
"""Seconds that the end of the run waits for answers: a program that crashes is gone before its stack is told."""
BUDGET_SECONDS, REFILL = 2.0, 0.1
"""Unwinding may keep a processor busy for that long, then for a tenth of the time."""

_START = "import sys; sys.path[:] = sys.argv[1:]; from wxtrace.live.unwinderprocess import serve; serve()"
_TEXT_LIMIT = 4096
_REPLY_BYTES = 1 << 20


class _Pending(NamedTuple):
    tid: int
    t_ns: int
    asked: float


class _Unsent(NamedTuple):
    message: bytes
    root: List[int]

    def close(self) -> None:
        for fd in self.root:
            os.close(fd)


class Unwinder:
    """At most one unwinding process at a time, started when it is first needed."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._process: Optional[Grandchild] = None
        self._starts = 0
        self._job = 0
        self._pending: Dict[int, _Pending] = {}
        self._unsent: Deque[_Unsent] = deque()
        self._budget = BUDGET_SECONDS
        self._refilled = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether answers are awaited."""
        return bool(self._pending)

    def sample(self, task: Task, call: Call) -> Generator[Question, Any, Optional[bool]]:
        """Copy the stack of a thread that stands at the end of `call`; `collect` asks for its frames.

        Whether that was done; None when the stack could not be read in time.
        """
        if len(self._pending) >= MOST_PENDING or self._recorder.journal.full or not self._affordable():
            return False
        if self._process is None and self._starts >= MOST_STARTS:
            return False
        try:
            state = thread_state(registers(task.tid))
        except (OSError, TaskGone):
            return False
        memory = "/proc/%d/mem" % task.tid
        answer: Optional[List[StackSample]] = yield Question(sample_by, (task.tid, state), (memory,))
        if not answer:
            return None if answer is None else False
        [sample] = answer
        self._job += 1
        self._unsent.append(_Unsent(b"%d\n" % self._job + sample.packed(), _root_of(task.tid)))
        self._pending[self._job] = _Pending(task.tid, call.t_ns, time.monotonic())
        self._recorder.fact(StackSampled(task.tid, call.t_ns))
        self._recorder.arm()
        return True

    def collect(self) -> None:
        """Send what was sampled, and write down what has come back. Never waits."""
        self._send()
        while self._process is not None:
            data = receive(self._process.channel, _REPLY_BYTES)
            if data is None:
                break
            if not data:
                self._give_up()
                return
            self._answer(data)
        oldest = min((pending.asked for pending in self._pending.values()), default=None)
        if oldest is not None and time.monotonic() - oldest > PATIENCE:
            self._give_up()

    def finish(self) -> None:
        """The end of the run: wait a little for what is still being unwound."""
        self._send()
        deadline = time.monotonic() + LAST_PATIENCE
        while self._pending and self._process is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._process.channel.settimeout(left)
            try:
                data = self._process.channel.recv(_REPLY_BYTES)
            except OSError:
                break
            if not data:
                break
            self._answer(data)
        self._give_up()

    def _send(self) -> None:
        """Not at the stop: starting a process takes milliseconds, and the thread that was refused has been let go."""
        while self._unsent:
            if self._process is None and not self._start():
                self._give_up()
                return
            assert self._process is not None
            message, root = self._unsent[0]
            try:
                socket.send_fds(self._process.channel, [message], root)
            except BlockingIOError:
                return
            except OSError:
                self._give_up()
                return
            self._unsent.popleft().close()

    def _affordable(self) -> bool:
        now = time.monotonic()
        self._budget = min(BUDGET_SECONDS, self._budget + (now - self._refilled) * REFILL)
        self._refilled = now
        return self._budget > 0

    def _start(self) -> bool:
        if self._starts >= MOST_STARTS or not sys.executable:
            return False
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            return False
        self._starts += 1
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        try:
            self._process = start_grandchild(ours, theirs, _spawn)
        except OSError:
            return False
        return True

    def _answer(self, data: bytes) -> None:
        try:
            reply = json.loads(data)
            pending = self._pending.pop(reply["job"], None)
            frames = [_frame(entry) for entry in reply["frames"][:MOST_FRAMES]]
            seconds = float(reply["seconds"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self._give_up()
            return
        if pending is not None:
            self._budget -= seconds
            self._recorder.fact(StackRead(pending.tid, pending.t_ns, frames))

    def _give_up(self) -> None:
        """What was asked for will not come; another process may be started for what is refused later."""
        for pending in self._pending.values():
            self._recorder.fact(StackRead(pending.tid, pending.t_ns, []))
        self._pending.clear()
        while self._unsent:
            self._unsent.popleft().close()
        if self._process is not None:
            self._process.kill()
            self._process = None


def _spawn(channel: socket.socket) -> int:
    # elfutils asks the servers named there for what it does not find, and the network decides how long it takes.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DEBUGINFOD_")}
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", _START, *sys.path],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, channel.fileno(), 0)],
        setsigdef=[signal.SIGALRM, signal.SIGUSR1, signal.SIGHUP],
    )


def _frame(entry: List[Any]) -> Frame:
    module, offset, symbol = entry
    if not isinstance(module, str) or not isinstance(offset, int) or not (symbol is None or isinstance(symbol, str)):
        raise ValueError("no frame")
    if not 0 <= offset < 1 << 63:
        raise ValueError("no offset")
    return Frame(module[:_TEXT_LIMIT], offset, symbol[:_TEXT_LIMIT] if symbol is not None else None)


def _root_of(tid: int) -> List[int]:
    """The target's root folder, through which its files are found, and what keeps it whole when the target is gone.

    With the last process of a mount namespace its mounts go, unless a descriptor holds it (mount_namespaces(7)).
    """
    found: List[int] = []
    try:
        found.append(os.open("/proc/%d/root" % tid, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        found.append(os.open("/proc/%d/ns/mnt" % tid, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        pass
    return found
