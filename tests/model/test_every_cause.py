"""Each entry of the table of causes is given by a story that is told here: one whose rule no longer holds fails."""

from __future__ import annotations

from functools import partial
from typing import Callable, Dict

import pytest
import test_causes_from_records as records
from stories import (
    ANON,
    ANON_AT,
    FILE_AT,
    MAPS,
    PAGE,
    RX,
    STACK,
    Told,
    file_line,
    line,
    vma,
)
from test_causes_modules import DENY, ENFORCED, RULE, at_mmap, at_mprotect, host
from test_causes_seccomp import NOTIFY, no_execution, seen
from test_loader import mapped, unmapped
from test_selinux_policy import FILE, HEAP_LINE, an_object, process, refused, state

from wxtrace.model import flags as f
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event
from wxtrace.model.facts import BY_FILTER, Probe, SignalStop
from wxtrace.model.restrictions import ModuleState

SIGBUS, SIGILL, SIGSEGV, SIGSYS = 7, 4, 11, 31
MAPERR, ACCERR, PKUERR = 1, 2, 4
ADRERR = 2


def filtered(what: str) -> Event:
    told = Told()
    if what == "user-notif":
        seen(told, no_execution(NOTIFY))
    result = {"trap": 10, "kill": None}.get(what, -13)
    told.call("mprotect", ANON_AT, PAGE, RX, result=result, decided=BY_FILTER)
    if what == "trap":
        told.signal(SIGSYS, 0x400000, code=1)
    if what in ("trap", "kill"):
        told.exit(signal=SIGSYS)
    return told.named("mprotect")[0]


def crashed(signo: int, code: int, addr: int, jump: bool = False) -> Event:
    told = Told(maps=[line(ANON_AT, 4), file_line(FILE_AT, 2)])
    told.feed(SignalStop(100, told.now(), signo, code, addr, None, addr if jump else 0x400000, STACK))
    told.exit(signal=signo)
    return told.named("fault")[0]


def selinux(permission: str) -> Event:
    at = "%#x" % FILE_AT
    if permission in ("execmem", "execheap"):
        return refused(vma(HEAP_LINE), state(process(permission)))
    if permission == "execstack":
        return refused(vma(line(STACK, 0x21, "rw-p", "[stack]")), state(process("execstack")))
    if permission == "mmap-zero":
        told = Told(host("selinux", selinux_enforcing=True))
        probe = Probe(100, status={"Seccomp": "0"}, mdwe=0, sysctl={"vm.mmap_min_addr": "4096"})
        told.call("mmap", 4096, PAGE, 1, ANON | f.MAP_FIXED, -1, 0, result=-13, probe=probe)
        return told.last
    right = {"execmod": "execmod", "file-execute": "execute", "other": "read"}[permission]
    return refused(vma(FILE, anonymous=PAGE), state(process(), an_object(at, right)))


def strict_mode() -> Event:
    told = Told()
    probe = Probe(100, status={"Seccomp": "2", "Seccomp_filters": "1"}, filters_ours=1)
    told.call("prctl", f.PR_SET_SECCOMP, 1, result=-22, probe=probe)
    return told.last


def given_up() -> Event:
    told = Told(maps=[line(STACK, 0x21, "rw-p", "[stack]")])
    mapped(told)
    unmapped(told)
    return told.named("dlopen")[0]


GIVEN: Dict[str, Callable[[], Event]] = {
    "seccomp.errno": lambda: filtered("errno"),
    "seccomp.trap": lambda: filtered("trap"),
    "seccomp.kill": lambda: filtered("kill"),
    "seccomp.user-notif": lambda: filtered("user-notif"),
    "tracer.interference": strict_mode,
    "loader.execstack": given_up,
    "apparmor": lambda: at_mmap(host("apparmor"), ENFORCED),
    "ipe": lambda: at_mprotect(host("ipe"), ModuleState(ipe_enforces=True, ipe_policy="boot"), vma(MAPS[1])),
    "smack": lambda: at_mmap(host("smack"), ModuleState(smack="User", smack_mmap="Lib")),
    "ima": lambda: at_mmap(host("ima"), ModuleState(ima_rules=[RULE])),
    "bpf-lsm": lambda: at_mprotect(host("bpf"), ModuleState(bpf_programs=DENY), vma(MAPS[1]), errno=18),
    "lsm.unknown": lambda: at_mprotect(host("bpf"), ModuleState(), vma(MAPS[1]), errno=1),
    "fault.nx": lambda: crashed(SIGSEGV, ACCERR, ANON_AT, jump=True),
    "fault.write": lambda: crashed(SIGSEGV, ACCERR, FILE_AT),
    "fault.unmapped": lambda: crashed(SIGSEGV, MAPERR, 8),
    "fault.pkey": lambda: crashed(SIGSEGV, PKUERR, ANON_AT),
    "fault.guard": lambda: crashed(SIGSEGV, MAPERR, ANON_AT),
    "fault.bus": lambda: crashed(SIGBUS, ADRERR, FILE_AT),
    "fault.other": lambda: crashed(SIGILL, 2, 0x400000),
}
for permission in ("execmem", "execheap", "execstack", "execmod", "file-execute", "mmap-zero", "other"):
    GIVEN["selinux." + permission] = partial(selinux, permission)


def event_with(cause: str) -> Event:
    if cause in GIVEN:
        return GIVEN[cause]()
    record = next((record for record in records.RECORDS if record.cause == cause), None)
    assert record is not None, "no story gives it"
    return records.told(record.call, record.errno, record.probe, record.host)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_is_given_by_a_story(cause: str) -> None:
    event = event_with(cause)
    diagnosis = event.diagnosis
    assert diagnosis is not None and diagnosis.cause == cause
    assert diagnosis.refused_by == CAUSES[cause].refused_by
    assert event.outcome in tuple(Outcome) and event.outcome != Outcome.OK


def test_no_story_is_told_of_a_cause_that_is_none() -> None:
    assert {*GIVEN, *(record.cause for record in records.RECORDS)} == {*CAUSES}
