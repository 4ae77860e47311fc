"""Sentences that are put together from parts."""

from __future__ import annotations

from typing import List

import pytest

from wxtrace.commands.wording import ENDINGS, ending_words


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
