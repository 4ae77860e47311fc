"""struct procmap_query, byte by byte as include/uapi/linux/fs.h has it."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmap_query import PROCMAP_QUERY, QUERY_SIZE, decode_answer, encode_query
from wxtrace.decoders.procmaps import MapLine, parse_maps

R, W, X, SHARED = 1, 2, 4, 8


def answer(
    start: int = 0x7F31A0000000,
    end: int = 0x7F31A0002000,
    flags: int = R,
    offset: int = 0,
    inode: int = 0,
    major: int = 0,
    minor: int = 0,
    name_size: int = 0,
) -> bytes:
    return struct.pack("<QQQQQQQQQ", 104, 0x10, start, start, end, flags, 4096, offset, inode) + struct.pack(
        "<IIIIQQ", major, minor, name_size, 0, 0, 0
    )


def test_the_request_number_carries_the_size_of_the_struct() -> None:
    """_IOWR('f', 17, struct procmap_query)"""
    number = 3 << 30 | QUERY_SIZE << 16 | ord("f") << 8 | 17
    assert number == PROCMAP_QUERY


def test_a_query_asks_for_the_mapping_at_or_above_an_address() -> None:
    size, flags, address = struct.unpack_from("<QQQ", encode_query(0x7F31A0000000, 0, 0))
    assert (size, flags, address) == (104, 0x10, 0x7F31A0000000)


def test_a_query_says_where_the_name_goes() -> None:
    _, _, name_size, _, name_addr, _ = struct.unpack_from("<IIIIQQ", encode_query(0, 0x7FFD1C5E0000, 4096), 72)
    assert (name_size, name_addr) == (4096, 0x7FFD1C5E0000)


def test_a_query_asks_for_no_build_id() -> None:
    _, _, _, size, _, address = struct.unpack_from("<IIIIQQ", encode_query(0x1000, 0x2000, 4096), 72)
    assert (size, address) == (0, 0)


@pytest.mark.parametrize(
    "flags, perms",
    [
        (0, "---p"),
        (R, "r--p"),
        (W, "-w-p"),
        (X, "--xp"),
        (R | W, "rw-p"),
        (R | X, "r-xp"),
        (R | W | X, "rwxp"),
        (SHARED, "---s"),
        (R | W | SHARED, "rw-s"),
        (R | 0x100, "r--p"),
    ],
)
def test_permissions(flags: int, perms: str) -> None:
    assert decode_answer(answer(flags=flags), b"").perms == perms


def test_an_answer_is_the_line_that_maps_shows() -> None:
    name = b"/usr/bin/my cat\0"
    data = answer(flags=R | X, offset=0x2000, inode=1311, major=0xFE, minor=1, name_size=len(name))
    (line,) = parse_maps(b"7f31a0000000-7f31a0002000 r-xp 00002000 fe:01 1311   /usr/bin/my cat\n")
    assert decode_answer(data, name.ljust(4096, b"\0")) == line


def test_anonymous_memory_has_no_name() -> None:
    """The buffer still holds the name of an earlier answer."""
    line = decode_answer(answer(name_size=0), b"/usr/bin/cat\0")
    assert (line.path, line.dev, line.inode) == ("", "00:00", 0)


def test_a_shorter_name_ends_before_an_earlier_longer_one() -> None:
    assert decode_answer(answer(name_size=7), b"[stack\0lib.so\0").path == "[stack"


def test_a_name_that_is_no_utf8_comes_back_exactly() -> None:
    assert os.fsencode(decode_answer(answer(name_size=5), b"/\xff\xfe\n\0").path) == b"/\xff\xfe\n"


def test_long_device_numbers() -> None:
    assert decode_answer(answer(major=259, minor=0x10005), b"").dev == "103:10005"


@pytest.mark.parametrize("size", [0, QUERY_SIZE - 1, QUERY_SIZE + 1])
def test_another_size_is_an_error(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_answer(answer().ljust(size, b"\0")[:size], b"")


@given(st.binary(min_size=QUERY_SIZE - 1, max_size=QUERY_SIZE + 1), st.binary(max_size=64))
def test_any_bytes_are_a_line_or_a_decode_error(data: bytes, name: bytes) -> None:
    try:
        line = decode_answer(data, name)
    except DecodeError:
        assert len(data) != QUERY_SIZE
    else:
        assert isinstance(line, MapLine)


@given(st.binary(max_size=200).filter(lambda name: b"\0" not in name))
def test_any_name_comes_back_exactly(name: bytes) -> None:
    line = decode_answer(answer(name_size=len(name) + 1), name + b"\0" * 8)
    assert os.fsencode(line.path) == name
