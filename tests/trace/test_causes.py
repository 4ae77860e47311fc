"""Each cause, provoked in the real kernel: its name, its proof, who it concerns, and which of two reasons is named."""

from __future__ import annotations

import errno as errnos
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

import pytest

if TYPE_CHECKING:
    from conftest import Run, Trace

pytestmark = pytest.mark.trace

Program = Callable[..., Path]
Event = Dict[str, Any]
NOT_HERE, NOT_SET_UP = 77, 2
SMAPS = "VmFlags in /proc/PID/smaps"
ARGUMENTS = "the arguments of the call"
MODES = ("accelerated", "full")


@dataclass(frozen=True)
class Case:
    """One case of one program in tests/programs. `fact`: what has to be in the evidence read from `source`."""

    program: str
    name: str
    call: str
    errno: Optional[str]
    cause: str
    source: str
    fact: str
    outcome: str = "refused"
    audience: str = "developer"
    at_mmap: bool = False


def descriptor(name: str, call: str, errno: str, cause: str, source: str, fact: str, at_mmap: bool = False) -> Case:
    return Case("cause_descriptor", name, call, errno, cause, source, fact, at_mmap=at_mmap)


def bad_descriptor(name: str, errno: str, cause: str, source: str, fact: str) -> Case:
    return Case("cause_descriptor", name, "mmap", errno, cause, source, fact, "failed")


def mdwe(name: str, call: str, fact: str, source: str = "the map before the call") -> Case:
    return Case("cause_mdwe", name, call, "EACCES", "mdwe", source, fact, at_mmap=call != "mprotect")


def mseal(name: str, call: str, errno: Optional[str] = "EPERM") -> Case:
    return Case("cause_seal", name, call, errno, "mseal", SMAPS, "is sealed (`sl`)")


def limit(name: str, call: str, cause: str, source: str, errno: Optional[str] = "ENOMEM") -> Case:
    return Case("cause_limit", name, call, errno, cause, source, "bytes", audience="administrator")


def data_limit(name: str, call: str, errno: Optional[str] = "ENOMEM") -> Case:
    return limit(name, call, "limit.data", "VmData in /proc/PID/status", errno)


def space_limit(name: str, call: str, errno: Optional[str] = "ENOMEM") -> Case:
    return limit(name, call, "limit.address-space", "VmSize in /proc/PID/status", errno)


def unmapped(name: str, call: str, errno: str = "ENOMEM") -> Case:
    source = "/proc/PID/smaps after the call"
    return Case("cause_address", name, call, errno, "address.unmapped", source, "no mapping at", "failed")


def too_low(name: str, call: str, source: str, fact: str) -> Case:
    return Case("cause_address", name, call, "EPERM", "address.below-minimum", source, fact)


def argument(name: str, call: str, kind: str, fact: str, errno: str = "EINVAL", source: str = ARGUMENTS) -> Case:
    return Case("cause_argument", name, call, errno, "argument." + kind, source, fact, "failed")


