"""Sentences that are put together from parts."""

from __future__ import annotations

from typing import List

import pytest

from wxtrace.commands.wording import ENDINGS, by_whom, ending_words


@pytest.mark.parametrize(
    ("aftermaths", "said"),
    [
        (["continued", "recovered"], ["recovered"]),
        (["crashed", "continued", "unknown"], ["crashed"]),
        (["continued", "unknown"], ["continued"]),
        (["unknown"], []),
    ],
)
def test_that_it_went_on_is_said_only_where_nothing_else_is_known(aftermaths: List[str], said: List[str]) -> None:
    assert ending_words(aftermaths) == [ENDINGS[name] for name in said]


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
