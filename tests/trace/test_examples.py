"""Every example, plain and under its launchers, in both modes: what the README says of it is what wxtrace finds."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import pytest

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

MODES = ("accelerated", "full")
NOT_HERE = 77
SEGV, SIGSYS = 128 + 11, 128 + 31


@dataclass(frozen=True)
class Alarm:
    """What one refused call has to look like. `provenance`: of each touched part, in address order."""

    call: str
    errno: Optional[str]
    cause: str
    provenance: str
    outcome: str = "refused"
    confidence: str = "proved"
    refused_by: str = "kernel"
    aftermath: str = "exited"
    partial: Optional[Tuple[int, int]] = None


def mdwe(call: str, provenance: str) -> Alarm:
    return Alarm(call, "EACCES", "mdwe", provenance)


def filtered(provenance: str, errno: str = "EPERM") -> Alarm:
    return Alarm("mprotect", errno, "seccomp.errno", provenance, refused_by="seccomp filter")


@dataclass(frozen=True)
class Case:
    """One command line and everything that has to be found. `fault`: cause of the fatal fault; `linked`: to a call."""

    command: str
    status: int
    alarms: Tuple[Alarm, ...] = ()
    fault: Optional[str] = None
    linked: bool = False

    @property
    def name(self) -> str:
        return self.command.replace(" ", "_")


# What asks for PROT_EXEC after the fact: the provenance of what each mprotect touches.
ASKS: Dict[str, Tuple[str, ...]] = {
    "jit_memalign_small": ("heap",),
    "jit_memalign_large": ("anon",),
    "jit_anon": ("anon",),
    "jit_dev_zero": ("dev-zero",),
    "jit_file_cow": ("file-cow",),
    "stack_exec": ("stack", "stack"),
    "dlopen_execstack": ("stack",),
    "dlopen_textrel": ("file",),
}
# What no rule for W^X has anything against.
DUAL = ("jit_file_dual", "jit_memfd_dual", "nested_trampoline")
# How memory became executable, of what every program has nothing, where everything was granted.
ORIGINS: Dict[str, str] = {
    "jit_memalign_small": "executable-heap",
    "jit_memalign_large": "written-then-executable",
    "jit_anon": "written-then-executable",
    "jit_unchecked": "written-then-executable",
    "jit_dev_zero": "written-then-executable",
    "jit_file_cow": "written-then-executable",
    "jit_file_dual": "dual-mapping",
    "jit_memfd_dual": "dual-mapping",
    "jit_rwx": "rwx",
    "stack_exec": "executable-stack",
    "dlopen_execstack": "executable-stack",
    "dlopen_textrel": "rwx",
    "nested_trampoline": "executable-stack",
}
CRASHED = {"aftermath": "crashed"}
MSEAL_CALLS = (
    ("munmap", "anon"),
    ("mprotect", "anon"),
    ("mprotect", "anon"),
    ("pkey_mprotect", "anon"),
    ("mremap", "anon anon"),
    ("mremap", "anon anon"),
    ("mremap", "anon anon"),
    ("mremap", "anon anon"),
    ("mmap", "anon"),
    ("madvise", "anon"),
)


def cases() -> List[Case]:
    found = [Case(name, 0) for name in (*ASKS, *DUAL, "jit_rwx", "jit_unchecked")]
    for name, asks in ASKS.items():
        found.append(Case("mdwe " + name, 1, tuple(mdwe("mprotect", ask) for ask in asks)))
        found.append(Case("filter_exec " + name, 1, tuple(filtered(ask) for ask in asks)))
    for launcher in ("mdwe ", "filter_exec "):
        found += [Case(launcher + name, 0) for name in DUAL]
        found.append(Case(launcher + "jit_malloc", SEGV, fault="fault.nx"))
    unnoticed = replace(filtered("anon"), **CRASHED)
    faked = replace(unnoticed, errno=None, outcome="faked")
    trapped = replace(unnoticed, errno=None, cause="seccomp.trap")
    at_mmap = "sure at mmap"
    return [
        *found,
        Case("jit_malloc", SEGV, fault="fault.nx"),
        Case("mdwe jit_rwx", 1, (replace(mdwe("mmap", "anon"), confidence=at_mmap),)),
        Case("filter_exec jit_rwx", 0),
        Case("mdwe jit_unchecked", SEGV, (replace(mdwe("mprotect", "anon"), **CRASHED),), "fault.nx", True),
        Case("filter_exec jit_unchecked", SEGV, (unnoticed,), "fault.nx", True),
        Case("filter_exec -e 13 jit_anon", 1, (filtered("anon", "EACCES"),)),
        Case("filter_exec -e 0 jit_anon", SEGV, (faked,), "fault.nx", True),
        Case("filter_exec -k jit_anon", SIGSYS, (replace(trapped, cause="seccomp.kill"),)),
        Case("filter_exec -t jit_anon", SIGSYS, (trapped,)),
        Case("refuse_length 4194304 13 jit_memalign_large", 1, (filtered("anon", "EACCES"),)),
        Case("refuse_length 4190208 13 jit_memalign_large", 0),
        Case("shared_read_only", 1, (Alarm("mprotect", "EACCES", "fd.write-mode", "file-shared"),)),
        Case("write_only_fd", 1, (Alarm("mmap", "EACCES", "fd.read-mode", "file-shared", confidence=at_mmap),)),
        Case(
            "memfd_sealed",
            1,
            (
                Alarm("mmap", "EPERM", "memfd.write-seal", "memfd"),
                Alarm("mprotect", "EACCES", "memfd.write-seal", "memfd"),
            ),
        ),
        Case(
            "half_done",
            1,
            (Alarm("mprotect", "EACCES", "fd.write-mode", "anon file-shared anon", partial=(2, 4)),),
        ),
        Case(
            "hole",
            1,
            (
                Alarm(
                    "mprotect", "ENOMEM", "address.unmapped", "anon anon", "failed", aftermath="unknown", partial=(1, 3)
                ),
            ),
        ),
        Case("mseal_ops", 1, tuple(Alarm(call, "EPERM", "mseal", touched) for call, touched in MSEAL_CALLS)),
        Case("noreplace", 1, (Alarm("mmap", "EEXIST", "address.occupied", "anon", "probe", aftermath="unknown"),)),
        Case("low_address", 1, (Alarm("mmap", "EPERM", "address.below-minimum", "anon"),)),
        Case("brk_refused", 1, (Alarm("brk", None, "limit.data", "heap"),)),
        Case("rlimit_data_mprotect", 1, (Alarm("mprotect", "ENOMEM", "limit.data", "anon"),)),
        Case("rlimit_as", 1, (Alarm("mmap", "ENOMEM", "limit.address-space", "anon"),)),
    ]


def alarm_of(event: Dict[str, Any]) -> Alarm:
    diagnosis = event["diagnosis"]
    partial = diagnosis["partial"]
    return Alarm(
        event["call"],
        event["errno"],
        diagnosis["cause"],
        " ".join(part["provenance"] for part in event["touched"]),
        event["outcome"],
        diagnosis["confidence"],
        diagnosis["refused_by"],
        diagnosis["aftermath"],
        None if partial is None else (partial["changed_pages"], partial["pages"]),
    )


def found_in(run: Run) -> List[Dict[str, Any]]:
    """Everything that did not simply work, without what the loader tried on purpose."""
    return [
        event
        for event in run.timeline["events"]
        if event["outcome"] not in ("ok", "probe") or (event["call"] == "mmap" and event["outcome"] == "probe")
    ]


def origins_in(run: Run) -> List[str]:
    words = [region["exec_origin"] for region in run.timeline["regions"]]
    return [word for word in words if word not in (None, "file", "special")]


def check(run: Run, case: Case) -> None:
    """Status, alarms, fault and map, all at once: one run is what a table row is about."""
    expected = [
        replace(alarm, confidence=run.sure_at_mmap) if alarm.confidence == "sure at mmap" else alarm
        for alarm in case.alarms
    ]
    events = [event for event in found_in(run) if event["call"] != "fault"]
    faults = run.events("fault")
    assert run.status == case.status, run.stderr
    assert [alarm_of(event) for event in events] == expected
    assert [fault["diagnosis"]["cause"] for fault in faults] == ([case.fault] if case.fault else [])
    for fault in faults:
        assert fault["diagnosis"]["related"] == ([events[0]["n"]] if case.linked else [])
        assert not case.linked or fault["n"] in events[0]["diagnosis"]["related"]
    expected = ORIGINS.get(case.command.split()[-1]) if case.status == 0 else None
    assert origins_in(run) == ([expected] if expected is not None else [])
    assert run.mismatches == 0
    assert run.timeline["summary"]["verify"]["checked"] > 0


def needs_old_glibc(case: Case) -> None:
    if "execstack" not in case.command:
        return
    version = (os.confstr("CS_GNU_LIBC_VERSION") or "glibc 0.0").split()[1]
    if tuple(map(int, version.split(".")[:2])) >= (2, 41):
        pytest.skip("glibc %s refuses executable-stack libraries itself, without a call" % version)


def command_line(case: Case, examples: Path) -> List[str]:
    return [str(examples / word) if (examples / word).exists() else word for word in case.command.split()]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_example(trace: Trace, examples: Path, tmp_path: Path, case: Case, mode: str) -> None:
    needs_old_glibc(case)
    command = command_line(case, examples)
    folder = {"TMPDIR": str(tmp_path)}
    untraced = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env={**os.environ, **folder})
    if untraced.returncode == NOT_HERE:
        pytest.skip(untraced.stdout.decode())
    run = trace(*command, mode=mode, env=folder)
    check(run, case)
    assert run.stdout.encode() == untraced.stdout


@pytest.mark.root
@pytest.mark.parametrize("mode", MODES)
def test_noexec_mount(trace: Trace, examples: Path, tmp_path: Path, mode: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a noexec tmpfs needs root")
    script = 'mount -t tmpfs -o noexec none "$1" && cp /etc/passwd "$1" && exec "$2" "$1/passwd"'
    mount = tmp_path / "mount"
    mount.mkdir()
    run = trace("unshare", "--mount", "sh", "-c", script, "sh", mount, examples / "noexec_mount", mode=mode)
    alarms = (Alarm("mmap", "EPERM", "mount.noexec", "file"), Alarm("mprotect", "EACCES", "mount.noexec", "file"))
    check(run, Case("noexec_mount", 1, alarms))


@pytest.mark.timeout(300)
def test_map_count(trace: Trace, examples: Path) -> None:
    run = trace(examples / "map_count")
    if run.status == NOT_HERE:
        pytest.skip(run.stdout)
    check(run, Case("map_count", 1, (Alarm("mprotect", "ENOMEM", "limit.map-count", "anon"),)))
    diagnosis = run.refused()[0]["diagnosis"]
    sources = {evidence["source"] for evidence in diagnosis["evidence"]}
    assert sources == {"/proc/PID/maps", "/proc/sys/vm/max_map_count"}
    assert any("vm.max_map_count=" in (fix["command"] or "") for fix in diagnosis["fixes"])


@pytest.mark.parametrize("mode", MODES)
def test_a_libffi_closure_finds_another_way(trace: Trace, examples: Path, mode: str) -> None:
    program = [sys.executable, str(examples.parent / "ffi_closure.py")]
    plain = trace(*program, mode=mode)
    asks = [
        event
        for event in plain.events("mmap")
        if "PROT_WRITE|PROT_EXEC" in event["args"]["prot"] and "MAP_ANONYMOUS" in event["args"]["flags"]
    ]
    run = trace(examples / "mdwe", *program, mode=mode)
    assert (plain.status, run.status) == (0, 0)
    assert plain.refused() == []
    assert run.stdout == plain.stdout and "sorted: 10 20 30 40 50" in run.stdout
    if asks:
        # The way that works is a memfd or a file in /tmp, as libffi was built.
        assert origins_in(plain) == ["rwx"] and origins_in(run) == ["dual-mapping"]
        assert "2nd way to get executable memory worked" in run.stderr
        [refused] = run.refused()
        attempts = [attempt["cause"] for attempt in refused["diagnosis"]["ladder"]]
        assert attempts == ["mdwe", None]
    # A libffi with static trampolines never asks.
    alarm = replace(mdwe("mmap", "anon"), confidence=run.sure_at_mmap, aftermath="recovered")
    assert [alarm_of(event) for event in run.refused()] == [alarm] * bool(asks)
    assert plain.mismatches == run.mismatches == 0