O_RDONLY, O_WRONLY = "was opened O_RDONLY", "was opened O_WRONLY"
CASES = [
    descriptor("write-mode-mmap", "mmap", "EACCES", "fd.write-mode", "/proc/PID/fdinfo/3", O_RDONLY, True),
    descriptor("write-mode-validate", "mmap", "EACCES", "fd.write-mode", "/proc/PID/fdinfo/3", O_RDONLY, True),
    descriptor("write-mode-mprotect", "mprotect", "EACCES", "fd.write-mode", SMAPS, "its descriptor was O_RDONLY"),
    descriptor("read-mode", "mmap", "EACCES", "fd.read-mode", "/proc/PID/fdinfo/4", O_WRONLY, True),
    descriptor("read-mode-none", "mmap", "EACCES", "fd.read-mode", "/proc/PID/fdinfo/4", O_WRONLY, True),
    descriptor("seal-mmap", "mmap", "EPERM", "memfd.write-seal", "F_GET_SEALS", "has seals 0x8"),
    descriptor("future-seal-mmap", "mmap", "EPERM", "memfd.write-seal", "F_GET_SEALS", "has seals 0x10"),
    descriptor("seal-mprotect", "mprotect", "EACCES", "memfd.write-seal", SMAPS, "`ms sh` without `mw`"),
    bad_descriptor("closed", "EBADF", "fd.bad", "/proc/PID/fd", "99 is not open"),
    bad_descriptor("path-only", "EBADF", "fd.bad", "/proc/PID/fd", "opened O_PATH"),
    bad_descriptor("directory", "ENODEV", "fd.not-mappable", "/proc/PID/fd", "is /tmp"),
    bad_descriptor("overflow", "EOVERFLOW", "fd.offset-overflow", ARGUMENTS, "offset 0x7ffffffffffff000"),
    mdwe("written-then-executable", "mprotect", "from rw- to r-x"),
    mdwe("read-only-to-executable", "mprotect", "from r-- to r-x"),
    mdwe("nothing-to-executable", "mprotect", "from --- to --x"),
    mdwe("executable-to-all", "mprotect", "from r-x to rwx"),
    mdwe("all-to-all", "mprotect", "from rwx to rwx"),
    mdwe("with-key", "pkey_mprotect", "from rw- to r-x"),
    mdwe("in-a-child", "mprotect", "from rw- to r-x"),
    mdwe("all-at-once", "mmap", "PR_MDWE_REFUSE_EXEC_GAIN", "asked in the stopped thread"),
    mdwe("all-at-once-of-a-file", "mmap", "PR_SET_MDWE was called", "the prctl call"),
    mdwe("implied", "mmap", "adds PROT_EXEC to every PROT_READ", "/proc/PID/personality"),
    mdwe("shared-segment", "shmat", "PR_MDWE_REFUSE_EXEC_GAIN", "asked in the stopped thread"),
    mseal("shmat", "shmat"),
    mseal("remap-file-pages", "remap_file_pages"),
    mseal("brk", "brk", None),
    data_limit("data-mmap", "mmap"),
    data_limit("data-mprotect", "mprotect"),
    data_limit("data-mremap", "mremap"),
    data_limit("data-brk", "brk", None),
    space_limit("space-mmap", "mmap"),
    space_limit("space-mremap", "mremap"),
    space_limit("space-brk", "brk", None),
    unmapped("unmapped-start", "mprotect"),
    unmapped("unmapped-middle", "mprotect"),
    unmapped("unmapped-end", "mprotect"),
    unmapped("unmapped-mremap", "mremap", "EFAULT"),
    unmapped("unmapped-mseal", "mseal"),
    Case("cause_address", "occupied", "mmap", "EEXIST", "address.occupied", "/proc/PID/smaps", "(anonymous)", "probe"),
    too_low("low-mmap", "mmap", "CapEff in /proc/PID/status", "CAP_SYS_RAWIO is missing"),
    too_low("low-noreplace", "mmap", "/proc/sys/vm/mmap_min_addr", "vm.mmap_min_addr = "),
    too_low("low-mremap", "mremap", ARGUMENTS, "address 0"),
    argument("offset-alignment", "mmap", "alignment", "0xc is 12 bytes past"),
    argument("fixed-alignment", "mmap", "alignment", "8 bytes past"),
    argument("mprotect-alignment", "mprotect", "alignment", "8 bytes past"),
    argument("munmap-alignment", "munmap", "alignment", "8 bytes past"),
    argument("madvise-alignment", "madvise", "alignment", "8 bytes past"),
    argument("mseal-alignment", "mseal", "alignment", "8 bytes past"),
    argument("mremap-alignment", "mremap", "alignment", "8 bytes past"),
    argument("mmap-nothing", "mmap", "length", "the length is 0"),
    argument("munmap-nothing", "munmap", "length", "the length is 0"),
    argument("mremap-to-nothing", "mremap", "length", "the length is 0"),
    argument("mmap-wraps", "mmap", "length", "0xffffffffffffffff", "ENOMEM"),
    argument("mprotect-wraps", "mprotect", "length", "0xfffffffffffff000", "ENOMEM"),
    argument("mseal-wraps", "mseal", "length", "length 18446744073709547520"),
    argument("no-type", "mmap", "flags", "flags are 0x20"),
    argument("file-grows-down", "mmap", "flags", "MAP_GROWSDOWN and a file"),
    argument("fixed-without-maymove", "mremap", "flags", "flags are MREMAP_FIXED"),
    argument("mremap-unknown", "mremap", "flags", "flags are 0x100"),
    argument("mseal-flags", "mseal", "flags", "flags are 0x1"),
    argument("mprotect-unknown", "mprotect", "prot", "prot is 0x41"),
    argument("pkey-unknown", "pkey_mprotect", "prot", "prot is 0x41"),
    argument("both-directions", "mprotect", "growsdown", "both bits are set"),
    argument("does-not-grow", "mprotect", "growsdown", "does not grow down"),
    Case("cause_argument", "advice", "madvise", "EINVAL", "argument.advice", ARGUMENTS, "advice is 999", "probe"),
]


