"""What is said of a call that failed in a loop and was not looked at closely: only what is known of this call."""

from __future__ import annotations

from typing import Any, Sequence

from stories import ANON, ANON_AT, FILE_AT, HOST, MAPS, PAGE, RW, RX, R, Told, cause_of, facts_of, file_line, line, vma

from wxtrace.decoders.procmaps import MapLine
from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event
from wxtrace.model.facts import Host, Probe
from wxtrace.model.restrictions import PolicyAnswer, SelinuxState

REFUSED = Outcome.REFUSED
OTHER_AT = FILE_AT + 64 * PAGE
SHARED = file_line(FILE_AT, 1, "r--s")
OTHER = file_line(OTHER_AT, 1, "r--s", inode=43)
KERNEL = {"Seccomp": "0"}
BUSY = Probe(100, short=True, vmas_complete=False, status=KERNEL)
EACCES, ENOMEM = -13, -12


def refused(told: Told, mapped: MapLine, prot: int, *flags: str, result: int = EACCES, **probe: Any) -> Event:
    """mprotect of one whole mapping fails; with flags it is looked at closely."""
    seen = Probe(100, vmas=[vma(mapped, *flags)], status=KERNEL, **probe) if flags else replace(BUSY, **probe)
    told.call("mprotect", mapped.start, mapped.end - mapped.start, prot, result=result, probe=seen, now=[mapped])
    return told.last


def told_with(maps: Sequence[MapLine] = (*MAPS[:2], SHARED, OTHER, MAPS[3]), host: Host = HOST) -> Told:
    return Told(host, maps)


def test_a_mapping_that_was_looked_at_is_still_what_it_was() -> None:
    told = told_with()
    first = refused(told, SHARED, RW, "rd", "mr", "me", "ms")
    again = refused(told, SHARED, RW)
    assert cause_of(first) == ("fd.write-mode", "proved")
    assert cause_of(again) == ("fd.write-mode", "consistent")
    assert again.diagnosis is not None
    assert "at an earlier failure" in again.diagnosis.evidence[0].source


def test_nothing_is_said_of_a_mapping_because_it_is_true_of_another() -> None:
    told = told_with()
    refused(told, SHARED, RW, "rd", "mr", "me", "ms")
    event = refused(told, OTHER, RW)
    assert (event.outcome, *cause_of(event)) == (REFUSED, "unknown", "possible")
    assert event.diagnosis is not None and "not looked at closely" in event.diagnosis.summary
    assert "%#x" % FILE_AT not in facts_of(event)


def test_another_mapping_at_the_same_place_is_another() -> None:
    told = told_with()
    refused(told, SHARED, RW, "rd", "mr", "me", "ms")
    told.call("munmap", FILE_AT, PAGE)
    told.call("mmap", FILE_AT, PAGE, R, 1, 3, 0, result=FILE_AT)
    assert cause_of(refused(told, SHARED, RW)) == ("unknown", "possible")


def test_mdwe_is_known_for_memory_made_after_it_was_asked() -> None:
    told = told_with(host=replace(HOST, mdwe=None))
    refused(told, MAPS[1], RX, "rd", "wr", "mr", "mw", "me", mdwe=1)
    told.call("mmap", 0, PAGE, RW, ANON, -1, 0, result=OTHER_AT + 8 * PAGE)
    event = refused(told, line(OTHER_AT + 8 * PAGE), RX)
    assert cause_of(event) == ("mdwe", "consistent")
    assert "asked in the stopped thread" not in str(event.diagnosis)
    assert "%#x-%#x (anonymous) would go from rw- to r-x" % (OTHER_AT + 8 * PAGE, OTHER_AT + 9 * PAGE) in facts_of(
        event
    )


def test_mdwe_is_not_blamed_where_something_may_have_refused_before_it() -> None:
    told = told_with(host=replace(HOST, mdwe=1))
    event = refused(told, OTHER, RX)
    assert cause_of(event) == ("unknown", "possible")


