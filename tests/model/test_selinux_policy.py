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
        # Either may have been the one: execmod is asked first, but only if it was written to, and nothing shows that.
        (vma(FILE), [process(), an_object("%#x" % FILE_AT, "execmod", "execute")], "file-execute", "consistent"),
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


def fixes_of(event: Event) -> str:
    assert event.diagnosis is not None
    return " / ".join("%s %s" % (fix.text, fix.command or "") for fix in event.diagnosis.fixes)


def in_domain(domain: str, policy: SelinuxState) -> SelinuxState:
    return replace(policy, domain="system_u:system_r:%s:s0" % domain)


@pytest.mark.parametrize(
    "domain, booleans, said, unsaid",
    [
        # On Debian allow_execmem governs 34 of 734 domains.
        ("unconfined_t", {"allow_execmem": False}, "setsebool -P allow_execmem on", "sesearch"),
        ("user_t", {"allow_execmem": False}, "own switch allow_execmem (weakens", "sesearch"),
        ("httpd_t", {"allow_execmem": False}, "sesearch -A -s httpd_t -c process -p execmem", "setsebool"),
        ("httpd_t", {"allow_execmem": False, "httpd_execmem": False}, "(httpd_execmem, allow_execmem)", "setsebool"),
        ("httpd_t", {"allow_execmem": True, "httpd_execmem": True}, "ausearch", "sesearch"),
        ("httpd_t", {"httpd_unified": False}, "ausearch", "httpd_unified"),
    ],
)
def test_a_boolean_is_named_for_the_domains_that_it_governs(
    domain: str, booleans: Dict[str, bool], said: str, unsaid: str
) -> None:
    event = refused(vma(line(ANON_AT, 4)), in_domain(domain, state(process("execmem"), **booleans)))
    told = fixes_of(event)
    off = booleans.get("allow_execmem") is False
    assert ("the boolean allow_execmem is off" in facts_of(event)) is off
    assert said in told and unsaid not in told


@pytest.mark.parametrize("denied, offered", [((), True), (("execmem",), False)])
def test_what_the_same_policy_refuses_next_is_no_advice(denied: Sequence[str], offered: bool) -> None:
    heap = refused(vma(HEAP_LINE), state(process("execheap", *denied)))
    file = refused(vma(FILE, anonymous=PAGE), state(process(*denied), an_object("%#x" % FILE_AT, "execmod")))
    for event in (heap, file):
        assert ("MAP_ANONYMOUS" in fixes_of(event)) is offered
        assert "mapped twice MAP_SHARED" in fixes_of(event)


@pytest.mark.parametrize(
    "path, place, relabels",
    [
        ("/srv/jit code", None, True),
        ("/srv/jit code", "system_u:object_r:lib_t:s0", True),
        ("/srv/jit code", "unconfined_u:object_r:usr_t:s0", False),
        ("/srv/jit code", "<<none>>", False),
        ("/srv/jit code (deleted)", None, False),
        ("/memfd:jit (deleted)", None, False),
        ("/dev/dri/card0", None, False),
        ("/dev/zero", None, False),
    ],
)
def test_restorecon_is_for_files_that_may_have_another_label_than_their_place(
    path: str, place: Optional[str], relabels: bool
) -> None:
    about = "%#x" % FILE_AT
    policy = state(process(), an_object(about, "execute"))
    policy = replace(policy, place_labels={} if place is None else {about: place})
    event = refused(vma(line(FILE_AT, 2, "r--p", path, 42, "08:01")), policy)
    assert cause_of(event) == ("selinux.file-execute", "proved")
    assert ("restorecon" in fixes_of(event)) is relabels


def test_rwx_of_a_file_that_shows_no_private_page_is_execmem_first() -> None:
    told = Told(HOST, [FILE])
    policy = state(process("execmem"), an_object("%#x" % FILE_AT, "execmod"))
    probe = Probe(100, vmas=[vma(FILE)], status={"Seccomp": "0"}, mdwe=0, selinux=policy)
    told.call("mprotect", FILE_AT, 2 * PAGE, RWX, result=-13, probe=probe)
    assert cause_of(told.last) == ("selinux.execmem", "consistent")
    written = replace(probe, vmas=[vma(FILE, anonymous=PAGE)])
    told.call("mprotect", FILE_AT, 2 * PAGE, RWX, result=-13, probe=written)
    assert cause_of(told.last) == ("selinux.execmod", "proved")


def test_the_part_that_has_changed_was_not_refused() -> None:
    """A private file without private pages, then memory that was written: the kernel stops at the second."""
    behind = line(FILE_AT + 2 * PAGE)
    told = Told(HOST, [FILE, behind])
    policy = state(process("execmem"), an_object("%#x" % FILE_AT, "execmod"))
    probe = Probe(100, vmas=[vma(FILE), vma(behind)], status={"Seccomp": "0"}, mdwe=0, selinux=policy)
    now = [FILE._replace(perms="r-xp"), behind]
    told.call("mprotect", FILE_AT, 3 * PAGE, RX, result=-13, probe=probe, now=now)
    assert cause_of(told.last) == ("selinux.execmem", "proved")


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