def event_of(run: Run, call: str) -> Event:
    """The one call of this name that did not work, in a run that was set up and whose map was right."""
    if run.status == NOT_HERE:
        pytest.skip("this kernel does not have the call: " + run.stderr)
    assert run.status != NOT_SET_UP, run.stderr
    assert run.mismatches == 0
    [event] = [event for event in run.events(call) if event["outcome"] != "ok"]
    assert event["diagnosis"] is not None
    return event


def causes_of(run: Run) -> List[str]:
    return [event["diagnosis"]["cause"] for event in run.timeline["events"] if event["outcome"] not in ("ok", "probe")]


def facts_from(event: Event, source: str) -> str:
    return " / ".join(e["fact"] for e in event["diagnosis"]["evidence"] if e["source"] == source)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "%s-%s" % (case.cause, case.name))
def test_cause(trace: Trace, program: Program, case: Case) -> None:
    run = trace(program(case.program), case.name)
    event = event_of(run, case.call)
    diagnosis = event["diagnosis"]
    said = int(run.stdout)
    assert (event["errno"], diagnosis["cause"], event["outcome"]) == (case.errno, case.cause, case.outcome)
    assert errnos.errorcode.get(said) == case.errno or case.call == "brk"
    assert diagnosis["confidence"] == (run.sure_at_mmap if case.at_mmap else "proved")
    assert diagnosis["refused_by"] == "kernel"
    assert case.fact in facts_from(event, case.source)
    assert case.audience in [fix["for"] for fix in diagnosis["fixes"]]
    assert event["result"] is None or case.call == "brk"


@pytest.mark.parametrize(
    "operation, call",
    [
        ("munmap", "munmap"),
        ("mprotect", "mprotect"),
        ("mprotect-same", "mprotect"),
        ("pkey-mprotect", "pkey_mprotect"),
        ("shrink", "mremap"),
        ("grow", "mremap"),
        ("move-away", "mremap"),
        ("move-onto", "mremap"),
        ("map-over", "mmap"),
        ("discard", "madvise"),
    ],
)
def test_mseal_names_the_seal(trace: Trace, examples: Path, operation: str, call: str) -> None:
    run = trace(examples / "mseal_ops", operation)
    event = event_of(run, call)
    [seal] = run.events("mseal")
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"], diagnosis["confidence"]) == ("EPERM", "mseal", "proved")
    assert diagnosis["related"] == [seal["n"]]
    assert facts_from(event, "the mseal call") == "it was sealed at event %d" % seal["n"]
    assert seal["n"] in [part["sealed_by"] for part in event["touched"]]
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer"]


@pytest.mark.root
def test_noexec_mount_of_another_mount_namespace(trace: Trace, examples: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a noexec tmpfs needs root")
    script = 'mount -t tmpfs -o noexec none "$1" && cp /etc/passwd "$1" && exec "$2" "$1/passwd"'
    mount = tmp_path / "with space"
    mount.mkdir()
    run = trace("unshare", "--mount", "sh", "-c", script, "sh", mount, examples / "noexec_mount")
    for call, errno in (("mmap", "EPERM"), ("mprotect", "EACCES")):
        event = event_of(run, call)
        diagnosis = event["diagnosis"]
        assert (event["errno"], diagnosis["cause"], diagnosis["confidence"]) == (errno, "mount.noexec", "proved")
        assert "%s is mounted" % mount in facts_from(event, "/proc/PID/mountinfo")
        assert "noexec" in facts_from(event, "/proc/PID/mountinfo")
        assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer", "administrator"]
        assert diagnosis["fixes"][1]["command"] == "mount -o remount,exec '%s'" % mount
    assert "VM_MAYEXEC is missing" in facts_from(event_of(run, "mprotect"), SMAPS)


# Filters


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options, cause, errno, outcome",
    [
        ("-e 1", "seccomp.errno", "EPERM", "refused"),
        ("-e 4000", "seccomp.errno", "E4000", "refused"),
        ("-e 0", "seccomp.errno", None, "faked"),
        ("-k", "seccomp.kill", None, "refused"),
        ("-t", "seccomp.trap", None, "refused"),
    ],
)
def test_filter(
    trace: Trace, examples: Path, mode: str, options: str, cause: str, errno: Optional[str], outcome: str
) -> None:
    run = trace(examples / "filter_exec", *options.split(), examples / "jit_anon", mode=mode)
    event = event_of(run, "mprotect")
    diagnosis = event["diagnosis"]
    [installed] = [e for e in run.events("prctl") if e["args"]["option"] == "PR_SET_SECCOMP"]
    assert (diagnosis["cause"], event["errno"], event["outcome"]) == (cause, errno, outcome)
    assert (diagnosis["confidence"], diagnosis["refused_by"]) == ("proved", "seccomp filter")
    assert installed["n"] in diagnosis["related"]
    assert "filter_exec[%d] installed a filter at event %d" % (event["pid"], installed["n"]) == facts_from(
        event, "the seccomp or prctl call"
    )
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer"]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_errno_from_a_filter_and_from_the_kernel(trace: Trace, examples: Path, mode: str) -> None:
    """EACCES both times, on the same program: only who answered differs."""
    by_filter = trace(examples / "filter_exec", "-e", "13", examples / "jit_anon", mode=mode)
    by_kernel = trace(examples / "mdwe", examples / "jit_anon", mode=mode)
    assert [event["errno"] for run in (by_filter, by_kernel) for event in run.refused()] == ["EACCES", "EACCES"]
    assert by_filter.causes() + by_kernel.causes() == ["seccomp.errno", "mdwe"]


