"""Every row is complete, and keeps what the entries of causes promise for its call."""

from __future__ import annotations

from typing import Iterator, List, Set, Tuple, Union

import pytest

from wxtrace.model.causes.answer import Rule, VmaRule
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.causes.order import EachModule, EachVma, Order
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.row import Syscall
from wxtrace.model.syscalls.table import BY_NAME, BY_NUMBER, SYSCALLS

CHANGING_NOTHING = {"prctl", "arch_prctl", "io_setup", "madvise"}
"""Calls after which maps may read otherwise, and whose effect is read from it, or is none."""
WITHOUT_CHECKS = {"personality", "vfork", "ipc"}
"""personality refuses nothing, vfork copies nothing; ipc is told as the call that it stands for."""


def rules_of(order: Order) -> Iterator[Union[Rule, VmaRule]]:
    for check in order:
        parts = check.rules if isinstance(check, EachVma) else (check,)
        for part in parts:
            yield from part.rules.values() if isinstance(part, EachModule) else (part,)
        if isinstance(check, EachVma) and check.hole is not None:
            yield check.hole


def promises() -> List[Tuple[str, str]]:
    """(cause, call) of every entry that names calls of its own.

    The old mmap of i386 that finds no arguments is asked about its pointer alone (wxtrace.model.causes.diagnosis).
    """
    named = [(id, call) for id, cause in CAUSES.items() for call in cause.calls if call in BY_NAME]
    return [promise for promise in named if promise != ("argument.pointer", "mmap")]


@pytest.mark.parametrize("row", SYSCALLS, ids=lambda row: row.name)
def test_a_row_leaves_no_blank(row: Syscall) -> None:
    blanks = []
    if not row.numbers:
        blanks.append("numbers")
    if row.request((0,) * 6).name not in (row.name, "mmap"):
        blanks.append("request")
    if row.affects((0,) * 6, 4096) is None and row.changes_map and row.name not in CHANGING_NOTHING:
        blanks.append("affects")
    if row.changes_map and row.effect is None and row.name not in CHANGING_NOTHING:
        blanks.append("effect")
    if not row.checks() and row.name not in WITHOUT_CHECKS:
        blanks.append("checks")
    assert not blanks


@pytest.mark.parametrize("row", SYSCALLS, ids=lambda row: row.name)
def test_every_check_of_a_row_concerns_its_call(row: Syscall) -> None:
    name = row.request((0,) * 6).name
    own = tuple(check for check in row.checks() if not isinstance(check, EachModule))
    assert [
        rule.name for rule in rules_of(own) if not rule.concerns(name) and not rule.name.endswith("_mprotect")
    ] == []


@pytest.mark.parametrize("cause, call", promises(), ids=lambda word: str(word))
def test_a_promise_has_a_rule_that_can_keep_it(cause: str, call: str) -> None:
    kept: Set[object] = set()
    for rule in rules_of(BY_NAME[call].checks()):
        if CAUSES[cause] in rule.causes:
            kept.update(CAUSES[cause].gives(call) or ())
    assert kept == {errno for errno in CAUSES[cause].gives(call) or () if isinstance(errno, Errno)}


def test_no_two_rows_share_a_name_or_a_number() -> None:
    assert len(BY_NAME) == len(SYSCALLS)
    assert sum(map(len, BY_NUMBER)) == sum(len(row.numbers) for row in SYSCALLS)