def test_a_hole_is_seen_in_our_own_map() -> None:
    told = told_with()
    told.call("munmap", ANON_AT + PAGE, PAGE)
    told.call("mprotect", ANON_AT, 4 * PAGE, R, result=ENOMEM, probe=BUSY, now=[line(ANON_AT, 1, "r--p")])
    assert cause_of(told.last) == ("address.unmapped", "consistent")
    assert "no mapping at %#x" % (ANON_AT + PAGE) in facts_of(told.last)


def test_the_limits_are_those_of_this_call() -> None:
    told = told_with()
    far = 1 << 60
    status, sysctl = {"VmSize": "4096 kB", **KERNEL}, {"vm.max_map_count": "65530"}
    probe = Probe(100, status=status, sysctl=sysctl, limits={"Max address space": None})
    told.call("mmap", far, PAGE, R, ANON | 0x10, -1, 0, result=ENOMEM, probe=probe)
    assert cause_of(told.last) == ("address.no-room", "proved")
    now = replace(BUSY, status=status, sysctl=sysctl, limits={"Max address space": 64 << 20})
    told.call("mmap", 0, 128 << 20, R, ANON, -1, 0, result=ENOMEM, probe=now)
    assert (told.last.outcome, *cause_of(told.last)) == (REFUSED, "limit.address-space", "consistent")


def counted(told: Told, probe: Probe) -> Event:
    told.call("mmap", 0, PAGE, R, ANON, -1, 0, result=ENOMEM, probe=probe)
    return told.last


def test_mappings_are_counted_anew_once_the_map_is_another() -> None:
    told = told_with()
    status, sysctl = {"VmSize": "400 kB"}, {"vm.max_map_count": "5"}
    counted(told, Probe(100, status=status, sysctl=sysctl, map_count=6))
    assert cause_of(counted(told, replace(BUSY, status=status, sysctl=sysctl))) == ("limit.map-count", "consistent")
    told.call("munmap", ANON_AT, 4 * PAGE)
    assert cause_of(counted(told, replace(BUSY, status=status, sysctl=sysctl)))[0] == "unknown"


def test_a_policy_answers_for_the_domain_that_it_was_asked_about() -> None:
    told = told_with(host=replace(HOST, mdwe=0, lsm=["selinux"], selinux_enforcing=True))
    domain = "user_u:user_r:user_t:s0"
    policy = SelinuxState(True, domain, [PolicyAnswer("", "process", domain, [], ["execmem"])])
    fine = ("rd", "wr", "mr", "mw", "me")
    first = refused(told, MAPS[1], RX, *fine, mdwe=0, selinux=policy, lsm_label=domain)
    assert cause_of(first)[0] == "selinux.execmem"
    same = refused(told, MAPS[1], RX, lsm_label=domain)
    assert cause_of(same) == ("selinux.execmem", "consistent")
    other = refused(told, MAPS[1], RX, lsm_label="user_u:user_r:other_t:s0")
    assert "/sys/fs/selinux/access" in str(same.diagnosis)
    assert "/sys/fs/selinux/access" not in str(other.diagnosis) and "user_t" not in str(other.diagnosis)


# A process that is not dumpable, whose files nobody but root reads

UNREADABLE = Probe(100, vmas_complete=False, status=KERNEL)


def test_the_recorded_prctl_decides_where_no_file_of_the_process_can_be_read() -> None:
    told = Told(replace(HOST, lsm=["capability", "bpf"], mdwe=None))
    told.call("prctl", f.PR_SET_MDWE, 1, 0, 0, 0)
    told.call("mprotect", ANON_AT, PAGE, RX, result=EACCES, probe=UNREADABLE, now=[MAPS[1]])
    assert cause_of(told.last) == ("mdwe", "proved")
    assert "%#x-%#x (anonymous) would go from rw- to r-x" % (ANON_AT, ANON_AT + PAGE) in facts_of(told.last)
    assert "smaps" not in str(told.last.diagnosis)


def test_what_a_file_mapping_may_become_is_not_known_there() -> None:
    told = Told(replace(HOST, mdwe=1))
    told.call("mprotect", FILE_AT, PAGE, RX, result=EACCES, probe=UNREADABLE, now=[MAPS[2]])
    assert cause_of(told.last) == ("mdwe", "consistent")
    assert "mount.noexec cannot be excluded: not known is what each mapping of the range may become" in facts_of(
        told.last
    )