def test_a_filter_before_mdwe(trace: Trace, examples: Path) -> None:
    run = trace(examples / "mdwe", examples / "filter_exec", "-e", "13", examples / "jit_anon")
    assert run.causes() == ["seccomp.errno"]


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize("options, cause", [("-e 1", "seccomp.errno"), ("-k", "seccomp.kill"), ("-t", "seccomp.trap")])
def test_filter_that_was_there_before_wxtrace(
    trace: Trace, examples: Path, mode: str, options: str, cause: str
) -> None:
    run = trace(examples / "jit_anon", mode=mode, under=(examples / "filter_exec", *options.split()))
    event = event_of(run, "mprotect")
    diagnosis = event["diagnosis"]
    assert (diagnosis["cause"], diagnosis["confidence"]) == (cause, "proved")
    assert facts_from(event, "Seccomp_filters at the start") == (
        "a filter was inherited from whoever started the command"
    )
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["administrator"]


def test_an_inherited_filter_that_touches_nothing_leaves_the_run_accelerated(trace: Trace, examples: Path) -> None:
    run = trace(examples / "jit_anon", under=(examples / "refuse_length", "4190208", "13"))
    assert (run.status, run.refused()) == (0, [])
    assert [process["mode"] for process in run.timeline["processes"]] == ["accelerated"]


def test_forced_acceleration_says_that_it_is_blind_for_an_inherited_filter(trace: Trace, examples: Path) -> None:
    run = trace(examples / "jit_anon", mode="accelerated", under=(examples / "filter_exec",))
    assert (run.status, run.refused()) == (1, [])
    assert [note["kind"] for note in run.timeline["notes"]] == ["inherited-filter"]
    assert "inherited seccomp filter answers some of the traced calls" in run.stderr


@pytest.mark.parametrize("mode", MODES)
def test_mdwe_that_was_there_before_wxtrace(trace: Trace, examples: Path, mode: str) -> None:
    run = trace(examples / "jit_anon", mode=mode, under=(examples / "mdwe",))
    event = event_of(run, "mprotect")
    diagnosis = event["diagnosis"]
    assert (run.status, diagnosis["cause"], diagnosis["confidence"]) == (1, "mdwe", "proved")
    assert facts_from(event, "PR_GET_MDWE before the start") == ("it was inherited from whoever started the command")
    assert diagnosis["related"] == []


# Two reasons in one call


@dataclass(frozen=True)
class Pair:
    """`partial`: changed pages and pages of the range, where the call was half done."""

    name: str
    call: str
    errno: str
    cause: str
    partial: Optional[Dict[str, int]] = None
    at_mmap: bool = False


