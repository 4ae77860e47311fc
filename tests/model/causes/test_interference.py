"""What is refused only because we trace, asked about calls that nobody has made."""

from __future__ import annotations

import pytest
from asking import LETS_THROUGH, PROBE, asked, context

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.answer import Verdict
from wxtrace.model.causes.context import Installed
from wxtrace.model.causes.interference import already_traced, strict_mode

TRACEME, PEEKTEXT, CONT, ATTACH, SEIZE = 0, 1, 7, 16, 0x4206
OURS = replace(PROBE, filters_ours=1, status={"Seccomp": "2", "Seccomp_filters": "1"})
PRCTL = ("prctl", f.PR_SET_SECCOMP, 1)


@pytest.mark.parametrize(
    ("request_number", "addr", "refused"),
    [
        (TRACEME, 0, True),
        (ATTACH, 0, True),
        (ATTACH, 8, True),
        (SEIZE, 0, True),
        # EIO, whoever the task is (kernel/ptrace.c:ptrace_attach).
        (SEIZE, 8, False),
        (PEEKTEXT, 0, False),
        (CONT, 0, False),
    ],
)
def test_a_task_has_one_tracer(request_number: int, addr: int, refused: bool) -> None:
    ctx = context(("ptrace", request_number, 100, addr))
    given = already_traced(replace(ctx, held_by_us=True))
    assert (given.verdict is Verdict.REFUSES) is refused
    assert already_traced(ctx).verdict is Verdict.LETS_THROUGH


def test_what_it_wanted_is_said() -> None:
    given = [already_traced(replace(context(("ptrace", n, 77)), held_by_us=True)) for n in (TRACEME, ATTACH)]
    assert [answer.words["wanted"] for answer in given] == ["to be traced", "to trace task 77"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (PRCTL, "? EINVAL tracer.interference:strict"),
        (("seccomp", 0, 0, 0), "? EINVAL tracer.interference:strict"),
        # Refused whoever has a filter (kernel/seccomp.c:do_seccomp).
        (("seccomp", 0, 1, 0), LETS_THROUGH),
        (("seccomp", 0, 0, 1), LETS_THROUGH),
        (("seccomp", 1, 0, 0), LETS_THROUGH),
        (("prctl", f.PR_SET_SECCOMP, 2), LETS_THROUGH),
        (("prctl", f.PR_SET_MDWE, 1), LETS_THROUGH),
    ],
)
def test_strict_mode_cannot_follow_our_filter(call: tuple[object, ...], expected: str) -> None:
    assert asked(strict_mode, call, OURS) == expected  # type: ignore[arg-type]


def test_a_filter_of_its_own_is_in_the_way_without_us() -> None:
    assert asked(strict_mode, PRCTL, replace(OURS, status={"Seccomp_filters": "2"})) == LETS_THROUGH
    assert asked(strict_mode, PRCTL, replace(OURS, filters_ours=0)) == LETS_THROUGH
    own = replace(context(PRCTL, OURS), filters=(Installed(3, 100, "jit"),))
    assert strict_mode(own).verdict is Verdict.LETS_THROUGH


def test_a_kernel_that_does_not_count_filters() -> None:
    assert asked(strict_mode, PRCTL, replace(OURS, status={})) == "? EINVAL tracer.interference:strict"
