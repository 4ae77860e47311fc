"""MDWE, asked forwards: which changes of protection it refuses, and what is not known without its answer."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, answer, asked, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.mdwe import map_deny_write_exec, mdwe_at_mmap, mdwe_at_mprotect
from wxtrace.model.event import Touched
from wxtrace.model.objects import Library

R, W, RW, X, RX, WX, RWX = 1, 2, 3, 4, 5, 6, 7
ANON = f.MAP_PRIVATE | f.MAP_ANONYMOUS
SET, CLEAR = replace(PROBE, mdwe=1), replace(PROBE, mdwe=0)
OLD = replace(HOST, kernel="6.2.9")
FIRST = replace(HOST, kernel="6.3.0")
REFUSED = "EACCES mdwe"


def mmap(prot: int) -> Tuple[Any, ...]:
    return ("mmap", 0, PAGE, prot, ANON, -1, 0)


@pytest.mark.parametrize("old", range(8))
@pytest.mark.parametrize("new", range(8))
def test_what_gains_x_or_has_w_beside_it(old: int, new: int) -> None:
    """denials.md: RX to RX is let through, RWX to RWX is not, although nothing changes."""
    allowed = not new & X or (old & X and not new & W)
    assert map_deny_write_exec(old, new) is not bool(allowed)


@pytest.mark.parametrize("prot, said", [(RWX, REFUSED), (WX, REFUSED), (RX, LETS_THROUGH), (RW, LETS_THROUGH)])
def test_at_mmap(prot: int, said: str) -> None:
    assert asked(mdwe_at_mmap, mmap(prot), SET) == said
    assert asked(mdwe_at_mmap, mmap(prot), CLEAR) == LETS_THROUGH


@pytest.mark.parametrize(
    "flags, said", [(f.SHM_EXEC, REFUSED), (f.SHM_EXEC | f.SHM_RDONLY, LETS_THROUGH), (0, LETS_THROUGH)]
)
def test_at_shmat(flags: int, said: str) -> None:
    assert asked(mdwe_at_mmap, ("shmat", 5, 0, flags), SET) == said


@pytest.mark.parametrize(
    "before, prot, what",
    [
        ("rw-p", RX, "was not executable before"),
        ("---p", X, "was not executable before"),
        ("r-xp", RWX, "writable and executable at once"),
        ("rwxp", RWX, "writable and executable at once"),
        ("rwxp", RX, None),
        ("r-xp", X, None),
        ("r-xp", RW, None),
    ],
)
def test_at_mprotect(before: str, prot: int, what: Optional[str]) -> None:
    probe = over(mapped(AT, 4, perms=before), mdwe=1)
    for call in (("mprotect", AT, PAGE, prot), ("pkey_mprotect", AT, PAGE, prot, -1)):
        assert asked(mdwe_at_mprotect, call, probe) == (LETS_THROUGH if what is None else REFUSED)
        assert what is None or what in str(answer(mdwe_at_mprotect, call, probe).words["what"])


def test_only_the_part_in_the_call_is_told() -> None:
    told = answer(mdwe_at_mprotect, ("mprotect", AT + PAGE, PAGE, RX), SET).evidence[-1].fact
    assert told == "%#x-%#x (anonymous) would go from rw- to r-x" % (AT + PAGE, AT + 2 * PAGE)
    whole = answer(mdwe_at_mprotect, ("mprotect", AT - PAGE, 9 * PAGE, RX), SET).evidence[-1].fact
    assert whole.startswith("%#x-%#x " % (AT, AT + 4 * PAGE))


def test_a_stack_is_told_from_its_start_where_all_that_grows_is_meant() -> None:
    stack = over(mapped(AT, 4, "rd", "wr", "mr", "mw", "me", "gd", path="[stack]"), mdwe=1)
    told = answer(mdwe_at_mprotect, ("mprotect", AT + 2 * PAGE, PAGE, RX | f.GROWSDOWN), stack).evidence[-1].fact
    assert told.startswith("%#x-%#x [stack] " % (AT, AT + 3 * PAGE))


@pytest.mark.parametrize(
    "provenance, library, prot, case",
    [
        ("file", Library("/srv/a.so", 6, True), RWX, "textrel"),
        ("file-cow", Library("/srv/a.so", 6, False), RWX, "patch"),
        ("file", Library("/srv/a.so", 6, True), RX, ""),
        ("file", None, RWX, ""),
        ("anon", Library("/srv/a.so", 6, True), RWX, ""),
        ("stack", None, RWX, "stack"),
    ],
)
def test_what_the_author_can_do_depends_on_the_memory(
    provenance: str, library: Optional[Library], prot: int, case: str
) -> None:
    """Only DT_TEXTREL makes the loader write to code: others patch it themselves."""
    touched = (
        Touched(1, AT - PAGE, AT, "rw-p", "rwx", "rwxp", "heap"),
        Touched(2, AT, AT + PAGE, "rw-p", "rwx", "rw-p", provenance),
    )
    probe = replace(SET, library=library)
    assert answer(mdwe_at_mprotect, ("mprotect", AT, PAGE, prot), probe, touched=touched).case == case


def test_whether_it_is_set_is_not_known_from_6_3_on() -> None:
    for host, said in ((FIRST, "? EACCES mdwe"), (replace(HOST, kernel=""), "? EACCES mdwe"), (OLD, LETS_THROUGH)):
        assert asked(mdwe_at_mprotect, ("mprotect", AT, PAGE, RX), PROBE, host) == said
    assert answer(mdwe_at_mmap, mmap(RWX)).missing == (Need.MDWE,)
    assert asked(mdwe_at_mmap, mmap(RX)) == LETS_THROUGH


def test_read_implies_exec_makes_reading_a_refusal() -> None:
    implied = replace(SET, personality=f.READ_IMPLIES_EXEC)
    assert asked(mdwe_at_mprotect, ("mprotect", AT, PAGE, R), implied) == REFUSED
    assert asked(mdwe_at_mprotect, ("mprotect", AT, PAGE, W), implied) == LETS_THROUGH
    assert asked(mdwe_at_mmap, mmap(RW), implied) == REFUSED
    facts = [line.fact for line in answer(mdwe_at_mmap, mmap(RW), implied).evidence]
    assert any("READ_IMPLIES_EXEC" in fact for fact in facts)


def test_read_implies_nothing_where_memory_can_never_be_executed() -> None:
    """do_mprotect_pkey adds X only to mappings that have VM_MAYEXEC."""
    probe = over(mapped(AT, 4, "rd", "wr", "mr", "mw"), mdwe=1, personality=f.READ_IMPLIES_EXEC)
    assert asked(mdwe_at_mprotect, ("mprotect", AT, PAGE, R), probe) == LETS_THROUGH
