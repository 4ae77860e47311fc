"""The story of a run, from hand-written facts: who shares what, what each call came to, how it ended."""

from __future__ import annotations

from typing import List, Optional

import pytest
from stories import (
    ANON,
    ANON_AT,
    FILE_AT,
    HEAP,
    HOST,
    MAPS,
    PAGE,
    RW,
    RWX,
    RX,
    R,
    Told,
    cause_of,
    facts_of,
    file_line,
    line,
    vma,
)

from wxtrace.model import flags as f
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event
from wxtrace.model.facts import BY_FILTER, BY_KERNEL, UNDECIDED, Call, Host, Named, Probe, TaskExited

OK, REFUSED, FAILED, PROBE, FAKED, UNFINISHED = Outcome
PR_SET_MDWE, NO_INHERIT = 65, 2
SET_FILTER, TSYNC = 1, 1
SIGABRT, SIGKILL, SIGSEGV, SIGSYS = 6, 9, 11, 31
MDWE_HOST = Host("6.18.4", "x86_64", PAGE, mdwe=1)


# Who shares what


def test_a_fork_copies_the_space() -> None:
    told = Told()
    told.start(200, space=2, how="fork", parent=100)
    told.call("mprotect", ANON_AT, PAGE, R, tid=200)
    assert (told.perms(200, ANON_AT), told.perms(100, ANON_AT)) == ("r--p", "rw-p")


def test_a_fork_is_an_event_of_the_parent_and_the_space_says_where_from() -> None:
    told = Told()
    told.start(200, space=2, how="fork", parent=100)
    [fork] = told.named("fork")
    assert (fork.tid, fork.result, fork.outcome) == (100, 200, OK)
    assert [(s.space.id, s.parent, s.forked_at) for s in told.replay.spaces] == [(1, None, None), (2, 1, fork.n)]
    assert [(p.id, p.pid, p.parent) for p in told.replay.processes] == [(1, 100, None), (2, 200, 1)]


def test_the_child_of_a_fork_has_regions_of_its_own() -> None:
    told = Told()
    told.start(200, space=2, how="fork", parent=100)
    told.call("mprotect", ANON_AT, PAGE, R, tid=200)
    region = told.last.touched[0].region
    assert [r.space for r in told.regions if r.id == region] == [2]


def test_a_vfork_shares_the_space_until_exec() -> None:
    told = Told()
    told.start(200, space=1, how="vfork", parent=100)
    told.call("mprotect", ANON_AT, PAGE, R, tid=200)
    assert told.perms(100, ANON_AT) == "r--p"
    told.exec(200, 2, [line(ANON_AT, 1, "r-xp")])
    told.call("munmap", ANON_AT, PAGE, tid=200)
    assert (told.perms(100, ANON_AT), told.perms(200, ANON_AT)) == ("r--p", None)


def test_an_exec_replaces_the_space_and_is_an_image() -> None:
    told = Told()
    told.exec(100, 2, [line(FILE_AT, 1, "rwxp")], comm="other")
    assert (told.perms(100, ANON_AT), told.perms(100, FILE_AT)) == (None, "rwxp")
    [process] = told.replay.processes
    assert [image.comm for _, image in process.images] == ["jit", "other"]
    assert process.spaces == [1, 2]
    assert told.last.details is not None and told.last.details["exe"] == "/srv/other"


def test_a_refused_call_on_parts_of_pages_leaves_pages_whole() -> None:
    told = Told()
    told.call("mprotect", ANON_AT + 1, PAGE, R, result=-22, now=[line(ANON_AT, 4)])
    assert [(part.start, part.end) for part in told.last.touched] == [(ANON_AT, ANON_AT + 2 * PAGE)]
    told.call("mprotect", ANON_AT, 4 * PAGE, RX, result=-13, now=[line(ANON_AT, 4)])
    assert {at % PAGE for part in told.last.touched for at in (part.start, part.end)} == {0}


