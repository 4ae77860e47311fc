"""Refusals with the policy's own answer at hand: proved without an audit log, or excluded, or left open."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import pytest
from stories import ANON, ANON_AT, FILE_AT, HEAP, PAGE, RW, RWX, RX, START_STACK, Told, cause_of, facts_of, line, vma

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.frozen import replace
from wxtrace.model.event import Event
from wxtrace.model.facts import Host, Probe
from wxtrace.model.objects import Descriptor, MountFact
from wxtrace.model.restrictions import DESCRIPTOR, ModuleState, PolicyAnswer, SelinuxState

HOST = Host("6.12.10", "x86_64", PAGE, ["capability", "selinux"], True, mdwe=0)
DOMAIN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
START_BRK, BRK, SP = HEAP, HEAP + 0x21000, START_STACK - 0x100
HEAP_LINE = line(START_BRK, 0x21, "rw-p", "[heap]")
FILE = line(FILE_AT, 2, "rw-p", "/srv/jit code", 42, "08:01")
ZERO = line(FILE_AT, 2, "rw-p", "/dev/zero", 5, "00:06")
EXEC = ("execmem", "execheap", "execstack")


def process(*refused: str, permissive: bool = False) -> PolicyAnswer:
    return PolicyAnswer("", "process", DOMAIN, [p for p in EXEC if p not in refused], list(refused), permissive)


def an_object(about: str, *refused: str, tclass: str = "file") -> PolicyAnswer:
    asked = ("map", "read", "write", "execute", "execmod")
    label = "system_u:object_r:usr_t:s0"
    return PolicyAnswer(about, tclass, label, [p for p in asked if p not in refused], list(refused))


def state(*answers: PolicyAnswer, why_not: str = "", **booleans: bool) -> SelinuxState:
    return SelinuxState(True, DOMAIN, list(answers), booleans, why_not)


def refused(
    entry: Vma, selinux: Optional[SelinuxState], on: Host = HOST, brk: Optional[int] = BRK, **more: Any
) -> Event:
    """mprotect(R|X) of a whole mapping fails with EACCES."""
    mapped: MapLine = entry.line
    told = Told(on, [mapped])
    values: Dict[str, Any] = {"sp": SP, "status": {"Seccomp": "0"}, "mdwe": 0, "comm": "jit", **more}
    probe = Probe(100, vmas=[entry], start_brk=START_BRK, start_stack=START_STACK, brk=brk, selinux=selinux, **values)
    told.call("mprotect", mapped.start, mapped.end - mapped.start, RX, result=-13, probe=probe)
    return told.last


@pytest.mark.parametrize(
    "entry, answers, cause, confidence",
    [
        (vma(HEAP_LINE), [process("execmem", "execheap")], "execheap", "proved"),
        (vma(HEAP_LINE), [process("execmem")], "execmem", "proved"),
        (vma(line(ANON_AT, 4)), [process("execmem")], "execmem", "proved"),
        (vma(FILE, anonymous=PAGE), [process(), an_object("%#x" % FILE_AT, "execmod")], "execmod", "proved"),
        (vma(FILE, anonymous=PAGE), [process(), an_object("%#x" % FILE_AT, "execute")], "file-execute", "proved"),
        (vma(FILE, anonymous=PAGE), [process(), an_object("%#x" % FILE_AT, "read")], "other", "proved"),
        # Nothing shows that it was written to, but all else is granted.
        (vma(FILE), [process(), an_object("%#x" % FILE_AT, "execmod")], "execmod", "proved"),
        (vma(ZERO), [process(), an_object("%#x" % FILE_AT, "execmod", tclass="chr_file")], "execmod", "proved"),
        # Either may have been the one: execmod is asked first, if it is.
        (vma(FILE), [process(), an_object("%#x" % FILE_AT, "execmod", "execute")], "execmod", "consistent"),
    ],
)
def test_the_first_permission_that_is_not_granted(
    entry: Vma, answers: List[PolicyAnswer], cause: str, confidence: str
) -> None:
    event = refused(entry, state(*answers))
    assert cause_of(event) == ("selinux." + cause, confidence)
    assert "the policy does not grant" in facts_of(event)


@pytest.mark.parametrize("answer", [process(), process("execmem", "execheap", permissive=True)])
def test_a_policy_that_grants_is_not_blamed(answer: PolicyAnswer) -> None:
    event = refused(vma(line(ANON_AT, 4)), state(answer))
    assert cause_of(event)[0] == "unknown"
    assert "SELinux was asked, and its policy grants" in facts_of(event)


def test_a_policy_that_may_not_be_asked_settles_nothing() -> None:
    event = refused(vma(line(ANON_AT, 4)), state(why_not="wxtrace's own domain may not ask the policy"))
    assert cause_of(event) == ("selinux.execmem", "consistent")
    assert "may not ask the policy" in facts_of(event)
    assert event.diagnosis is not None
    assert [fix.command for fix in event.diagnosis.fixes] == [None, "ausearch -m avc -ts recent -c jit"]
    assert "dontaudit" in event.diagnosis.fixes[-1].text


def test_a_proof_needs_no_settling_and_offers_the_boolean_that_forbids() -> None:
    diagnosis = refused(vma(line(ANON_AT, 4)), state(process("execmem"), allow_execmem=False)).diagnosis
    assert diagnosis is not None
    assert [fix.command for fix in diagnosis.fixes] == [None, "setsebool -P allow_execmem on"]


def test_the_command_switches_all_that_is_needed() -> None:
    policy = state(process("execheap", "execmem"), allow_execheap=False, allow_execmem=False)
    diagnosis = refused(vma(HEAP_LINE), policy).diagnosis
    assert diagnosis is not None
    assert diagnosis.fixes[-1].command == "setsebool -P allow_execheap=on allow_execmem=on"


def test_a_boolean_that_is_on_already_is_no_fix() -> None:
    diagnosis = refused(vma(line(ANON_AT, 4)), state(process("execmem"), allow_execmem=True)).diagnosis
    assert diagnosis is not None
    assert [fix.command for fix in diagnosis.fixes] == [None, "ausearch -m avc -ts recent -c jit"]


NEIGHBOUR = vma(line(BRK, 4))


@pytest.mark.parametrize(
    "kernel, denied, expected",
    [
        ("6.6.30", ["execheap"], ("selinux.execheap", "proved")),
        ("6.6.30", ["execheap", "execmem"], ("selinux.execheap", "consistent")),
        ("6.6.30", ["execmem"], ("selinux.execmem", "proved")),
        ("6.11.2", ["execheap", "execmem"], ("selinux.execmem", "proved")),
    ],
)
def test_what_touches_the_heap(kernel: str, denied: Sequence[str], expected: tuple[str, str]) -> None:
    """A stable release may have been corrected, so on 6.6 both permissions stay in question."""
    event = refused(NEIGHBOUR, state(process(*denied)), replace(HOST, kernel=kernel))
    assert cause_of(event) == expected
    if expected[0] == "selinux.execheap":
        assert event.diagnosis is not None
        assert "touches the heap, but is not the heap" in event.diagnosis.summary
        assert "6.11" in event.diagnosis.fixes[-1].text


def test_after_attaching_nobody_knows_where_the_heap_ends() -> None:
    event = refused(vma(HEAP_LINE), state(process("execheap", "execmem")), brk=None)
    assert cause_of(event) == ("selinux.execheap", "consistent")
    assert "where the heap ends is not known" in facts_of(event)


@pytest.mark.parametrize(
    "on, more",
    [
        # Asked before SELinux, and it may have said the same.
        (replace(HOST, lsm=["capability", "bpf", "selinux"]), {}),
        # Whether MDWE is set could not be asked, and it comes first.
        (replace(HOST, mdwe=None), {"mdwe": None}),
    ],
)
def test_no_proof_where_something_before_may_have_said_the_same(on: Host, more: Dict[str, Any]) -> None:
    event = refused(vma(line(ANON_AT, 4)), state(process("execmem")), on, **more)
    assert cause_of(event) == ("selinux.execmem", "consistent")


def test_exclusion_is_no_proof_where_another_module_may_have_refused() -> None:
    answers = state(process(), an_object("%#x" % FILE_AT, "execmod"))
    behind = replace(HOST, lsm=["capability", "selinux", "bpf"])
    assert cause_of(refused(vma(FILE), answers, behind)) == ("selinux.execmod", "consistent")
    none = ModuleState(bpf_programs={})
    assert cause_of(refused(vma(FILE), answers, behind, modules=none)) == ("selinux.execmod", "proved")


def test_in_a_container_whether_it_enforces_is_not_known() -> None:
    hidden = SelinuxState(None, DOMAIN, why_not="selinuxfs is not to be seen here (a container hides it)")
    event = refused(vma(line(ANON_AT, 4)), hidden, replace(HOST, selinux_enforcing=None))
    assert cause_of(event) == ("selinux.execmem", "possible")
    assert "whether it enforces cannot be seen" in facts_of(event)


def test_it_has_become_permissive_since_the_start() -> None:
    assert cause_of(refused(vma(line(ANON_AT, 4)), SelinuxState(False, DOMAIN)))[0] == "unknown"


# mmap, where SELinux is asked before everything else


def mmap(probe: Probe, prot: int = RX, flags: int = 2, fd: int = 3, addr: int = 0, errno: int = 13) -> Event:
    told = Told(HOST)
    told.call("mmap", addr, PAGE, prot, flags, fd, 0, result=-errno, probe=probe)
    return told.last


NOEXEC = MountFact("/srv", "rw,noexec", "ext4", "rw")


def test_selinux_comes_before_the_noexec_mount_at_mmap() -> None:
    descriptor = Descriptor("/srv/jit code", 2, "regular file", NOEXEC)
    probe = Probe(100, status={"Seccomp": "0"}, descriptor=descriptor, comm="jit")
    event = mmap(replace(probe, selinux=state(process(), an_object(DESCRIPTOR, "execute"))))
    assert cause_of(event) == ("selinux.file-execute", "proved")
    assert event.diagnosis is not None
    assert "restorecon -v '/srv/jit code'" in [fix.command for fix in event.diagnosis.fixes]
    assert cause_of(mmap(replace(probe, selinux=state(process(), an_object(DESCRIPTOR))), errno=1))[0] == "mount.noexec"


def test_selinux_comes_before_a_read_only_descriptor_at_mmap() -> None:
    descriptor = Descriptor("/srv/jit", 0, "regular file")
    probe = Probe(100, status={"Seccomp": "0"}, descriptor=descriptor)
    denied = replace(probe, selinux=state(process(), an_object(DESCRIPTOR, "write")))
    granted = replace(probe, selinux=state(process(), an_object(DESCRIPTOR)))
    assert cause_of(mmap(denied, RW, 1)) == ("selinux.other", "proved")
    assert cause_of(mmap(granted, RW, 1))[0] == "fd.write-mode"


def test_anonymous_memory_at_mmap() -> None:
    probe = Probe(100, status={"Seccomp": "0"}, selinux=state(process("execmem")))
    assert cause_of(mmap(probe, RWX, ANON, -1)) == ("selinux.execmem", "proved")


def test_a_low_address_is_memprotect() -> None:
    low = PolicyAnswer("", "memprotect", DOMAIN, [], ["mmap_zero"])
    probe = Probe(100, status={"Seccomp": "0"}, selinux=state(process(), low, mmap_low_allowed=False))
    event = mmap(probe, RW, ANON | 0x10, -1, 0x1000)
    assert cause_of(event) == ("selinux.mmap-zero", "proved")
    assert event.diagnosis is not None
    assert event.diagnosis.fixes[-1].command == "setsebool -P mmap_low_allowed on"


# Other modules, excluded or not


def test_a_bpf_list_that_is_empty_excludes_bpf() -> None:
    told = Told(replace(HOST, lsm=["capability", "bpf"], selinux_enforcing=None, mdwe=1))
    told.call("mmap", 0, PAGE, RWX, ANON, -1, 0, result=-13, probe=_mdwe_probe(ModuleState(bpf_programs={})))
    assert cause_of(told.last) == ("mdwe", "proved")
    told.call("mmap", 0, PAGE, RWX, ANON, -1, 0, result=-13, probe=_mdwe_probe(ModuleState()))
    assert cause_of(told.last) == ("mdwe", "consistent")


def _mdwe_probe(modules: ModuleState) -> Probe:
    return Probe(100, status={"Seccomp": "0"}, mdwe=1, modules=modules)


# What READ_IMPLIES_EXEC adds


@pytest.mark.parametrize(
    "kernel, as_requested, expected",
    [
        ("6.12.10", False, ("selinux.execmem", "proved")),
        ("6.1.0", False, ("selinux.execmem", "proved")),
        ("6.1.0", True, ("unknown", "possible")),
        # From 6.4 on the file says 0 whatever was written; a container may show anything.
        ("6.12.10", True, ("selinux.execmem", "proved")),
    ],
)
def test_reading_implies_executing_unless_only_the_request_is_checked(
    kernel: str, as_requested: bool, expected: tuple[str, str]
) -> None:
    told = Told(replace(HOST, kernel=kernel))
    policy = replace(state(process("execmem")), as_requested=as_requested)
    probe = Probe(100, status={"Seccomp": "0"}, selinux=policy, personality=0x400000, mdwe=0)
    told.call("mmap", 0, PAGE, 1, ANON, -1, 0, result=-13, probe=probe)
    assert cause_of(told.last) == expected
