"""Who called: stacks of refused calls of real programs, with libdw and without."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List

import pytest
from processes import DEADLINE, WXTRACE, children, status_field, until

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
NO_FRAME_POINTERS, FRAME_POINTERS = "-fomit-frame-pointer", "-fno-omit-frame-pointer"
CALLERS = ["innermost_caller", "outer_caller"]


def _has_libdw() -> bool:
    try:
        ctypes.CDLL("libdw.so.1")
    except OSError:
        return False
    return True


needs_libdw = pytest.mark.skipif(not _has_libdw(), reason="libdw (Debian: libdw1) is not installed")


@pytest.fixture
def without_libdw(tmp_path: Path) -> Dict[str, str]:
    """An environment where the library of that name is none."""
    (tmp_path / "libdw.so.1").write_bytes(b"no library")
    return {"LD_LIBRARY_PATH": str(tmp_path)}


def stack_of(run: Run) -> List[Dict[str, Any]]:
    """The stack of the one refused call."""
    (refused,) = run.refused("mprotect")
    assert refused["stack"] is not None, run.stderr
    return list(refused["stack"])


def functions(stack: List[Dict[str, Any]]) -> List[str]:
    """From the first caller outside the C library outwards, those that have a name."""
    names = [frame["symbol"] for frame in stack if frame["symbol"] is not None]
    return names[names.index("innermost_caller") :]


def compiled_for_i386(program: Program, *flags: str) -> Path:
    try:
        return program("stack_calls", "-m32", *flags)
    except subprocess.CalledProcessError:
        pytest.skip("this compiler makes no 32-bit programs (Debian: gcc-multilib)")


@needs_libdw
def test_the_functions_that_led_to_a_refused_call(trace: Trace, program: Program) -> None:
    path = program("stack_calls", NO_FRAME_POINTERS)
    run = trace(path)
    stack = stack_of(run)

    assert functions(stack)[:3] == [*CALLERS, "main"]
    assert "mprotect" in stack[0]["symbol"] and "/libc" in stack[0]["module"]
    innermost = stack[1]
    assert innermost["module"] == str(path)
    symbols = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    start = next(int(line.split()[0], 16) for line in symbols.splitlines() if line.endswith(" innermost_caller"))
    assert start < innermost["offset"] < start + 64
    assert (
        "  caller  innermost_caller in %s (+%#x)\n          outer_caller in " % (path, innermost["offset"])
        in run.stderr
    )
    assert run.stderr.index("  why ") < run.stderr.index("  who ") < run.stderr.index("  caller ")


@needs_libdw
def test_the_stack_of_a_thread_and_of_a_signal_handler(trace: Trace, program: Program) -> None:
    path = program("stack_calls", NO_FRAME_POINTERS)

    assert functions(stack_of(trace(path, "thread")))[:3] == [*CALLERS, "thread_body"]
    handled = functions(stack_of(trace(path, "signal")))
    assert handled[:3] == [*CALLERS, "on_signal"]
    assert handled.index("raise") < handled.index("main")


@needs_libdw
def test_a_library_that_was_loaded_later(trace: Trace, program: Program) -> None:
    library = program("stack_calls", "-shared", "-fPIC", "-DLIBRARY")
    run = trace(program("stack_calls", NO_FRAME_POINTERS), "dlopen", library)

    assert functions(stack_of(run))[:3] == [*CALLERS, "main"]
    assert [frame["module"] for frame in stack_of(run)[1:3]] == [str(library)] * 2


@needs_libdw
def test_a_program_at_a_fixed_address_that_maps_its_text_again(trace: Trace, program: Program) -> None:
    """As V8 does: libdw must not be told of the file a second time."""
    run = trace(program("stack_calls", NO_FRAME_POINTERS, "-no-pie"), "text-mapped-twice")

    assert functions(stack_of(run))[:3] == [*CALLERS, "main"]


@needs_libdw
def test_32_bit_code_and_32_bit_calls_of_64_bit_code(trace: Trace, program: Program) -> None:
    foreign = stack_of(trace(program("stack_calls", NO_FRAME_POINTERS), "int80"))
    assert [frame["symbol"] for frame in foreign[:2]] == ["ask_as_i386", "main"]
    stack = stack_of(trace(compiled_for_i386(program, NO_FRAME_POINTERS)))
    assert functions(stack)[:3] == [*CALLERS, "main"]
    assert stack[0]["module"] == "[vdso]"


@needs_libdw
def test_code_in_anonymous_memory_is_called_that(trace: Trace, program: Program) -> None:
    run = trace(program("stack_calls", FRAME_POINTERS), "anonymous")
    stack = stack_of(run)

    assert stack[0] == {"module": "[anon]", "offset": 11, "symbol": None}
    assert [frame["symbol"] for frame in stack[1:3]] == ["ask_from_anonymous_memory", "main"]
    assert "  caller  code in anonymous memory (compiled at run time?)" in run.stderr


def test_without_libdw_frame_pointers_lead_to_the_same(
    trace: Trace, program: Program, without_libdw: Dict[str, str]
) -> None:
    run = trace(program("stack_calls", FRAME_POINTERS), env=without_libdw)

    assert functions(stack_of(run))[:3] == [*CALLERS, "main"]


def test_without_either_there_is_the_nearest_caller(
    trace: Trace, program: Program, without_libdw: Dict[str, str]
) -> None:
    """The C library's wrapper has no frame: the return address lies on top of the stack."""
    path = program("stack_calls", NO_FRAME_POINTERS, "-s")
    stack = stack_of(trace(path, env=without_libdw))

    assert (stack[1]["module"], stack[1]["symbol"]) == (str(path), None)
    assert 0x1000 < stack[1]["offset"] < 0x2000


