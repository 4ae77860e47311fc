"""What stands behind a call in time, on the real kernel: searches, loaders, dual mappings, stacks that overflow."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List

import pytest
from processes import run_wxtrace

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
NOT_SET_UP = 2
LOAD_AND_CLOSE = """
import _ctypes, ctypes, sys
for path in sys.argv[1:]:
    _ctypes.dlclose(ctypes.CDLL(path)._handle)
"""


def history(trace: Trace, program: Program, name: str, *arguments: Path) -> Run:
    run = trace(program("history"), name, *arguments)
    if run.status == NOT_SET_UP:
        pytest.skip(run.stderr)
    return run


def origins(run: Run) -> List[str]:
    """How memory became executable, without what every program has."""
    words = [region["exec_origin"] for region in run.timeline["regions"]]
    return [word for word in words if word not in (None, "file", "special")]


def evidence(event: Dict[str, Any]) -> str:
    return " / ".join(item["fact"] for item in event["diagnosis"]["evidence"])


def test_four_ways_are_one_story(trace: Trace, program: Program, environment: Dict[str, str]) -> None:
    run = history(trace, program, "ladder")
    assert run.status == 0
    assert run.causes() == ["mdwe", "mdwe", "fd.read-mode"]
    [code] = [event for event in run.events("mmap") if event["touched"][0]["after"] == "r-xs"]
    numbers = {event["n"] for event in (*run.refused(), code)}
    for event in run.refused():
        assert event["diagnosis"]["aftermath"] == "recovered"
        # The prctl that set MDWE is related as well.
        assert numbers - {event["n"]} <= set(event["diagnosis"]["related"])
        assert [attempt["cause"] for attempt in event["diagnosis"]["ladder"]] == [*run.causes(), None]
    assert origins(run) == ["dual-mapping"]
    assert "the 2nd way tried to get executable memory" in run.stderr
    assert run.stderr.count("INSTEAD") == 1
    assert "tried 4 ways to get executable memory; the 4th worked: a memfd mapped twice" in run.stderr
    # In full only once: the further attempts are told in short.
    assert run.stderr.count("  who ") == 2
    report = run_wxtrace(environment, "report").stdout
    assert report.count("tried 4 ways to get executable memory") == 1
    assert "of /memfd:jit, from event %d, executable by mmap at event %d in " % (code["n"], code["n"]) in report
    assert ": dual-mapping: " in report


@pytest.mark.root
def test_a_file_on_a_noexec_mount_is_a_way_that_was_tried(trace: Trace, program: Program, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a noexec tmpfs needs root")
    folder = tmp_path / "noexec"
    folder.mkdir()
    script = 'mount -t tmpfs -o noexec none "$2" && exec "$1" ladder "$2"'
    run = trace("unshare", "--mount", "sh", "-c", script, "sh", program("history"), folder)
    assert run.status == 0
    assert run.causes() == ["mdwe", "mdwe", "mount.noexec"]
    fallback = run.refused()[0]["diagnosis"]["ladder"]
    assert [attempt["cause"] for attempt in fallback] == [*run.causes(), None]
    assert fallback[2]["way"] == "a file in %s mapped executable" % folder


def test_a_search_in_vain_says_so(trace: Trace, program: Program) -> None:
    run = history(trace, program, "in-vain")
    assert [event["diagnosis"]["aftermath"] for event in run.refused()] == ["exited", "exited"]
    assert "tried 2 ways to get executable memory; none worked" in run.stderr
    assert "INSTEAD" not in run.stderr


@pytest.mark.parametrize(
    ("example", "library", "words", "fact"),
    [
        ("dlopen_execstack", "execstack_lib.so", "which asks for an executable stack", "its PT_GNU_STACK is RWE"),
        ("dlopen_textrel", "textrel_lib.so", "has text relocations", "DT_TEXTREL is set in"),
    ],
)
def test_the_library_behind_the_refusal(
    trace: Trace, examples: Path, example: str, library: str, words: str, fact: str
) -> None:
    run = trace(examples / "mdwe", examples / example)
    if not run.refused():
        pytest.skip("this C library does not ask the kernel: " + run.stdout)
    [event] = run.refused()
    assert library in event["diagnosis"]["summary"] and words in event["diagnosis"]["summary"]
    assert fact in evidence(event) and str(examples / library) in evidence(event)
    if example == "dlopen_execstack":
        command = "patchelf --clear-execstack " + shlex.quote(str(examples / library))
        assert event["diagnosis"]["fixes"][0]["command"] == command


@pytest.fixture
def new_loader(tmp_path: Path) -> Path:
    """This machine's loader, which says of itself that it is that of glibc 2.41."""
    data = Path("/lib64/ld-linux-x86-64.so.2").read_bytes()
    changed = re.sub(rb"(ld\.so \([^)]+\) \w+ release version )\d\.\d\d", rb"\g<1>2.41", data)
    if changed == data and b"release version 2.41" not in data:
        pytest.skip("this loader does not tell its version")
    copy = tmp_path / "ld-linux-x86-64.so.2"
    copy.write_bytes(changed)
    copy.chmod(0o755)
    return copy