def test_threads_share_the_space_and_the_process() -> None:
    told = Told()
    told.start(101, pid=100, how="clone", parent=100)
    told.call("mprotect", ANON_AT, PAGE, R, tid=101)
    assert told.perms(100, ANON_AT) == "r--p"
    [process] = told.replay.processes
    assert process.threads == [100, 101]
    assert [event.result for event in told.named("clone")] == [101]


def test_a_thread_that_execs_takes_the_id_of_the_leader() -> None:
    told = Told()
    told.start(101, pid=100, how="clone", parent=100)
    told.exec(100, 2, [line(ANON_AT, 1, "r--p")], former=101)
    told.call("munmap", ANON_AT, PAGE, tid=100)
    assert (told.last.space, told.last.proc, told.last.tid) == (2, 1, 100)
    assert told.replay.space_of(101) is None
    told.exit(code=3)
    assert [(p.pid, p.exit_code) for p in told.replay.processes] == [(100, 3)]


def test_facts_of_a_task_nobody_started_are_passed_over() -> None:
    told = Told()
    before = len(told.shown)
    told.call("munmap", ANON_AT, PAGE, tid=999)
    told.exit(999, code=0)
    told.signal(SIGSEGV, ANON_AT, tid=999)
    assert len(told.shown) == before


def test_a_pid_that_comes_again_is_another_process() -> None:
    told = Told()
    for space in (2, 3):
        told.start(200, space=space, how="fork", parent=100)
        told.exit(200, code=space)
    assert [(p.pid, p.exit_code) for p in told.replay.processes] == [(100, None), (200, 2), (200, 3)]


# What a call came to


def test_a_granted_call_is_ok_and_says_what_changed() -> None:
    told = Told()
    told.call("mprotect", ANON_AT + PAGE, PAGE, RX)
    [part] = told.last.touched
    assert (told.last.outcome, told.last.diagnosis) == (OK, None)
    assert (part.start, part.before, part.asked, part.after) == (ANON_AT + PAGE, "rw-p", "r-x", "r-xp")


def test_a_refused_call_changes_nothing_but_what_was_read_again() -> None:
    told = Told()
    now = [line(ANON_AT, 1, "r-xp"), line(ANON_AT + PAGE, 3)]
    told.call("mprotect", ANON_AT, 2 * PAGE, RX, result=-13, probe=Probe(100), now=now)
    assert [part.after for part in told.last.touched] == ["r-xp", "rw-p"]
    assert told.last.diagnosis is not None and told.last.diagnosis.partial == (1, 2)
    assert told.perms(100, ANON_AT) == "r-xp"


def test_a_call_that_a_filter_answered_with_success_is_faked() -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, decided=BY_FILTER)
    assert told.last.outcome == FAKED
    assert cause_of(told.last) == ("seccomp.errno", "proved")
    assert told.perms(100, ANON_AT) == "rw-p"


def test_a_faked_munmap_leaves_the_memory() -> None:
    told = Told()
    told.call("munmap", ANON_AT, PAGE, decided=BY_FILTER)
    assert (told.last.outcome, told.perms(100, ANON_AT)) == (FAKED, "rw-p")


def test_a_filter_that_traps_is_known_by_the_signal() -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.signal(SIGSYS, 0x400000, code=1)
    assert told.last.name == "exec"
    told.exit(signal=SIGSYS)
    [event] = told.named("mprotect")
    assert (event.outcome, event.result) == (REFUSED, None)
    assert cause_of(event) == ("seccomp.trap", "proved")
    assert told.named("fault") == []


@pytest.mark.parametrize(("code", "signal"), [(1, None), (None, SIGSEGV), (None, SIGABRT)])
def test_a_handler_of_sigsys_may_end_the_program(code: Optional[int], signal: Optional[int]) -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.signal(SIGSYS, 0x400000, code=1)
    told.signal(SIGSEGV, 0, code=1)
    told.exit(code=code, signal=signal)
    [event] = told.named("mprotect")
    assert (event.outcome, cause_of(event)[0]) == (REFUSED, "seccomp.trap")


