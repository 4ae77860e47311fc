"""Which failures are alarms: the table itself, and whole calls from hand-written facts that must stay silent."""

from __future__ import annotations

from typing import Tuple

import pytest
from stories import ANON, ANON_AT, MAPS, PAGE, RW, RX, Told, vma

from wxtrace.model import flags as f
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.facts import Host, Probe
from wxtrace.model.outcome import may_be_refused, outcome_of_failure
from wxtrace.model.syscalls.table import BY_NAME

FAILED, PROBE, REFUSED = Outcome.FAILED, Outcome.PROBE, Outcome.REFUSED
EINVAL, ENOMEM, EEXIST, ENOSYS, EPERM, EFAULT, EACCES = 22, 12, 17, 38, 1, 14, 13
NO_FD = 0xFFFFFFFFFFFFFFFF
FIXED, PRIVATE = f.MAP_FIXED, 2


def outcome(cause: str, name: str, errno: str, prot: int = RX, by_kernel: bool = False, case: str = "") -> Outcome:
    request = BY_NAME[name].request((ANON_AT, PAGE, prot, 0, 0, 0))
    return outcome_of_failure(CAUSES[cause], request, Errno[errno], by_kernel, case)


@pytest.mark.parametrize(
    "call, errno, cause, expected",
    [
        # What healthy programs do to find out what they may.
        (("mmap", ANON_AT, PAGE, RW, ANON | f.MAP_FIXED_NOREPLACE, NO_FD, 0), EEXIST, "address.occupied", PROBE),
        (("mmap", 0, 2 << 20, RW, ANON | f.MAP_HUGETLB, NO_FD, 0), ENOMEM, "limit.hugepages", PROBE),
        (("mmap", 0, 1 << 47, RW, ANON, NO_FD, 0), ENOMEM, "address.no-room", PROBE),
        (("madvise", ANON_AT, PAGE, 0xFFFFFFFF), EINVAL, "argument.advice", PROBE),
        (("madvise", ANON_AT, PAGE, 14), EINVAL, "argument.advice", PROBE),
        (("memfd_create", 0x1000, 0xFFFFFFFF), EINVAL, "memfd.flags", PROBE),
        (("memfd_create", 0x1000, 0), ENOSYS, "unknown", PROBE),
        (("seccomp", 1, 0, 0), EFAULT, "argument.pointer", PROBE),
        (("prctl", 0x53564D41, 0), EINVAL, "unknown", PROBE),
        (("pkey_alloc", 0, 0), EINVAL, "pkey", PROBE),
        (("mseal", ANON_AT, PAGE, 0), ENOSYS, "unknown", PROBE),
        # What could never work.
        (("munmap", 0, 0), EINVAL, "argument.length", FAILED),
        (("mprotect", ANON_AT + 1, PAGE, RX), EINVAL, "argument.alignment", FAILED),
        (("mmap", 0, 0, RW, ANON, NO_FD, 0), EINVAL, "argument.length", FAILED),
        (("mmap", 0, PAGE, RW, PRIVATE, 99, 0), 9, "fd.bad", FAILED),
        (("mprotect", 0x10000, PAGE, RW), ENOMEM, "address.unmapped", FAILED),
        # What no rule, policy or limit answers, and why is not known.
        (("munmap", ANON_AT, PAGE), EINVAL, "unknown", FAILED),
        (("mremap", ANON_AT, PAGE, PAGE, 1), EFAULT, "unknown", FAILED),
        # What somebody said no to.
        (("mprotect", ANON_AT, PAGE, RX), EACCES, "unknown", REFUSED),
        (("mmap", 0, PAGE, RW | 4, ANON, NO_FD, 0), EPERM, "unknown", REFUSED),
        (("pkey_mprotect", ANON_AT, PAGE, RX, NO_FD), EACCES, "unknown", REFUSED),
        (("mremap", ANON_AT, PAGE, 2 * PAGE, 1), EPERM, "unknown", REFUSED),
        (("shmat", 1, 0, f.SHM_EXEC), EACCES, "unknown", REFUSED),
        (("munmap", ANON_AT, PAGE), EPERM, "unknown", REFUSED),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else str(value),
)
def test_outcome_of_a_whole_call(call: Tuple[str, ...], errno: int, cause: str, expected: str) -> None:
    told = Told(Host("6.18.4", "x86_64", PAGE, mdwe=0))
    name, *args = call
    told.call(name, *map(int, args), result=-errno, probe=Probe(100, vmas=list(map(vma, MAPS))))
    assert told.last.diagnosis is not None
    assert (told.last.diagnosis.cause, told.last.outcome) == (cause, expected)


def test_probes_and_failures_are_not_waited_for() -> None:
    """Only an alarm has an aftermath of its own."""
    told = Told()
    told.call("munmap", 0, 0, result=-EINVAL, probe=Probe(100))
    told.call("madvise", ANON_AT, PAGE, 999, result=-EINVAL, probe=Probe(100))
    shown = len(told.shown)
    told.exit(code=0)
    assert [event.name for event in told.shown[shown:]] == ["exit"]


@pytest.mark.parametrize(
    "cause",
    [
        "mdwe",
        "mseal",
        "seccomp.errno",
        "selinux.execmem",
        "fd.write-mode",
        "mount.noexec",
        "memfd.write-seal",
        "limit.data",
        "limit.map-count",
        "limit.address-space",
        "address.below-minimum",
    ],
)
def test_rules_policies_and_limits_are_alarms(cause: str) -> None:
    assert outcome(cause, "mmap", "EACCES") == REFUSED


@pytest.mark.parametrize("name, expected", [("madvise", REFUSED), ("mprotect", REFUSED)])
def test_a_seal_is_an_alarm_for_advice_too(name: str, expected: str) -> None:
    assert outcome("mseal", name, "EPERM") == expected


def test_advice_that_a_sandbox_refuses_is_no_alarm() -> None:
    """Chromium's own sandbox answers EPERM to madvise, 75 times in a healthy run."""
    assert outcome("seccomp.errno", "madvise", "EPERM") == PROBE


@pytest.mark.parametrize(
    "name, expected", [("mprotect", REFUSED), ("mmap", REFUSED), ("memfd_create", REFUSED), ("mseal", PROBE)]
)
def test_enosys_from_a_filter_is_an_alarm_where_every_kernel_has_the_call(name: str, expected: str) -> None:
    assert outcome("seccomp.errno", name, "ENOSYS") == expected


@pytest.mark.parametrize("prot, expected", [(RW, PROBE), (RW | 4, REFUSED)])
@pytest.mark.parametrize("mode", ["0", "2"])
def test_asking_for_more_than_there_is(prot: int, expected: str, mode: str) -> None:
    told = Told()
    meminfo = {"MemTotal": 1 << 30, "SwapTotal": 0, "CommitLimit": 1 << 30, "Committed_AS": 0}
    probe = Probe(100, sysctl={"vm.overcommit_memory": mode}, meminfo=meminfo, largest_gap=1 << 46)
    told.call("mmap", 0, 1 << 40, prot, ANON, NO_FD, 0, result=-ENOMEM, probe=probe)
    assert told.last.diagnosis is not None
    assert (told.last.diagnosis.cause, told.last.outcome) == ("limit.overcommit", expected)
    assert "in this mode" in str(told.last.diagnosis.fixes) or mode == "0"


@pytest.mark.parametrize(
    "name, errno, by_filter, may",
    [
        ("mprotect", "EACCES", False, True),
        ("mmap", "ENOMEM", False, True),
        ("brk", "", False, True),
        ("mmap", "ENODEV", True, True),
        ("mprotect", "", True, True),
        ("madvise", "EPERM", False, True),
        # What healthy programs do by the hundred must cost nothing.
        ("mmap", "EEXIST", False, False),
        ("madvise", "EINVAL", False, False),
        ("madvise", "EPERM", True, False),
        ("memfd_create", "EINVAL", False, False),
        ("prctl", "EINVAL", False, False),
        ("ptrace", "EPERM", True, False),
    ],
)
def test_what_may_turn_out_an_alarm(name: str, errno: str, by_filter: bool, may: bool) -> None:
    assert may_be_refused(name, errno, by_filter) is may


@pytest.mark.parametrize("cause", ["unknown", "mdwe", "mseal", "seccomp.errno", "limit.data", "selinux.execmem"])
@pytest.mark.parametrize("errno", ["EACCES", "EPERM", "ENOMEM", "EAGAIN", "EINVAL", "EBUSY"])
@pytest.mark.parametrize("name", ["mmap", "mprotect", "madvise", "memfd_create", "mremap", "prctl", "shmat"])
def test_no_alarm_is_ruled_out_beforehand(cause: str, errno: str, name: str) -> None:
    possible = (name, errno, cause) != ("memfd_create", "EINVAL", cause) and (cause == "mseal") <= (errno == "EPERM")
    if possible and outcome(cause, name, errno) == REFUSED:
        assert may_be_refused(name, errno, cause.startswith("seccomp"))


@pytest.mark.parametrize("cause", ["fd.driver", "address.special-mapping", "argument.shm", "secretmem", "pkey"])
@pytest.mark.parametrize(
    "errno, expected", [("EACCES", REFUSED), ("EPERM", REFUSED), ("EINVAL", FAILED), ("ENOSYS", PROBE)]
)
def test_a_call_that_does_not_fit_is_an_alarm_only_where_it_was_denied(cause: str, errno: str, expected: str) -> None:
    assert outcome(cause, "mmap", errno) == expected


@pytest.mark.parametrize(
    "cause, expected",
    [
        ("fd.bad", FAILED),
        ("fd.not-mappable", FAILED),
        ("fd.offset-overflow", FAILED),
        ("fd.no-dax", PROBE),
        ("address.unmapped", FAILED),
        ("address.no-room", PROBE),
        ("address.occupied", PROBE),
        ("address.brk-collision", PROBE),
        ("limit.hugepages", PROBE),
        ("memfd.flags", PROBE),
        ("hugetlb", FAILED),
        ("argument.alignment", FAILED),
        ("argument.advice", PROBE),
        ("tracer.interference", PROBE),
    ],
)
def test_the_entry_says_whether_it_is_an_alarm(cause: str, expected: str) -> None:
    assert outcome(cause, "mmap", "EINVAL") == expected


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause.startswith("fault.")])
def test_faults_are_no_refusals(cause: str) -> None:
    assert CAUSES[cause].outcome is Outcome.FAILED


@pytest.mark.parametrize("errno", ["EINVAL", "EEXIST", "EBADF", "EFAULT", "ENODEV", "EOVERFLOW"])
def test_what_the_kernel_itself_finds_unfit_failed(errno: str) -> None:
    assert outcome("unknown", "mmap", errno, by_kernel=True) == FAILED
    assert outcome("unknown", "mmap", errno) == (PROBE if errno == "EFAULT" else REFUSED)


def test_an_unexplained_denial_is_an_alarm_whoever_gave_it() -> None:
    assert outcome("unknown", "mmap", "EACCES", by_kernel=True) == REFUSED


@pytest.mark.parametrize("case, expected", [("own", REFUSED), ("handled", PROBE)])
def test_a_case_may_have_an_outcome_of_its_own(case: str, expected: str) -> None:
    assert outcome("seccomp.trap", "mprotect", "NONE", case=case) == expected
