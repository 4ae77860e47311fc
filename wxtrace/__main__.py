"""The `wxtrace` command."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import List, NoReturn, Optional, TextIO

# Imports leave no garbage: looking for it costs a tenth of the start. Each command turns it on when it begins.
gc.disable()

try:
    from wxtrace.commands import cli
    from wxtrace.errors import OutputError, WxtraceError
except KeyboardInterrupt:
    os._exit(130)

__all__ = ["command", "main"]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run one command line; what goes wrong with wxtrace itself is one sentence and an exit status."""
    try:
        _occupy_closed_streams()
        _show_what_no_locale_has(sys.stdout)
        status = cli.run(sys.argv[1:] if arguments is None else arguments)
        _flush()
        return status
    except WxtraceError as error:
        return cli.report(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; not worth a word.
        return 141
    except OSError as error:
        # What failed of reading and writing has a sentence of its own where it is known.
        what = "%s: " % os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return cli.report(WxtraceError("the system refused something: %s%s" % (what, error.strerror or error)))


def command() -> NoReturn:
    """What a shell runs. Ends at once: the interpreter would take each module apart first."""
    status = 130
    try:
        status = main()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass
    except KeyboardInterrupt:
        pass
    os._exit(status)


def _flush() -> None:
    if sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError("standard output takes no more: %s" % error.strerror) from None


def _show_what_no_locale_has(stream: TextIO) -> None:
    """Our own signs, and foreign names, where the terminal's character set lacks them."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def _occupy_closed_streams() -> None:
    """Keep our own files out of descriptors 0 to 2; where one is closed, the program finds it closed as well."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= 2:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")


if __name__ == "__main__":
    command()
