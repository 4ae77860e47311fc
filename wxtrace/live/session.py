"""The tracer process: starts or attaches, traces until nobody is left, and never touches the terminal."""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Dict, List, NamedTuple, Optional

from wxtrace import __version__
from wxtrace.descriptors import let_go_of_inherited, raise_own_limit
from wxtrace.frozen import replace
from wxtrace.live import ptrace
from wxtrace.live.host import read_host
from wxtrace.live.launch import Launched, failure_of, launch
from wxtrace.live.leaving import end_as_tracer
from wxtrace.live.lifecycle import Lifecycle
from wxtrace.live.modes import choose_mode
from wxtrace.live.observer import Observer
from wxtrace.live.recorder import Recorder
from wxtrace.live.sanitizers import sanitizer_in_program
from wxtrace.live.tracer import Tracer
from wxtrace.model.facts import ModeChanged, Note, RunEnded, RunStarted
from wxtrace.record.store import NewJournal

if TYPE_CHECKING:
    from wxtrace.live.verify import Verifier

__all__ = ["Session", "trace"]

_PR_SET_PDEATHSIG = 1


class Session(NamedTuple):
    """What the front asks for. Exactly one of `path` and `attach` is set."""

    journal: NewJournal
    channel: socket.socket
    argv: List[bytes]
    path: Optional[bytes]
    attach: Optional[int]
    mode: str
    verify: bool
    same_cpu: bool = False
    terminal: Optional[bytes] = None


def trace(session: Session) -> None:
    """Run the whole session; what goes wrong is said to the front, never printed."""
    recorder = Recorder(session.journal, session.channel)
    gc.freeze()
    gc.enable()
    try:
        _Run(session, recorder).go()
    except Exception as error:
        import traceback

        recorder.flush()
        recorder.say(
            {"is": "failed", "why": _sentence(error, session.attach), "traceback": traceback.format_exc()[-60000:]}
        )
        raise SystemExit(125) from None
    finally:
        recorder.last_words()


class _Run:
    def __init__(self, session: Session, recorder: Recorder) -> None:
        self.session = session
        self.recorder = recorder
        self.descriptors = raise_own_limit()
        self.host = read_host()
        self.verifier: Optional[Verifier] = None
        if session.verify:
            # The model is needed for nothing else here, and takes its time to import.
            from wxtrace.live.verify import Verifier

            self.verifier = Verifier(recorder, self.host.page_size)
        self.lifecycle = Lifecycle(recorder)
        observer = Observer(recorder, self.verifier, self.host.page_size)
        self.tracer = Tracer(recorder, observer, self.lifecycle)
        self.tracer.on_message = self._message
        if self.verifier is not None:
            self.lifecycle.before_end = self.verifier.report

    def go(self) -> None:
        if self.session.path is not None:
            launched = self._launch(self.session.path)
            self.tracer.loop()
            failure = failure_of(launched)
            if failure is not None:
                self.recorder.say({"is": "not-started", "errno": failure[0], "filter": failure[1]})
        else:
            assert self.session.attach is not None
            self._attach(self.session.attach)
            self.tracer.loop()
            if self.tracer.detaching:
                end_as_tracer()
        if self.verifier is not None:
            self.verifier.report()
        self.tracer.inquiries.close()
        if self.tracer.observer.unwinder is not None:
            self.tracer.observer.unwinder.finish()
        self.recorder.fact(RunEnded(self.recorder.now()))
        self.recorder.flush()
        self.recorder.say({"is": "over"})

    def _started(self, mode: str) -> None:
        session = self.session
        self.recorder.fact(
            RunStarted(
                __version__,
                self.host,
                [os.fsdecode(word) for word in session.argv],
                _working_directory(),
                _utc(time.time()),
                mode,
                session.verify,
                session.attach,
            )
        )
        self.recorder.flush()

    def _launch(self, path: bytes) -> Launched:
        foreign = False
        if self.host.seccomp_filters:
            # Only in containers and services: it takes some time.
            from wxtrace.live.inherited import inherited_answers, matters

            self.host = replace(self.host, inherited_answers=inherited_answers())
            foreign = matters(self.host.inherited_answers)
        use_filter, full, why = choose_mode(self.session.mode, self.host, path, foreign)
        if self.session.same_cpu:
            # The child inherits it.
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        launched = launch(
            path,
            self.session.argv,
            use_filter,
            self.recorder.former_handlers,
            self.session.terminal,
            self.descriptors,
        )
        _leave_terminal()
        options = ptrace.OPTIONS
        if use_filter:
            options |= ptrace.O_TRACESECCOMP | ptrace.O_EXITKILL
        ptrace.request(ptrace.PTRACE_SEIZE, launched.pid, 0, options)
        self._started("full" if full else "accelerated")
        task = self.lifecycle.add(launched.pid, launched.pid, "launch")
        task.full = full
        task.filtered = self.lifecycle.filtered = use_filter
        if full:
            self.recorder.fact(ModeChanged(launched.pid, "full", why))
        if not use_filter and self.session.mode != "full":
            self.recorder.fact(Note("no-filter", why))
        elif why and not full:
            self.recorder.fact(Note("inherited-filter", why))
        if use_filter and self.host.selinux_enforcing and os.geteuid() != 0:
            text = "SELinux is enforcing, and our filter sets NO_NEW_PRIVS: the program may keep wxtrace's own domain"
            self.recorder.fact(Note("no-new-privs", text))
        warning = sanitizer_in_program(path)
        if warning is not None:
            self.recorder.fact(Note("sanitizer", warning))
        self.recorder.say({"is": "started", "pid": launched.pid})
        launched.channel.send(b"x")
        return launched

    def _attach(self, pid: int) -> None:
        _leave_terminal()
        # A front that is killed can ask for nothing any more.
        ptrace.prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)
        self._started("full")
        from wxtrace.live.attach import seize_all

        seize_all(self.tracer, self.lifecycle, pid)
        self.recorder.say({"is": "started", "pid": pid})

    def _message(self, message: Dict[str, object]) -> None:
        asked = message.get("do") == "detach" or (message.get("is") == "gone" and self.session.attach is not None)
        if asked and not self.tracer.detaching:
            self.recorder.say({"is": "detaching"})
            self.tracer.detach_all()


def _utc(seconds: float) -> str:
    """RFC 3339, in milliseconds; datetime takes as long to import as all of this file."""
    whole, thousandth = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + ".%03dZ" % thousandth


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        # Removed under our feet: the program runs there all the same.
        return "(deleted)"


def _leave_terminal() -> None:
    """Out of the target's session: no key, hang-up or pipe of the terminal reaches the tracer."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    let_go_of_inherited()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _sentence(error: Exception, attach: Optional[int]) -> str:
    if isinstance(error, PermissionError) and attach is not None:
        return (
            "it may not be traced by this user: it is another user's, set-user-ID or a kernel thread, or "
            "kernel.yama.ptrace_scope forbids it; try as root"
        )
    if isinstance(error, PermissionError):
        return "ptrace is not permitted here (a container without it, or kernel.yama.ptrace_scope is 3)"
    if isinstance(error, ProcessLookupError):
        return "it has ended already"
    return "%s: %s" % (type(error).__name__, error)
