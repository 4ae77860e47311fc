"""`wxtrace -- PROGRAM` and `wxtrace -p PID`: split into tracer and front, run, write the timeline.

The tracer is forked before the front imports what it shows things with: the program starts that much sooner.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import socket
import sys
from typing import List, NoReturn, Optional, TextIO

from wxtrace.commands.output import OutputFile
from wxtrace.errors import CommandNotFound, CommandNotRunnable, UsageError, WxtraceError
from wxtrace.printable import printable
from wxtrace.record import journal as _journal  # noqa: F401  what both processes need, before they part
from wxtrace.record import store
from wxtrace.record.journalbytes import JournalBytes

__all__ = ["MISMATCH_STATUS", "attachable", "check_machine", "check_proc", "find_program", "run", "trace"]

MISMATCH_STATUS = 70
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals to us that are meant for the program."""


def run(options: argparse.Namespace, command: List[str]) -> int:
    """Trace one command or process; the exit status is the program's own."""
    check_machine()
    check_proc()
    path = find_program(command[0]) if command else None
    if options.pid is not None:
        options.pid = attachable(options.pid)
    output = _open_output(options.output) if options.output is not None else None
    stream = _open_log(options.log) if options.log is not None else sys.stderr
    journal = store.create()
    record = JournalBytes(journal.path, journal.spare)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sys.stdout.flush()
    # A signal for the program may come before it runs: it waits until the front can pass it on.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*FORWARDED, signal.SIGINT))
    tracer = os.fork()
    if tracer == 0:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Ctrl-C is for the program, which the terminal or the front sends it to.
            signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        ours.close()
        trace(options, command, path, journal, theirs)
    theirs.close()
    if journal.fd >= 0:
        # Its lock is the tracer's.
        os.close(journal.fd)
    if command:
        _leave_keys_to_the_program()
    from wxtrace.commands.console import Console
    from wxtrace.commands.export import incomplete_text, write_timeline_of
    from wxtrace.commands.front import Front

    console = Console(stream, everything=options.all, quiet=options.quiet, only=options.only, log=options.log)
    front = Front(
        ours, tracer, record, console, attached=options.pid is not None, wait_for_daemons=options.wait_daemons
    )
    gc.freeze()
    gc.enable()
    front.listen(FORWARDED)
    if command:
        if signal.SIGINT in signal.sigpending():
            # It may have come before there was a program.
            front.pass_on(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    store.make_room()
    failure: Optional[WxtraceError] = None
    status = 0
    try:
        status = front.run()
    except WxtraceError as error:
        error.args = ("%s: %s" % (printable(command[0]) if command else "process %s" % options.pid, error),)
        failure = error
        if not front.started:
            store.discard(record)
            raise
    # The program is gone, or let go: from here on Ctrl-C is ours.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console.summary(front.replay, front.seconds, front.ending, str(failure) if failure is not None else None)
    if output is not None:
        with output as out:
            lost = write_timeline_of(record, out, stream)
        if lost is not None:
            console.say(incomplete_text(lost))
        console.say("timeline written to %s" % output.name)
    kept = front.kept_text(output is not None)
    if kept is not None:
        console.say(kept)
    if failure is not None:
        raise failure
    return MISMATCH_STATUS if front.replay.mismatches else status


def trace(
    options: argparse.Namespace,
    command: List[str],
    path: Optional[str],
    journal: store.NewJournal,
    channel: socket.socket,
) -> NoReturn:
    """The tracer process, from fork to its end."""
    status = 125
    try:
        from wxtrace.live import session

        session.trace(
            session.Session(
                journal,
                channel,
                [os.fsencode(word) for word in command],
                os.fsencode(path) if path is not None else None,
                options.pid,
                options.mode,
                options.verify,
                options.same_cpu,
                options.terminal,
            )
        )
        status = 0
    except ImportError as error:
        channel.send(b'{"is": "failed", "why": "a module is missing: %s", "traceback": ""}' % str(error.name).encode())
    finally:
        os._exit(status)


def _leave_keys_to_the_program() -> None:
    """What the terminal sends reaches the program by itself; the front follows its fate. SIGINT is blocked still."""
    for number in (signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)


def find_program(program: str) -> str:
    """The file to execute, as a shell would find it. Raises CommandNotFound or CommandNotRunnable."""
    if not program:
        raise CommandNotFound("the program's name is empty")
    shown = printable(program)
    folders = [""] if os.sep in program else os.get_exec_path()
    for candidate in [os.path.join(folder, program) for folder in folders]:
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):
            return candidate
    if os.sep in program:
        if not os.path.exists(program):
            raise CommandNotFound("%s: no such file" % shown)
        if os.path.isdir(program):
            raise CommandNotRunnable("%s is a directory" % shown)
        raise CommandNotRunnable(_why_not_executable(program))
    for folder in folders:
        if os.path.isfile(os.path.join(folder, program)):
            raise CommandNotRunnable(_why_not_executable(os.path.join(folder, program)))
    raise CommandNotFound("%s: no such program in PATH" % shown)


def _why_not_executable(path: str) -> str:
    shown = printable(path)
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        return "%s lies on a mount with the noexec option: remount it exec, or copy the file elsewhere" % shown
    return "%s is not executable (chmod +x, or name its interpreter first)" % shown


def check_machine() -> None:
    """Elsewhere calls have other numbers: nothing would be seen, and "nothing was refused" be said of it."""
    machine = os.uname().machine
    # A 64-bit process that personality(2) shows an i386 machine (setarch) is one of x86-64.
    if sys.maxsize < 1 << 32 or machine not in ("x86_64", "i386", "i486", "i586", "i686"):
        raise WxtraceError("it traces 64-bit x86 machines only, and this is %s" % machine)


def check_proc() -> None:
    """Everything that is told about a process is read from /proc: it has to be this namespace's own."""
    try:
        own = os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        raise WxtraceError("/proc is not mounted, and nothing can be told without it") from None
    if not own:
        raise WxtraceError("/proc belongs to another pid namespace: mount this one's first (unshare --mount-proc)")


def attachable(pid: int) -> int:
    """The process of that pid, or of the thread with that number. Raises UsageError when it is none to attach to."""
    if pid <= 0 or not os.path.exists("/proc/%d" % pid):
        raise UsageError("there is no process %d" % pid)
    if pid == os.getpid():
        raise UsageError("wxtrace cannot attach to itself")
    try:
        with open("/proc/%d/status" % pid) as file:
            fields = dict(line.partition(":")[::2] for line in file.read(65536).split("\n"))
    except OSError:
        raise UsageError("there is no process %d" % pid) from None
    holder = fields.get("TracerPid", "0").strip()
    if holder != "0":
        raise UsageError("process %d is already traced, by process %s: only one tracer at a time" % (pid, holder))
    if fields.get("State", "").strip().startswith("Z") and len(os.listdir("/proc/%d/task" % pid)) <= 1:
        raise UsageError("process %d has ended already" % pid)
    return int(fields.get("Tgid", pid))


def _open_output(path: str) -> OutputFile:
    """The timeline's file, opened before the program starts: what cannot be written is said now."""
    if path == "-":
        raise UsageError("-o needs a file: standard output belongs to the program")
    return OutputFile(path)


def _open_log(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError("cannot write %s: %s" % (printable(path), error.strerror)) from None