def test_a_call_that_a_handler_of_sigsys_answered_is_no_alarm() -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.signal(SIGSYS, 0x400000, code=1)
    told.call("munmap", ANON_AT, PAGE)
    [event] = told.named("mprotect")
    assert (event.outcome, cause_of(event)) == (PROBE, ("seccomp.trap", "proved"))
    assert event.diagnosis is not None and "a handler of the program's own answered" in event.diagnosis.summary


@pytest.mark.parametrize("how", ["exits", "goes on"])
def test_a_program_that_lives_after_sigsys_has_handled_it(how: str) -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.signal(SIGSYS, 0x400000, code=1)
    if how == "exits":
        told.exit(code=0)
    told.finish()
    assert told.named("mprotect")[0].outcome == PROBE


def test_sigsys_that_is_no_filters_is_no_answer() -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.signal(SIGSYS, 0x400000, code=2)
    assert told.last.outcome == FAKED


def test_a_filter_that_answers_with_the_number_of_the_call_is_not_a_trap() -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=10, decided=BY_FILTER)
    told.call("munmap", ANON_AT, PAGE)
    assert [(event.name, event.outcome) for event in told.events[-2:]] == [("mprotect", FAKED), ("munmap", OK)]


def test_a_filter_that_kills_is_known_by_the_death() -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=None, decided=UNDECIDED)
    told.exit(signal=SIGSYS)
    [event] = told.named("mprotect")
    assert (event.outcome, cause_of(event)) == (REFUSED, ("seccomp.kill", "proved"))
    assert told.amendment(event).aftermath == "crashed"


@pytest.mark.parametrize("decided, signal", [(BY_KERNEL, SIGSYS), (UNDECIDED, SIGKILL), (UNDECIDED, None)])
def test_a_death_for_another_reason_leaves_the_call_unfinished(decided: int, signal: Optional[int]) -> None:
    told = Told()
    told.call("mprotect", ANON_AT, PAGE, RX, result=None, decided=decided)
    told.exit(signal=signal, code=None if signal else 0)
    [event] = told.named("mprotect")
    assert (event.outcome, event.diagnosis) == (UNFINISHED, None)


def test_a_call_that_never_returned_is_told_at_the_end() -> None:
    told = Told()
    told.call("munmap", ANON_AT, PAGE, result=None)
    told.finish()
    assert (told.last.name, told.last.outcome) == ("munmap", UNFINISHED)


def test_a_refused_brk_is_the_one_that_was_probed() -> None:
    told = Told()
    told.call("brk", HEAP + 100 * PAGE, result=HEAP, probe=Probe(100, start_brk=HEAP, brk=HEAP))
    assert (told.last.outcome, told.last.errno, told.last.result) == (REFUSED, None, HEAP)
    told.call("brk", 0, result=HEAP)
    assert told.last.outcome == OK


def test_written_pages_of_a_file_are_known_as_of_this_event_only() -> None:
    told = Told()
    probe = Probe(100, vmas=[vma(MAPS[2], anonymous=PAGE)])
    told.call("mprotect", FILE_AT, PAGE, RX, result=-13, probe=probe)
    assert [part.provenance for part in told.last.touched] == ["file-cow"]
    assert [region.provenance for region in told.regions if region.start == FILE_AT] == ["file"]


def test_a_cause_no_rule_knows_is_unknown_and_says_what_was_excluded() -> None:
    told = Told(Host("6.18.4", "x86_64", PAGE, ["capability", "landlock"], mdwe=0))
    event = told.refuse()
    assert event.outcome == REFUSED
    assert cause_of(event) == ("unknown", "possible")
    assert event.diagnosis is not None and event.diagnosis.refused_by is None
    for excluded in ("no seccomp filter", "SELinux is not running", "MDWE is not set", "sealed", "landlock"):
        assert excluded in facts_of(event)


