"""Calls that came with a later Linux."""

from __future__ import annotations

from typing import Any, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, answer, asked

from wxtrace.frozen import replace
from wxtrace.model.causes import secretmem, shadow_stack
from wxtrace.model.causes.kernel import no_call

MSEAL, ADVISE = ("mseal", AT, PAGE, 0), ("process_madvise", 3, AT, 1, 4, 0)
SECRET, STACK = ("memfd_secret", 0), ("map_shadow_stack", 0, PAGE, 0)


@pytest.mark.parametrize(
    "call, kernel, said",
    [
        (MSEAL, "6.9.12", "? ENOSYS kernel.no-call"),
        (MSEAL, "6.10.0", LETS_THROUGH),
        (MSEAL, "", LETS_THROUGH),
        (ADVISE, "5.9.1", "? ENOSYS kernel.no-call"),
        (ADVISE, "5.10.1", LETS_THROUGH),
    ],
)
def test_a_call_that_the_kernel_is_older_than(call: Tuple[Any, ...], kernel: str, said: str) -> None:
    assert asked(no_call, call, host=replace(HOST, kernel=kernel)) == said


@pytest.mark.parametrize(
    "rule, call, kernel, said, since",
    [
        (no_call, MSEAL, "6.1.0", "kernel.no-call", "6.10"),
        (secretmem.switched_off, SECRET, "5.13.9", "secretmem:old", "5.14"),
        (shadow_stack.support, STACK, "6.5.9", "shadow-stack:old", "6.6"),
    ],
)
def test_it_says_when_the_call_came(rule: Any, call: Tuple[Any, ...], kernel: str, said: str, since: str) -> None:
    host = replace(HOST, kernel=kernel)
    assert asked(rule, call, PROBE, host) == "? ENOSYS " + said
    given = answer(rule, call, PROBE, host)
    assert given.cause is not None and given.by_exclusion == (rule is not shadow_stack.support)
    words = {"call": call[0], "kernel": kernel, **given.words}
    sentence, _ = given.cause.in_words(given.case, **words)
    assert "came with Linux %s" % since in sentence and "(%s)" % kernel in sentence


def test_a_newer_kernel_may_still_have_it_switched_off() -> None:
    assert asked(secretmem.switched_off, SECRET, host=replace(HOST, kernel="5.14.0")) == "? ENOSYS secretmem:off"
