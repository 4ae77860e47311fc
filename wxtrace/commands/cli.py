"""The command line: which command, with which arguments. Only what a command needs is imported."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from importlib import import_module
from typing import Dict, List, Tuple

from wxtrace import __version__
from wxtrace.commands.arguments import Parser
from wxtrace.errors import UsageError, WxtraceError
from wxtrace.printable import printable

__all__ = ["report", "run"]

_MOST_ERROR = 8192
"""Characters; two paths of the longest kind."""

_COMMANDS: Dict[str, Tuple[str, str]] = {
    "causes": ("wxtrace.commands.causes", "list the causes that can be named, or explain one"),
    "export": ("wxtrace.commands.export", "write the timeline of a kept run as JSON"),
    "report": ("wxtrace.commands.report", "tell a kept run as text for a bug tracker"),
    "runs": ("wxtrace.commands.runs", "list the kept runs"),
    "schema": ("wxtrace.commands.schema", "print the JSON Schema of the timeline"),
    "view": ("wxtrace.commands.view", "open a kept run, or one still being written, on that screen"),
}

_DESCRIPTION = """\
Run a program and show the exact memory-protection call that was refused: on
which memory, where that memory came from, who refused it, the proof, and the
smallest fix.

  wxtrace -- wine mytool.exe      run it, explain every refused call
  wxtrace -o run.json -- ./jit    the same, and write the timeline as JSON
  wxtrace -p 4242                 attach to a running program; Ctrl-C detaches
"""

_EPILOG = """\
commands:
%s

exit status: the program's own (128+n when signal n killed it), 126 or 127 when
it cannot be started, 125 when wxtrace itself fails, 70 when --verify found a
mismatch; 0 when it was attached to and let go again.
"""


def run(arguments: List[str]) -> int:
    """Dispatch one command line and give its exit status."""
    if arguments and arguments[0] in _COMMANDS:
        module = import_module(_COMMANDS[arguments[0]][0])
        gc.enable()
        return int(module.run(arguments[1:]))
    if arguments and arguments[0] == "tui":
        arguments = ["--tui", *arguments[1:]]
    ours, separator, command = _split(arguments)
    options, rest = _parser().parse_known_args(ours)
    if rest and rest[0].startswith("-"):
        raise UsageError("no such option: %s; see wxtrace --help" % rest[0])
    if rest:
        raise _forgotten_dashes(ours, rest)
    if options.pid is not None:
        if command or separator:
            raise UsageError("-p attaches to a running program: leave the command out")
        if options.same_cpu:
            raise UsageError("--same-cpu is for programs that wxtrace starts; a running one keeps its processors")
    elif not command:
        raise UsageError("no program to run: wxtrace -- PROGRAM ARGUMENTS (see wxtrace --help)")
    return int(import_module("wxtrace.commands.tui" if options.tui else "wxtrace.commands.run").run(options, command))


def report(error: WxtraceError) -> int:
    """Say what went wrong in one sentence on stderr."""
    try:
        # Here, and nowhere before: what argparse and others say holds whatever somebody put into an argument.
        sys.stderr.write("wxtrace: %s\n" % printable(str(error), _MOST_ERROR))
        traceback = getattr(error, "traceback", "")
        if traceback and os.environ.get("WXTRACE_DEBUG"):
            sys.stderr.writelines(printable(line, _MOST_ERROR) + "\n" for line in traceback.splitlines())
    except OSError:
        pass
    return error.exit_status


def _split(arguments: List[str]) -> Tuple[List[str], bool, List[str]]:
    if "--" not in arguments:
        return arguments, False, []
    at = arguments.index("--")
    return arguments[:at], True, arguments[at + 1 :]


def _forgotten_dashes(ours: List[str], rest: List[str]) -> UsageError:
    import shlex
    import shutil

    known = [name for name in _COMMANDS if name.startswith(rest[0])] if len(rest[0]) > 2 else []
    if shutil.which(rest[0]) is None and known:
        return UsageError("no command %r; did you mean: wxtrace %s" % (rest[0], known[0]))
    at = ours.index(rest[0])
    options, command = ours[:at], ours[at:]
    words = ["wxtrace", *options, "--", *command]
    return UsageError("a program to run stands behind “--”: %s" % " ".join(shlex.quote(word) for word in words))


def _parser() -> argparse.ArgumentParser:
    listed = {name: text for name, (_, text) in _COMMANDS.items()}
    listed["tui"] = "watch a program on a full screen: wxtrace tui -- PROGRAM, or -p PID"
    commands = "\n".join("  wxtrace %-8s %s" % (name, listed[name]) for name in sorted(listed))
    parser = Parser(
        prog="wxtrace",
        usage="wxtrace [options] -- PROGRAM [ARGUMENTS]\n       wxtrace [options] -p PID\n       wxtrace COMMAND [...]",
        description=_DESCRIPTION,
        epilog=_EPILOG % commands,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write the timeline as JSON to FILE")
    parser.add_argument("-p", "--pid", metavar="PID", type=int, help="attach to a running process with all its threads")
    parser.add_argument("--all", action="store_true", help="show every traced call, one line each")
    parser.add_argument("-q", "--quiet", action="store_true", help="show only the summary")
    parser.add_argument("--only", metavar="COMM|PID", help="show only this program or process (all is recorded)")
    parser.add_argument(
        "--wait-daemons", action="store_true", help="wait for every process the program leaves behind, too"
    )
    parser.add_argument("--log", metavar="FILE", help="write wxtrace's messages to FILE instead of stderr")
    parser.add_argument(
        "--verify", action="store_true", help="compare wxtrace's map with /proc/PID/maps after every call (slow)"
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "accelerated", "full"),
        default="auto",
        help="how the program is stopped: auto is right for everybody",
    )
    parser.add_argument(
        "--same-cpu",
        action="store_true",
        help="keep program and tracer on one processor: quicker for a single thread, but the program and all its "
        "children see only that processor in their affinity, and share it",
    )
    parser.add_argument("--tui", action="store_true", help="watch it on a full screen (the same as wxtrace tui)")
    # The program's TERM, where its terminal is one of the screen's own.
    parser.set_defaults(terminal=None)
    parser.add_argument("--version", action="version", version="wxtrace " + __version__)
    return parser