def test_who_answered_is_a_guess_where_nobody_could_see_it() -> None:
    told = Told()
    probe = Probe(100, vmas=[vma(MAPS[1])], status={"Seccomp": "2", "Seccomp_filters": "1"})
    told.call("mprotect", ANON_AT, PAGE, RX, result=-1, decided=UNDECIDED, probe=probe)
    assert cause_of(told.last) == ("seccomp.errno", "possible")


# Filters and MDWE are followed


def test_a_filter_binds_the_thread_that_installed_it() -> None:
    told = Told()
    told.start(101, pid=100, how="clone", parent=100)
    told.call("seccomp", SET_FILTER, 0, 0)
    installed = told.last.n
    for tid, bound in ((100, True), (101, False)):
        told.call("mprotect", ANON_AT, PAGE, RX, result=-1, tid=tid, decided=BY_FILTER, probe=Probe(tid))
        assert ("installed a filter at event %d" % installed in facts_of(told.last)) is bound


def test_tsync_binds_every_thread() -> None:
    told = Told()
    told.start(101, pid=100, how="clone", parent=100)
    told.call("seccomp", SET_FILTER, TSYNC, 0)
    told.call("mprotect", ANON_AT, PAGE, RX, result=-1, tid=101, decided=BY_FILTER, probe=Probe(101))
    assert "jit[100] installed a filter" in facts_of(told.last)


def test_a_filter_goes_along_with_fork_and_exec() -> None:
    told = Told()
    told.call("seccomp", SET_FILTER, 0, 0)
    told.start(200, space=2, how="fork", parent=100)
    told.exec(200, 3)
    told.call("mprotect", ANON_AT, PAGE, RX, result=-1, tid=200, decided=BY_FILTER, probe=Probe(200))
    assert "jit[100] installed a filter" in facts_of(told.last)


def test_a_filter_from_before_the_start_is_inherited() -> None:
    told = Told(Host("6.18.4", "x86_64", PAGE, seccomp_filters=1))
    told.call("mprotect", ANON_AT, PAGE, RX, result=-1, decided=BY_FILTER, probe=Probe(100))
    assert "inherited" in facts_of(told.last)


@pytest.mark.parametrize(
    "bits, way, cause",
    [
        (1, "same", "mdwe"),
        (1, "clone", "mdwe"),
        (1, "fork", "mdwe"),
        (1, "exec", "mdwe"),
        (1 | NO_INHERIT, "same", "mdwe"),
        (1 | NO_INHERIT, "clone", "mdwe"),
        (1 | NO_INHERIT, "fork", "unknown"),
        (1 | NO_INHERIT, "exec", "unknown"),
    ],
)
def test_mdwe_belongs_to_the_space_and_is_inherited_unless_told_not_to(bits: int, way: str, cause: str) -> None:
    told = Told()
    told.call("prctl", PR_SET_MDWE, bits)
    by, tid = told.last.n, 100
    if way == "clone":
        tid = 101
        told.start(101, pid=100, how="clone", parent=100)
    elif way == "fork":
        tid = 200
        told.start(200, space=2, how="fork", parent=100)
    elif way == "exec":
        told.exec(100, 2)
    event = told.refuse(Probe(tid, vmas=[vma(MAPS[1])], status={"Seccomp": "0"}), tid)
    assert cause_of(event)[0] == cause
    told.exit(100, code=0)
    told.exit(tid, code=0)
    if cause == "mdwe":
        assert "PR_SET_MDWE was called at event %d" % by in facts_of(event)
        assert told.amendment(event).related == (by,)


def test_mdwe_from_before_the_start_is_inherited() -> None:
    event = Told(MDWE_HOST).refuse()
    assert cause_of(event)[0] == "mdwe"
    assert "inherited" in facts_of(event)


def test_mdwe_has_nothing_against_what_is_executable_already() -> None:
    told = Told(MDWE_HOST, [line(ANON_AT, 4, "r-xp")])
    event = told.refuse(Probe(100, vmas=[vma(line(ANON_AT, 4, "r-xp"))], status={"Seccomp": "0"}))
    assert cause_of(event)[0] == "unknown"


