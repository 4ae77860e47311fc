"""What can go wrong with wxtrace itself, and the exit status each ends in.

    WxtraceError            125  the base: something of ours failed
    ├── UsageError          125  the command line asks for what cannot be
    ├── CommandNotFound     127  the program to trace is not there
    ├── CommandNotRunnable  126  it is there and cannot be executed
    ├── RecordError         125  a journal or timeline that cannot be read
    └── OutputError         125  what was to be written, to a file or to standard output, cannot be

Every message is one clear sentence that says the way out.
"""

from __future__ import annotations

__all__ = [
    "CommandNotFound",
    "CommandNotRunnable",
    "OutputError",
    "RecordError",
    "UsageError",
    "WxtraceError",
]


class WxtraceError(Exception):
    """Shown as one sentence; `exit_status` is what the command ends with."""

    exit_status = 125


class UsageError(WxtraceError):
    """The arguments contradict each other or the machine."""


class CommandNotFound(WxtraceError):
    """No such program."""

    exit_status = 127


class CommandNotRunnable(WxtraceError):
    """The file is there, and the kernel will not execute it."""

    exit_status = 126


class OutputError(WxtraceError):
    """A file or a stream that takes no more."""


class RecordError(WxtraceError):
    """A journal or a timeline that is not what it says it is."""