def test_a_library_that_is_given_up_without_a_call(
    trace: Trace, program: Program, examples: Path, new_loader: Path
) -> None:
    library = examples / "execstack_lib.so"
    run = trace(new_loader, program("history"), "give-up", library)
    [event] = run.refused()
    assert (event["call"], event["diagnosis"]["cause"]) == ("dlopen", "loader.execstack")
    assert event["diagnosis"]["confidence"] == "consistent"
    assert "its PT_GNU_STACK is RWE" in evidence(event)
    assert event["diagnosis"]["aftermath"] == "exited"
    assert "REFUSED  dlopen(library=%s)\n" % library in run.stderr


def test_an_older_loader_is_not_blamed(trace: Trace, program: Program, examples: Path) -> None:
    if b"release version 2.3" not in Path("/lib64/ld-linux-x86-64.so.2").read_bytes():
        pytest.skip("the loader of this machine may be glibc 2.41 or newer")
    run = history(trace, program, "give-up", examples / "execstack_lib.so")
    assert run.refused() == []


def test_other_libraries_that_come_and_go_are_no_alarm(trace: Trace, program: Program, examples: Path) -> None:
    run = history(trace, program, "give-up", examples / "textrel_lib.so")
    assert run.refused() == []


def test_libraries_that_are_loaded_and_closed_are_no_alarm(trace: Trace, examples: Path) -> None:
    libraries = [str(examples / name) for name in ("textrel_lib.so", "execstack_lib.so", "textrel_lib.so")]
    run = trace(sys.executable, "-c", LOAD_AND_CLOSE, *libraries)
    if run.status != 0:
        pytest.skip("this C library does not load them: " + run.stderr)
    assert run.refused() == []


def test_code_that_was_loaded_into_a_file(trace: Trace, program: Program) -> None:
    run = history(trace, program, "loaded")
    assert (run.status, run.refused()) == (0, [])
    assert origins(run) == ["object-written"]


def test_the_writer_is_another_process(trace: Trace, program: Program) -> None:
    run = history(trace, program, "across")
    assert (run.status, run.refused()) == (0, [])
    assert origins(run) == ["dual-mapping"]
    assert "became executable" not in run.stderr


def test_a_thread_that_overflows_its_stack(trace: Trace, program: Program) -> None:
    run = history(trace, program, "overflow")
    [fault] = run.events("fault")
    assert fault["diagnosis"]["cause"] == "fault.guard"
    assert "thread's stack: it overflowed" in fault["diagnosis"]["summary"]


def test_a_main_stack_that_may_not_grow(trace: Trace, program: Program) -> None:
    run = history(trace, program, "too-deep")
    [fault] = run.events("fault")
    assert fault["diagnosis"]["cause"] == "fault.unmapped"
    assert "the stack may not grow to there" in fault["diagnosis"]["summary"]