def test_without_libdw_32_bit_code_is_walked_out_of_the_vdso(
    trace: Trace, program: Program, without_libdw: Dict[str, str]
) -> None:
    stack = stack_of(trace(compiled_for_i386(program, FRAME_POINTERS), env=without_libdw))

    assert stack[0]["module"] == "[vdso]"
    # The C library's wrapper has pushed a register, and keeps no frame: whose frame comes next is not told.
    assert [name for name in (frame["symbol"] for frame in stack) if name in ("outer_caller", "main")] == [
        "outer_caller",
        "main",
    ]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount")
def test_a_file_that_only_the_target_can_see(trace: Trace, program: Program, tmp_path: Path) -> None:
    """It lies on a mount of a namespace that is gone with the program."""
    inside = "mount -t tmpfs none %s && cp %s %s/inside && exec %s/inside"
    script = inside % (tmp_path, program("stack_calls", FRAME_POINTERS), tmp_path, tmp_path)
    stack = stack_of(trace("unshare", "--mount", "sh", "-c", script, options=("-q",)))

    assert functions(stack)[:3] == [*CALLERS, "main"]
    assert not (tmp_path / "inside").exists()


def test_nobody_on_a_network_is_asked(trace: Trace, program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = "http://127.0.0.1:%d" % server.getsockname()[1]
        run = trace(program("stack_calls", "-s"), env={"DEBUGINFOD_URLS": url})
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()

    assert len(stack_of(run)) > 1


class Waiting:
    """A traced program that makes a refused call for every line of its input."""

    def __init__(self, how: str, path: Path, folder: Path, environment: Dict[str, str]) -> None:
        self.timeline = folder / "timeline.json"
        line = [str(WXTRACE), "-q", "-o", str(self.timeline), "--", str(path), how]
        self.front = subprocess.Popen(line, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait()
        (self.tracer,) = children(self.front.pid)

    def wait(self) -> None:
        assert self.front.stdout is not None
        assert self.front.stdout.readline() == "ready\n"

    def refuse(self) -> None:
        assert self.front.stdin is not None
        self.front.stdin.write("again\n")
        self.front.stdin.flush()
        self.wait()

    def session(self) -> List[int]:
        """The processes of the tracer's session, which the program is not in."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and _session(int(name)) == self.tracer]

    def unwinders(self) -> List[int]:
        """Those that serve, and not the children they have for a single stack."""
        return [
            pid
            for pid in self.session()
            if b"unwinderprocess" in _command_line(pid) and int(status_field(pid, "PPid") or 0) not in self.session()
        ]

    def unwinder(self) -> int:
        """The one that serves, once it is what it is to be."""
        return int(until(self.unwinders, "no unwinder")[0])

    def end(self) -> List[Any]:
        """The stacks of the refused calls, when all is over."""
        self.front.communicate(timeout=DEADLINE)
        assert self.front.returncode == 0
        events = json.loads(self.timeline.read_text())["events"]
        return [event["stack"] for event in events if event["outcome"] == "refused"]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _command_line(pid: int) -> bytes:
    try:
        return Path("/proc/%d/cmdline" % pid).read_bytes()
    except OSError:
        return b""


def test_nothing_is_started_where_nothing_is_refused(
    program: Program, tmp_path: Path, environment: Dict[str, str]
) -> None:
    waiting = Waiting("nothing", program("stack_calls"), tmp_path, environment)

    assert waiting.session() == [waiting.tracer]
    assert waiting.end() == []


def test_an_unwinder_that_is_killed_is_replaced(program: Program, tmp_path: Path, environment: Dict[str, str]) -> None:
    waiting = Waiting("waiting", program("stack_calls"), tmp_path, environment)
    waiting.refuse()
    first = waiting.unwinder()
    os.kill(first, signal.SIGKILL)
    until(lambda: not _command_line(first))
    until(lambda: waiting.refuse() or waiting.unwinders(), "no other unwinder")
    waiting.refuse()

    assert waiting.end()[-1] is not None


def test_an_unwinder_that_hangs_costs_only_its_stacks(
    program: Program, tmp_path: Path, environment: Dict[str, str]
) -> None:
    waiting = Waiting("waiting", program("stack_calls"), tmp_path, environment)
    waiting.refuse()
    unwinder = waiting.unwinder()
    # Or the tracer would wait for it, too, when all is over.
    assert unwinder not in children(waiting.tracer)
    os.kill(unwinder, signal.SIGSTOP)
    waiting.refuse()

    assert waiting.end()[-1] is None
    until(lambda: not _command_line(unwinder))