# How it ended


@pytest.mark.parametrize(
    "code, signal, aftermath",
    [
        (0, None, "continued"),
        (1, None, "exited"),
        (None, SIGSEGV, "crashed"),
        (None, SIGSYS, "crashed"),
        (None, SIGABRT, "aborted"),
        (None, SIGKILL, "unknown"),
    ],
)
def test_aftermath(code: Optional[int], signal: Optional[int], aftermath: str) -> None:
    told = Told()
    event = told.refuse()
    told.exit(code=code, signal=signal)
    assert told.amendment(event).aftermath == aftermath


def test_how_it_ended_is_told_with_the_calls_in_between_and_never_by_the_clock() -> None:
    told = Told()
    event = told.refuse()
    for _ in range(1000):
        told.call("munmap", 0x1000, PAGE)
    told.call("munmap", 0, 0, result=-22, probe=Probe(100))
    told.feed(TaskExited(100, 6_000_000_000, 1))
    assert told.amendment(event).aftermath == "exited"
    assert told.amendment(event).ending == (1, None, 1001)


def test_the_signal_that_killed_it_is_named() -> None:
    told = Told()
    event = told.refuse()
    told.exit(signal=SIGKILL)
    assert told.amendment(event).ending == (None, "SIGKILL", 0)


def test_a_process_that_goes_on_is_running() -> None:
    told = Told()
    event = told.refuse()
    told.finish()
    assert told.amendment(event).aftermath == "running"


def test_a_process_that_was_let_go_is_running() -> None:
    told = Told()
    event = told.refuse()
    told.feed(TaskExited(100, told.now()))
    told.finish()
    assert told.amendment(event).aftermath == "running"


def test_the_end_of_a_thread_is_not_the_end_of_the_process() -> None:
    told = Told()
    told.start(101, pid=100, how="clone", parent=100)
    event = told.refuse(tid=101)
    told.exit(101, code=0)
    assert told.named("exit") == []
    told.exit(100, signal=SIGABRT)
    assert told.amendment(event).aftermath == "aborted"


def test_the_end_of_a_child_says_nothing_of_the_parents_call() -> None:
    told = Told()
    event = told.refuse()
    told.start(200, space=2, how="fork", parent=100)
    told.exit(200, signal=SIGSEGV)
    told.exit(100, code=0)
    assert told.amendment(event).aftermath == "continued"


# Faults


def test_a_jump_into_the_refused_page_and_the_call_name_each_other() -> None:
    told = Told()
    refused = told.refuse()
    told.signal(SIGSEGV, ANON_AT, ip=ANON_AT)
    fault = told.last
    told.exit(signal=SIGSEGV)
    assert (fault.name, fault.outcome, cause_of(fault)[0]) == ("fault", FAILED, "fault.nx")
    assert told.amendment(refused).related == (fault.n,)
    assert told.amendment(fault).related == (refused.n,)


def test_the_latest_of_two_refusals_stands_behind_the_fault() -> None:
    told = Told()
    told.refuse()
    second = told.refuse()
    told.signal(SIGSEGV, ANON_AT, ip=ANON_AT)
    fault = told.last
    told.exit(signal=SIGSEGV)
    assert told.amendment(fault).related == (second.n,)


def test_a_fault_elsewhere_is_told_only_when_it_kills() -> None:
    told = Told()
    told.signal(SIGSEGV, FILE_AT)
    assert told.named("fault") == []
    told.exit(signal=SIGSEGV)
    [fault] = told.named("fault")
    assert told.amendment(fault).related == ()


def test_a_signal_that_somebody_sent_is_no_fault_of_a_refused_page() -> None:
    told = Told()
    told.refuse()
    told.signal(SIGSEGV, ANON_AT, code=0)
    assert told.named("fault") == []


