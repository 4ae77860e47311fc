"""Security modules other than SELinux, on records: named where they can have refused, excluded where they cannot."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from stories import ANON, ANON_AT, FILE_AT, MAPS, PAGE, RW, RX, R, Told, cause_of, facts_of, file_line, line, vma

from wxtrace.decoders.procmaps import Vma
from wxtrace.model.event import Event
from wxtrace.model.facts import Host, Probe
from wxtrace.model.objects import Descriptor
from wxtrace.model.restrictions import ModuleState

FILE = file_line(FILE_AT, 2, "r--p", "/srv/lib a.so")
ZERO = line(FILE_AT, 2, "rw-p", "/dev/zero", 5, "00:06")
NAUGHTY = Descriptor("/srv/\x1b[2J", 0, "regular file")
ENFORCED = ModuleState(apparmor="jit (enforce)")
DENY = {"3": "file_open restrict_fs", "17": "file_mprotect deny"}
RULE = "appraise func=MMAP_CHECK mask=MAY_EXEC"


def host(*modules: str, **more: Any) -> Host:
    return Host("6.12.10", "x86_64", PAGE, ["lockdown", "capability", "yama", *modules], mdwe=0, **more)


def at_mprotect(on: Host, state: Optional[ModuleState], entry: Vma, errno: int = 13, prot: int = RX) -> Event:
    told = Told(on, [entry.line])
    probe = Probe(100, vmas=[entry], status={"Seccomp": "0"}, mdwe=0, modules=state)
    told.call("mprotect", entry.line.start, 2 * PAGE, prot, result=-errno, probe=probe)
    return told.last


def at_mmap(on: Host, state: Optional[ModuleState], errno: int = 13, prot: int = RX, flags: int = 2) -> Event:
    told = Told(on)
    descriptor = None if flags & 0x20 else Descriptor("/srv/lib a.so", 0, "regular file")
    probe = Probe(100, status={"Seccomp": "0"}, mdwe=0, descriptor=descriptor, modules=state)
    told.call("mmap", 0, PAGE, prot, flags, -1 if flags & 0x20 else 3, 0, result=-errno, probe=probe)
    return told.last


@pytest.mark.parametrize(
    "event, expected",
    [
        (at_mmap(host("apparmor"), ENFORCED), "apparmor"),
        (at_mprotect(host("apparmor"), ENFORCED, vma(FILE)), "apparmor"),
        (at_mprotect(host("apparmor"), ENFORCED, vma(ZERO)), "apparmor"),
        (at_mprotect(host("apparmor"), ENFORCED, vma(MAPS[1])), "unknown"),
        (at_mmap(host("apparmor"), ENFORCED, flags=ANON), "unknown"),
        (at_mmap(host("apparmor"), ModuleState(apparmor="unconfined")), "unknown"),
        (at_mmap(host("apparmor"), ModuleState(apparmor="jit (complain)")), "unknown"),
        (at_mmap(host("apparmor"), ENFORCED, errno=1), "unknown"),
        (at_mprotect(host("ipe"), ModuleState(ipe_enforces=True, ipe_policy="boot"), vma(MAPS[1])), "ipe"),
        (at_mprotect(host("ipe"), ModuleState(ipe_enforces=True, ipe_policy="boot"), vma(FILE), prot=RW), "unknown"),
        (at_mprotect(host("ipe"), ModuleState(ipe_enforces=False, ipe_policy="boot"), vma(FILE)), "unknown"),
        (at_mprotect(host("ipe"), ModuleState(ipe_enforces=True, ipe_policy=""), vma(FILE)), "unknown"),
        (at_mmap(host("smack"), ModuleState(smack="User", smack_mmap="Lib")), "smack"),
        (at_mprotect(host("smack"), ModuleState(smack="User", smack_mmap="Lib"), vma(FILE)), "unknown"),
        (at_mprotect(host("ima"), ModuleState(ima_rules=[RULE]), vma(FILE), errno=1), "ima"),
        (at_mprotect(host("ima"), ModuleState(ima_rules=[RULE]), vma(FILE), errno=13), "unknown"),
        (at_mprotect(host("ima"), ModuleState(ima_rules=[]), vma(FILE), errno=1), "unknown"),
        (at_mmap(host("ima"), ModuleState(ima_rules=[RULE])), "ima"),
        (at_mprotect(host("bpf"), ModuleState(bpf_programs=DENY), vma(MAPS[1]), errno=18), "bpf-lsm"),
        (at_mprotect(host("bpf"), ModuleState(bpf_programs={"9": "? deny"}), vma(MAPS[1]), errno=1), "bpf-lsm"),
        (at_mprotect(host("bpf"), ModuleState(bpf_programs={"3": "file_open fs"}), vma(MAPS[1]), errno=1), "unknown"),
        (at_mprotect(host("bpf"), ModuleState(bpf_programs={}), vma(MAPS[1]), errno=1), "unknown"),
        # Whether a program is loaded only root may know: it is not accused of an errno that modules do not use.
        (at_mprotect(host("bpf"), ModuleState(), vma(MAPS[1]), errno=18), "unknown"),
        (at_mprotect(host("bpf"), ModuleState(), vma(MAPS[1]), errno=1), "lsm.unknown"),
    ],
)
def test_who_can_have_refused(event: Event, expected: str) -> None:
    assert cause_of(event)[0] == expected
    confidence = "possible" if expected in ("unknown", "lsm.unknown") else "consistent"
    assert cause_of(event)[1] == confidence


def test_the_profile_line_that_would_allow_it() -> None:
    diagnosis = at_mmap(host("apparmor"), ENFORCED).diagnosis
    assert diagnosis is not None and diagnosis.refused_by == "AppArmor"
    assert "the profile jit does not allow to map /srv/lib a.so" in diagnosis.summary
    assert '“"/srv/lib a.so" mr,”' in diagnosis.fixes[1].text


def test_a_name_that_no_profile_can_hold_is_not_offered() -> None:
    told = Told(host("apparmor"))
    probe = Probe(100, status={"Seccomp": "0"}, mdwe=0, descriptor=NAUGHTY, modules=ENFORCED)
    told.call("mmap", 0, PAGE, RX, 2, 3, 0, result=-13, probe=probe)
    assert told.last.diagnosis is not None
    assert "\x1b" not in told.last.diagnosis.fixes[1].text


@pytest.mark.parametrize("link, cause", [("/dev/zero", "apparmor"), ("/dev/dri/card0", "fd.driver")])
def test_a_device_may_have_refused_by_itself(link: str, cause: str) -> None:
    told = Told(host("apparmor"))
    device = Descriptor(link, 2, "character device")
    probe = Probe(100, status={"Seccomp": "0"}, mdwe=0, descriptor=device, modules=ENFORCED)
    told.call("mmap", 0, PAGE, RX, 2, 3, 0, result=-13, probe=probe)
    assert cause_of(told.last) == (cause, "consistent")


def test_two_suspects_are_listed_and_none_is_accused() -> None:
    both = ModuleState(apparmor="jit (enforce)", ipe_enforces=True, ipe_policy="boot")
    event = at_mmap(host("apparmor", "ipe"), both)
    assert cause_of(event) == ("lsm.unknown", "possible")
    assert event.diagnosis is not None and "apparmor, ipe" in event.diagnosis.summary


def test_one_suspect_beside_one_that_nobody_can_exclude() -> None:
    event = at_mmap(host("apparmor", "bpf"), ENFORCED)
    assert cause_of(event) == ("apparmor", "possible")
    assert "bpf cannot be excluded" in facts_of(event)


def test_unknown_says_what_was_excluded_and_why() -> None:
    event = at_mprotect(host("apparmor", "bpf"), ModuleState(apparmor="unconfined", bpf_programs={}), vma(FILE))
    assert "AppArmor's profile of the program is unconfined" in facts_of(event)
    assert "no BPF security program is loaded" in facts_of(event)
    assert "lockdown, yama: no part in memory calls" in facts_of(event)


def test_only_programs_on_memory_hooks_are_suspects() -> None:
    event = at_mprotect(host("bpf"), ModuleState(bpf_programs=DENY), vma(MAPS[1]), errno=1)
    assert "17 (file_mprotect deny)" in facts_of(event) and "restrict_fs" not in facts_of(event)
    assert event.diagnosis is not None
    assert event.diagnosis.fixes[0].command == "bpftool prog show id 17"
    opened = ModuleState(bpf_programs={"3": "file_open restrict_fs"})
    assert "attached to a hook of memory calls" in facts_of(at_mprotect(host("bpf"), opened, vma(MAPS[1]), errno=1))


def test_a_list_of_modules_that_cannot_be_read_keeps_from_a_proof() -> None:
    told = Told(Host("6.12.10", "x86_64", PAGE, mdwe=1, lsm_known=False))
    probe = Probe(100, status={"Seccomp": "0"}, mdwe=1)
    told.call("mmap", 0, PAGE, 7, ANON, -1, 0, result=-13, probe=probe)
    assert cause_of(told.last) == ("mdwe", "consistent")
    assert "cannot be excluded: not known is which security modules are at work" in facts_of(told.last)


def test_what_is_executable_already_is_not_ipes_business() -> None:
    running = line(ANON_AT, 2, "r-xp")
    event = at_mprotect(host("ipe"), ModuleState(ipe_enforces=True, ipe_policy="boot"), vma(running), prot=7 & ~R)
    assert cause_of(event)[0] == "unknown"


def test_a_seal_that_a_bpf_program_comes_before_says_what_would_settle_it() -> None:
    event = at_mprotect(host("bpf"), None, vma(MAPS[1], "rd", "wr", "mr", "mw", "me", "sl"), errno=1)
    assert cause_of(event) == ("mseal", "consistent")
    assert "bpf cannot be excluded: not known is which BPF programs are loaded (as root, wxtrace" in facts_of(event)
