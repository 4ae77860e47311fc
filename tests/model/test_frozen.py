"""Frozen records: made, compared and changed as dataclasses are."""

from __future__ import annotations

import pickle
from typing import Any, List, Optional

import pytest

from wxtrace.frozen import Frozen, replace


class Page(Frozen):
    """One with and one without a default, and one that could be shared by mistake."""

    address: int
    prot: Optional[int] = None
    names: List[str] = []


def test_fields_are_given_by_place_name_or_default() -> None:
    page = Page(4096, names=["heap"])

    assert (page.address, page.prot, page.names) == (4096, None, ["heap"])


@pytest.mark.parametrize("make", [lambda: Page(), lambda: Page(1, 2, [], 4), lambda: Page(1, size=2)])
def test_a_missing_or_unknown_field_is_a_type_error(make: Any) -> None:
    with pytest.raises(TypeError, match="Page takes address, prot, names"):
        make()


def test_a_field_cannot_be_set() -> None:
    page = Page(4096)

    with pytest.raises(AttributeError, match="Page is frozen"):
        page.prot = 1  # type: ignore[misc]


def test_two_records_do_not_share_a_default_list() -> None:
    Page(1).names.append("heap")

    assert Page(2).names == []


def test_records_of_another_class_are_not_equal() -> None:
    class Other(Frozen):
        address: int
        prot: Optional[int] = None
        names: List[str] = []

    assert Page(1) == Page(1) != Page(2)
    assert Page(1) != Other(1)


def test_replace_leaves_the_record_as_it_is() -> None:
    page = Page(4096, 1)

    assert replace(page, prot=5) == Page(4096, 5)
    assert page == Page(4096, 1)
    with pytest.raises(TypeError):
        replace(page, size=1)


def test_a_record_survives_being_pickled() -> None:
    assert pickle.loads(pickle.dumps(Page(4096, 5, ["heap"]))) == Page(4096, 5, ["heap"])
