"""What seccomp filters answer, asked about calls that nobody has made."""

from __future__ import annotations

import struct
from typing import Dict, Optional, Tuple

import pytest
from asking import AT, LETS_THROUGH, PAGE, PROBE, answer, context

from wxtrace.frozen import replace
from wxtrace.model.causes.answer import Answer, Verdict
from wxtrace.model.causes.context import CallContext, Installed, Intercepted
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.seccomp.answered import filter_answers
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.facts import BY_FILTER, UNDECIDED, FiltersSeen
from wxtrace.model.filters import SeenFilters, program_of

RX = 5
FILTERED = replace(PROBE, status={"Seccomp": "2", "Seccomp_filters": "1"})
ERRNO, TRAP, KILL_PROCESS, KILL_THREAD = 0x50000, 0x30000, 0x80000000, 0
NOTIFY, TRACE, LOG, ALLOW = 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000


def under(action: Optional[int], **more: object) -> CallContext:
    """mprotect(R|X) of a thread that a filter binds whose answer to everything is `action`, as the kernel shows it."""
    ctx = context(("mprotect", AT, PAGE, RX), FILTERED)
    program = program_of(struct.pack("<HBBI", 6, 0, 0, action).hex()) if action is not None else None
    known = SeenFilters(FiltersSeen(100, [1]), (program,) if program is not None else None)
    return replace(ctx, **{"decided": UNDECIDED, "seen_filters": known, **more})


def told(given: Answer) -> str:
    if given.verdict is Verdict.LETS_THROUGH:
        return LETS_THROUGH
    assert given.cause is not None and filter_answers.keeps(given, "mprotect")
    doubt = "" if given.verdict is Verdict.REFUSES else "? "
    what = given.signal or "/".join(errno.name for errno in given.errnos) or "any"
    return "%s%s %s:%s" % (doubt, what, given.cause.id, given.case)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (ALLOW, LETS_THROUGH),
        (LOG, LETS_THROUGH),
        (ERRNO | 1, "EPERM seccomp.errno:"),
        (ERRNO, "NONE seccomp.errno:faked"),
        (ERRNO | 4095, "Errno(4095) seccomp.errno:"),
        # More than the kernel lets a filter answer (kernel/seccomp.c:__seccomp_filter).
        (ERRNO | 4096, "Errno(4095) seccomp.errno:"),
        (TRAP, "SIGSYS seccomp.trap:"),
        (KILL_PROCESS, "SIGSYS seccomp.kill:"),
        (KILL_THREAD, "SIGSYS seccomp.kill:"),
        (NOTIFY, "? any seccomp.user-notif:unseen"),
        (TRACE, "? ENOSYS seccomp.errno:attached"),
    ],
)
def test_the_kernels_own_copy_is_run_over_the_call(action: int, expected: str) -> None:
    said = told(filter_answers(under(action)))
    assert said == expected.replace("Errno(4095)", Errno(4095).name)


def test_what_cannot_be_read_may_refuse_with_any_errno() -> None:
    given = filter_answers(under(None))
    assert told(given) == "? any seccomp.errno:attached"
    assert (given.at_most, given.missing) == (Confidence.POSSIBLE, (Need.ANSWERED,))
    assert given.fits(Errno.EPERM) and not given.fits(Errno.NONE)


@pytest.mark.parametrize("status", [{}, {"Seccomp": "1"}, {"Seccomp": "x"}])
def test_where_nobody_knows_whether_there_are_filters_nothing_is_named(status: Dict[str, str]) -> None:
    given = filter_answers(under(None, probe=replace(PROBE, status=status)))
    assert (given.verdict, given.at_most, given.missing) == (Verdict.UNKNOWN, None, (Need.ANSWERED,))


@pytest.mark.parametrize(
    ("more", "case"),
    [
        ({"probe": replace(FILTERED, filters_ours=1)}, "unsure"),
        ({"filters": (Installed(None, None, ""),)}, "launched"),
        ({}, "attached"),
    ],
)
def test_the_doubt_says_where_it_comes_from(more: object, case: str) -> None:
    assert filter_answers(under(None, **more)).case == case  # type: ignore[arg-type]


def test_a_thread_without_filters_lets_everything_through() -> None:
    assert told(answer(filter_answers, ("mprotect", AT, PAGE, RX))) == LETS_THROUGH
    assert told(filter_answers(under(None, probe=PROBE))) == LETS_THROUGH


@pytest.mark.parametrize(
    ("did", "expected"),
    [
        (Intercepted("ERRNO", -13), "EACCES seccomp.errno:"),
        (Intercepted("ERRNO", 0), "NONE seccomp.errno:faked"),
        (Intercepted("ERRNO", 7), "NONE seccomp.errno:faked"),
        (Intercepted("TRAP"), "SIGSYS seccomp.trap:"),
        (Intercepted("TRAP", handled=True), "SIGSYS seccomp.trap:handled"),
        (Intercepted("KILL_PROCESS"), "SIGSYS seccomp.kill:"),
    ],
)
def test_what_the_stops_showed_is_believed_over_any_program(did: Intercepted, expected: str) -> None:
    given = filter_answers(under(ALLOW, decided=BY_FILTER, intercepted=did))
    assert told(given) == expected
    assert not any("the filter " in evidence.fact for evidence in given.evidence)


@pytest.mark.parametrize(
    ("action", "did", "shown"),
    [
        (ERRNO | 13, Intercepted("ERRNO", -13), True),
        (ERRNO | 12, Intercepted("ERRNO", -13), False),
        (TRACE, Intercepted("ERRNO", -38), True),
        (TRACE, Intercepted("ERRNO", -13), False),
        (TRAP, Intercepted("TRAP"), True),
        (KILL_THREAD, Intercepted("TRAP"), False),
        (KILL_THREAD, Intercepted("KILL_PROCESS"), True),
        (KILL_PROCESS, Intercepted("KILL_PROCESS"), True),
    ],
)
def test_a_program_is_evidence_where_it_agrees_with_the_stops(action: int, did: Intercepted, shown: bool) -> None:
    given = filter_answers(under(action, decided=BY_FILTER, intercepted=did))
    assert any(evidence.fact.startswith("the filter ") for evidence in given.evidence) is shown
    assert given.verdict is Verdict.REFUSES


@pytest.mark.parametrize(("result", "case"), [(-38, "alone"), (-13, ""), (0, "faked"), (5, "faked")])
def test_a_listener_may_have_let_the_kernel_answer(result: int, case: str) -> None:
    given = filter_answers(under(NOTIFY, decided=BY_FILTER, intercepted=Intercepted("ERRNO", result)))
    assert told(given) == "? any seccomp.user-notif:" + case
    assert given.words["answer"] == {-38: "ENOSYS", -13: "EACCES"}.get(result, result)


def filters(listens: bool) -> Tuple[Installed, ...]:
    return (Installed(3, 100, "jit", None, listens),)


@pytest.mark.parametrize(("listens", "verdict"), [(True, Verdict.UNKNOWN), (False, Verdict.REFUSES)])
def test_who_answered_is_open_where_an_unknown_filter_has_a_listener(listens: bool, verdict: Verdict) -> None:
    did = Intercepted("ERRNO", -1)
    given = filter_answers(under(None, decided=BY_FILTER, intercepted=did, filters=filters(listens)))
    assert (given.verdict, given.related) == (verdict, (3,))
