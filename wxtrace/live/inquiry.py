"""What a tracee can hold up is asked of a process of its own, and whoever answers late is not waited for.

A file of the target's may be served by the target (FUSE), its memory as well (userfaultfd), and its map is locked while
a call of another thread waits for either. Whoever looks waits for a process that may stand stopped until we go on. So
the tracer never looks there: it asks, goes on with other tracees, and only the thread whose call is looked at stands
still meanwhile.

The helper process is forked from the tracer at the first question, and is no child of it: `waitpid(-1)` has to end with
ECHILD when the last tracee is gone, and a process whose request a server holds cannot even be killed
(fs/fuse/dev.c:request_wait_answer).
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Generator, List, NamedTuple, Optional, Tuple

from wxtrace.live.grandchild import Grandchild, start_grandchild
from wxtrace.live.procfs import process_state
from wxtrace.live.ptrace import TaskGone
from wxtrace.live.recorder import Recorder
from wxtrace.live.task import Task
from wxtrace.model.facts import Note

__all__ = ["Inquiries", "Question", "Steps"]

PATIENCE = 1.0
"""Seconds that the helper may sleep over one question. While it only waits for a processor, nothing counts."""
MOST_PATIENCE = 10.0
"""Seconds after which even that is too long."""
MOST_STARTS = 16

_LENGTH = struct.Struct("<Q")
_MOST_ANSWER = 256 << 20
_CHUNK = 1 << 18


class Question(NamedTuple):
    """A function of this package to be called in the helper. Its answer is never None: that is for no answer in time.

    `files` are opened by the tracer, which may more than others, when their turn has come; as descriptors they are the
    first arguments.
    """

    function: Callable[..., Any]
    arguments: Tuple[Any, ...]
    files: Tuple[str, ...] = ()


Steps = Generator[Question, Any, None]
"""Yields questions, and is sent their answers; at its end all that was learnt is written down."""


class _Asked(NamedTuple):
    task: Task
    question: Question


class Inquiries:
    """The questions of all tasks, one after the other, to at most one helper process at a time."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._standing: Dict[Task, Tuple[Steps, Callable[[], None]]] = {}
        self._queue: Deque[_Asked] = deque()
        # Whether the first of the queue was sent.
        self._sent = False
        self._slept = self._since = self._looked = 0.0
        self._helper: Optional[Grandchild] = None
        self._received = bytearray()
        self._starts = 0
        self._told = False

    def __bool__(self) -> bool:
        return bool(self._standing)

    def __contains__(self, task: Task) -> bool:
        return task in self._standing

    def pursue(self, task: Task, steps: Steps, then: Callable[[], None]) -> None:
        """Go through the steps; `then` lets the task go on. Until then it stands still."""
        self._standing[task] = steps, then
        task.inquired = True
        self._go_on(task, None)

    def collect(self) -> None:
        """Take in what was answered, and give up what was not. Never waits."""
        while self._sent:
            answer = self._answer()
            if answer is None:
                if not self._given_up():
                    return
                answer = (None,)
            self._sent = False
            task = self._queue.popleft().task
            self._ask()
            if task in self._standing:
                try:
                    self._go_on(task, answer[0])
                except TaskGone:
                    # Killed out of its stop: the wait status that says so is on its way.
                    pass

    def forget(self, task: Task) -> None:
        """The task is gone: what was learnt so far is written down."""
        standing = self._standing.pop(task, None)
        if standing is None:
            return
        task.inquired = False
        steps, _ = standing
        try:
            while True:
                steps.send(None)
        except (StopIteration, TaskGone):
            pass

    def close(self) -> None:
        """Let the helper go."""
        self._abandon()

    def _go_on(self, task: Task, answer: Any) -> None:
        steps, then = self._standing[task]
        try:
            question = steps.send(answer)
        except StopIteration:
            del self._standing[task]
            task.inquired = False
            then()
            return
        except TaskGone:
            del self._standing[task]
            task.inquired = False
            raise
        self._queue.append(_Asked(task, question))
        self._recorder.arm()
        self._ask()

    def _ask(self) -> None:
        """Send the first of the queue."""
        if self._sent or not self._queue:
            return
        _, question = self._queue[0]
        self._sent = True
        self._slept, self._since = 0.0, time.monotonic()
        self._looked = self._since
        if self._helper is None and not self._start():
            return
        assert self._helper is not None
        # Not at the start: most programs are refused nothing.
        import pickle

        data = pickle.dumps((question.function, question.arguments))
        descriptors: List[int] = []
        try:
            descriptors += [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in question.files]
            socket.send_fds(self._helper.channel, [_LENGTH.pack(len(data)), data], descriptors)
        except OSError:
            self._abandon()
        finally:
            for fd in descriptors:
                os.close(fd)

    def _answer(self) -> Optional[Tuple[Any]]:
        """The whole answer, once it has come; (None,) when none will come."""
        if self._helper is None:
            return (None,)
        try:
            while True:
                part = self._helper.channel.recv(_CHUNK)
                if not part:
                    self._abandon()
                    return (None,)
                self._received += part
        except BlockingIOError:
            pass
        except OSError:
            self._abandon()
            return (None,)
        if len(self._received) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._received)
        if len(self._received) < _LENGTH.size + size:
            return None
        import pickle

        answer = pickle.loads(self._received[_LENGTH.size :])
        self._received.clear()
        return (answer,)

    def _given_up(self) -> bool:
        assert self._helper is not None
        now = time.monotonic()
        if process_state(self._helper.pid) != "R":
            self._slept += now - self._looked
        self._looked = now
        if self._slept <= PATIENCE and now - self._since <= MOST_PATIENCE:
            return False
        self._abandon()
        return True

    def _start(self) -> bool:
        if self._starts >= MOST_STARTS:
            return False
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            self._say_why_not(error)
            return False
        self._starts += 1
        try:
            self._helper = start_grandchild(ours, theirs, _fork_helper)
        except OSError as error:
            self._say_why_not(error)
            return False
        # Whatever comes breaks the tracer's wait.
        fcntl.fcntl(ours, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(ours, fcntl.F_SETSIG, signal.SIGUSR1)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_NONBLOCK | fcntl.FASYNC)
        return True

    def _say_why_not(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            text = "wxtrace cannot start the process that looks at refused calls (%s): some evidence will be missing"
            self._recorder.fact(Note("no-helper", text % error.strerror))

    def _abandon(self) -> None:
        self._received.clear()
        if self._helper is not None:
            self._helper.kill()
            self._helper = None


def _fork_helper(channel: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        _serve(channel)
        # What comes after is the tracer's.
        os._exit(0)
    return pid


def _serve(channel: socket.socket) -> None:
    """Answer until the tracer closes its end, or dies. Nothing else of the tracer's is kept open."""
    import pickle

    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(channel.fileno(), 3)
    os.closerange(4, max(int(name) for name in os.listdir("/proc/self/fd")) + 1)
    own = socket.socket(fileno=3)
    while True:
        head, descriptors = _received(own)
        if head is None:
            return
        try:
            function, arguments = pickle.loads(head)
            answer = function(*descriptors, *arguments)
        except Exception:  # Whatever goes wrong over what a target holds, that is no answer.
            answer = None
        for fd in descriptors:
            os.close(fd)
        data = pickle.dumps(answer)
        own.sendall(_LENGTH.pack(len(data)) + data)


def _received(channel: socket.socket) -> Tuple[Optional[bytes], List[int]]:
    data, descriptors, _, _ = socket.recv_fds(channel, _CHUNK, 4)
    while data:
        if len(data) >= _LENGTH.size and len(data) >= _LENGTH.size + _LENGTH.unpack_from(data)[0]:
            return data[_LENGTH.size :], descriptors
        part = channel.recv(_CHUNK)
        if not part:
            break
        data += part
    return None, descriptors