@pytest.mark.parametrize("calls, related", [(0, True), (2, True), (3, False)])
def test_a_death_right_after_a_refusal_is_related_wherever_it_happens(calls: int, related: bool) -> None:
    told = Told()
    told.call("mmap", 0, PAGE, RWX, ANON, 0xFFFFFFFFFFFFFFFF, 0, result=-13, probe=Probe(100))
    refused = told.last
    for _ in range(calls):
        told.call("munmap", 0x1000, PAGE)
    told.signal(SIGSEGV, 0xFFFFFFFFFFFFFFFF, code=1)
    told.exit(signal=SIGSEGV)
    [fault] = told.named("fault")
    assert told.amendment(fault).related == ((refused.n,) if related else ())


def test_a_jump_into_memory_nobody_asked_for_says_that_nothing_was_refused() -> None:
    told = Told()
    told.signal(SIGSEGV, HEAP, ip=HEAP)
    told.exit(signal=SIGSEGV)
    [fault] = told.named("fault")
    assert cause_of(fault) == ("fault.nx", "proved")
    assert fault.diagnosis is not None and "nothing was refused" in fault.diagnosis.summary


@pytest.mark.parametrize(
    "addr, code, ip, cause",
    [
        (0x10, 1, 0x400000, "fault.unmapped"),
        (FILE_AT, 2, 0x400000, "fault.write"),
        (ANON_AT, 1, 0x400000, "fault.guard"),
        (ANON_AT, 4, 0x400000, "fault.pkey"),
        (None, 128, 0x400000, "fault.other"),
    ],
)
def test_kinds_of_faults(addr: Optional[int], code: int, ip: int, cause: str) -> None:
    told = Told()
    told.signal(SIGSEGV, addr, code=code, ip=ip)
    told.exit(signal=SIGSEGV)
    [fault] = told.named("fault")
    assert cause_of(fault)[0] == cause


# Regions


def test_a_refused_call_names_the_region_and_an_mmap_its_object() -> None:
    told = Told(maps=[file_line(FILE_AT, 2, "rw-p")])
    told.call("mprotect", FILE_AT, PAGE, RX, result=-13, probe=Probe(100))
    [region] = told.regions
    assert [part.region for part in told.last.touched] == [region.id]
    assert region.backing is not None and region.backing.path == "/srv/data"


def test_the_host_of_the_run_is_kept() -> None:
    told = Told()
    assert told.replay.run is not None and told.replay.run.host == HOST
    told.call("mprotect", ANON_AT, PAGE, RW)
    assert told.replay.duration_ns == told.t_ns


def fixed_by(event: Event) -> List[str]:
    assert event.diagnosis is not None and event.diagnosis.cause == "mdwe"
    return [fix.audience for fix in event.diagnosis.fixes]


def test_a_rule_that_a_program_has_set_itself_is_mended_by_its_author() -> None:
    told = Told()
    told.call("prctl", f.PR_SET_MDWE, 1, 0, 0, 0)
    assert fixed_by(told.refuse()) == ["developer", "developer"]
    told.start(200, space=2, how="fork", parent=100)
    assert fixed_by(told.refuse(tid=200)) == ["developer", "developer"]
    told.exec(200, 3)
    assert fixed_by(told.refuse(tid=200)) == ["developer", "administrator"]


def test_a_call_that_is_not_traced_may_be_a_filters() -> None:
    told = Told()
    told.feed(Call(100, told.now(), 0, 318, (1, 2, 3, 4, 5, 6), None, BY_FILTER))
    told.exit(signal=SIGSYS)
    [event] = told.named("getrandom")
    assert (event.outcome, cause_of(event)) == (REFUSED, ("seccomp.kill", "proved"))


def test_a_process_is_called_by_what_it_ran_at_an_event() -> None:
    told = Told()
    first = told.refuse().n
    told.exec(100, 2, comm="true")
    process, last = told.replay.processes[0], told.last.n
    titles = [process.title_at(n) for n in (0, first, last - 1, last, 10**6)]
    assert titles == ["true", "jit", "jit", "true", "true"]
    told.feed(Named(100, "itself"))
    assert (process.title_at(first), process.title_at(last)) == ("jit", "itself")
