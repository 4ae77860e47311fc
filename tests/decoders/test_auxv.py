"""The auxiliary vector tells the size of a program's words."""

from __future__ import annotations

import struct
from typing import Tuple

import pytest

from wxtrace.decoders.auxv import is_32_bit

ENTRIES: Tuple[Tuple[int, int], ...] = ((33, 0x7FFD2000), (16, 0x178BFBFF), (3, 0x400040), (5, 13), (0, 0))


@pytest.mark.parametrize("size, code", [(56, "<QQ"), (32, "<II")])
def test_by_the_size_of_a_program_header(size: int, code: str) -> None:
    vector = b"".join(struct.pack(code, *entry) for entry in ((4, size), *ENTRIES))

    assert is_32_bit(vector) == (size == 32)


@pytest.mark.parametrize("data", [b"", b"\4\0\0", b"\xff" * 17])
def test_what_is_no_vector_is_not(data: bytes) -> None:
    assert not is_32_bit(data)


def test_our_own() -> None:
    with open("/proc/self/auxv", "rb") as file:
        assert not is_32_bit(file.read())
