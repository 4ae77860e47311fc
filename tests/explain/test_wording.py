"""Sentences that are put together from parts."""

from __future__ import annotations

from typing import List, Optional

import pytest

from wxtrace.explain.wording import Endings, by_whom, ending_text
from wxtrace.model.enumerations import Aftermath
from wxtrace.model.event import Amendment, Ending

FAILED = Ending(1, None, 41)


@pytest.mark.parametrize(
    ("aftermath", "ending", "said"),
    [
        ("exited", FAILED, "exit status 1, 41 traced calls later"),
        ("exited", Ending(3, None, 0), "exit status 3, no traced call in between"),
        ("continued", Ending(0, None, 1), "the program went on; exit status 0, 1 traced call later"),
        ("crashed", Ending(None, "SIGSEGV", 2), "killed by SIGSEGV, 2 traced calls later"),
        ("crashed", FAILED, "the program crashed; exit status 1, 41 traced calls later"),
        ("aborted", Ending(None, "SIGABRT", 2), "killed by SIGABRT, 2 traced calls later"),
        ("unknown", Ending(None, "SIG\x1b[2J", 2), "killed by SIG\\x1b[2J, 2 traced calls later"),
        # Timelines of older versions do not say how it ended.
        ("exited", None, "the program exited with an error"),
        ("recovered", None, "the program got what it wanted another way"),
        ("unknown", None, ""),
    ],
)
def test_how_a_program_ended_is_told_by_what_is_known(aftermath: str, ending: Optional[Ending], said: str) -> None:
    assert ending_text(Aftermath(aftermath), ending) == said


@pytest.mark.parametrize(
    ("aftermaths", "said"),
    [
        (["continued", "recovered"], ["the program got what it wanted another way"]),
        (["crashed", "continued", "unknown"], ["the program crashed"]),
        (["continued"], ["the program went on"]),
        (["unknown"], []),
    ],
)
def test_that_it_went_on_is_said_only_where_nothing_else_is_known(aftermaths: List[str], said: List[str]) -> None:
    endings = Endings()
    for n, name in enumerate(aftermaths):
        endings.take(Amendment(n, Aftermath(name)))
    assert endings.words() == said


def test_the_last_of_several_calls_tells_how_it_ended() -> None:
    endings = Endings()
    for later in (9, 4):
        endings.take(Amendment(1, Aftermath.EXITED, ending=Ending(2, None, later)))
    assert endings.words() == ["exit status 2, 4 traced calls later"]


@pytest.mark.parametrize(
    ("refused_by", "said"),
    [
        ("kernel", "the kernel"),
        ("seccomp filter", "the seccomp filter"),
        ("SELinux", "SELinux"),
        ("a security module", "a security module"),
        ("\x1b[2J", "\\x1b[2J"),
    ],
)
def test_only_a_common_noun_has_an_article(refused_by: str, said: str) -> None:
    assert by_whom(refused_by) == said