PAIRS = [
    Pair("read-only-behind-anon", "mprotect", "EACCES", "fd.write-mode", {"changed_pages": 1, "pages": 2}),
    Pair("sealed-behind-anon", "mprotect", "EPERM", "mseal", {"changed_pages": 1, "pages": 3}),
    Pair("hole-behind-read-only", "mprotect", "EACCES", "fd.write-mode"),
    Pair("read-only-behind-hole", "mprotect", "ENOMEM", "address.unmapped", {"changed_pages": 1, "pages": 3}),
    Pair("hole-behind-limit", "mprotect", "ENOMEM", "limit.data"),
    Pair("mdwe-on-read-only", "mprotect", "EACCES", "fd.write-mode"),
    Pair("read-only-behind-mdwe", "mprotect", "EACCES", "mdwe"),
    Pair("mdwe-on-sealed", "mprotect", "EACCES", "mdwe"),
    Pair("unaligned-on-sealed", "mprotect", "EINVAL", "argument.alignment"),
    Pair("sealed-under-noreplace", "mmap", "EEXIST", "address.occupied"),
    Pair("mdwe-under-noreplace", "mmap", "EEXIST", "address.occupied"),
    Pair("mdwe-over-sealed", "mmap", "EACCES", "mdwe", at_mmap=True),
    Pair("mdwe-of-read-only-file", "mmap", "EACCES", "fd.write-mode", at_mmap=True),
    Pair("limit-over-sealed", "mmap", "EPERM", "mseal"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_first_reason_is_named(trace: Trace, program: Program, pair: Pair) -> None:
    run = trace(program("cause_order"), pair.name)
    event = event_of(run, pair.call)
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"]) == (pair.errno, pair.cause)
    assert diagnosis["confidence"] == (run.sure_at_mmap if pair.at_mmap else "proved")
    assert diagnosis["partial"] == pair.partial


def test_partial_pages_are_those_that_changed(trace: Trace, program: Program) -> None:
    event = event_of(trace(program("cause_order"), "sealed-behind-anon"), "mprotect")
    changed = [part for part in event["touched"] if part["before"] != part["after"]]
    assert [(part["before"], part["asked"], part["after"]) for part in changed] == [("r--p", "rw-", "rw-p")]
    assert int(changed[0]["end"], 16) - int(changed[0]["start"], 16) == 4096


# What came of it


def crash(trace: Trace, program: Program, name: str) -> Run:
    run = trace(program("cause_crash"), name)
    assert run.mismatches == 0
    assert run.status != NOT_SET_UP, run.stderr
    return run


@pytest.mark.parametrize(
    "name, aftermath, fault",
    [("write-anyway", "crashed", "fault.write"), ("use-no-memory", "crashed", "fault.unmapped")],
)
def test_the_crash_and_the_refused_call_name_each_other(
    trace: Trace, program: Program, name: str, aftermath: str, fault: str
) -> None:
    run = crash(trace, program, name)
    [refused], [crashed] = run.refused(), run.events("fault")
    assert run.status == 128 + 11
    assert refused["diagnosis"]["aftermath"] == aftermath
    assert crashed["diagnosis"]["cause"] == fault
    assert crashed["diagnosis"]["related"] == [refused["n"]]
    assert crashed["n"] in refused["diagnosis"]["related"]
    assert "event %d" % refused["n"] in crashed["diagnosis"]["summary"]


def test_a_crash_long_after_and_elsewhere_is_another_story(trace: Trace, program: Program) -> None:
    run = crash(trace, program, "die-of-something-else")
    [refused], [crashed] = run.refused(), run.events("fault")
    assert crashed["diagnosis"]["related"] == []
    assert refused["diagnosis"]["related"] == []


def test_a_fault_that_the_program_handles_is_still_linked(trace: Trace, program: Program) -> None:
    run = crash(trace, program, "catch-the-fault")
    [refused], [fault] = run.refused(), run.events("fault")
    assert run.status == 0
    assert refused["diagnosis"]["aftermath"] == "recovered"
    assert (refused["diagnosis"]["related"], fault["diagnosis"]["related"]) == ([fault["n"]], [refused["n"]])


@pytest.mark.parametrize(
    "name, status, aftermath",
    [("abort-at-once", 128 + 6, "aborted"), ("notice-and-go-on", 0, "recovered")],
)
def test_aftermath(trace: Trace, program: Program, name: str, status: int, aftermath: str) -> None:
    run = crash(trace, program, name)
    [refused] = run.refused()
    assert (run.status, refused["diagnosis"]["aftermath"]) == (status, aftermath)
    assert run.events("fault") == []


def test_a_jump_into_the_heap_was_never_refused(trace: Trace, examples: Path) -> None:
    run = trace(examples / "jit_malloc")
    [fault] = run.events("fault")
    diagnosis = fault["diagnosis"]
    assert causes_of(run) == ["fault.nx"]
    assert (diagnosis["related"], diagnosis["refused_by"], fault["outcome"]) == ([], None, "failed")
    assert "heap memory" in diagnosis["summary"]
    assert "nothing was refused, because no call ever asked" in diagnosis["summary"]
    assert [part["provenance"] for part in fault["touched"]] == ["heap"]
    assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer"]
