"""PE headers: where a section of a Windows program is loaded."""

from __future__ import annotations

import struct
from typing import Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.pe import MOST_SECTIONS, decode_pe

X86_64 = 0x8664


def pe_file(
    sections: Sequence[Tuple[int, int, int]],
    machine: int = X86_64,
    count: int | None = None,
    exceptions: Tuple[int, int] = (0, 0),
) -> bytes:
    """Sections are (address, offset, size), `exceptions` (address, size); a PE32+ file of 0x9000 bytes in memory."""
    optional = bytearray(240)
    struct.pack_into("<H54xI", optional, 0, 0x20B, 0x9000)
    struct.pack_into("<II", optional, 136, *exceptions)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x80)
    coff = struct.pack("<HH12xHH", machine, len(sections) if count is None else count, 240, 0x22)
    table = b"".join(
        struct.pack("<8sIIII12xI", b".text", size, address, size, offset, 0x60000020)
        for address, offset, size in sections
    )
    return head.ljust(0x80, b"\0") + b"PE\0\0" + coff + bytes(optional) + table


def test_offsets_become_addresses_by_section() -> None:
    image = decode_pe(pe_file([(0x1000, 0x400, 0x600), (0x2000, 0xA00, 0x200)]))

    assert (image.machine, image.size, image.exception_table) == (X86_64, 0x9000, None)
    assert [image.address_of_offset(at) for at in (0x3FF, 0x400, 0x9FF, 0xA10, 0xC00)] == [
        None,
        0x1000,
        0x15FF,
        0x2010,
        None,
    ]


def test_addresses_become_offsets() -> None:
    image = decode_pe(pe_file([(0x1000, 0x400, 0x600)], exceptions=(0x1100, 24)))

    assert [image.offset_of_address(at) for at in (0xFFF, 0x1000, 0x15FF, 0x1600)] == [None, 0x400, 0x9FF, None]
    assert image.exception_table == (0x1100, 24)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF" + bytes(100), b"MZ" + bytes(100), pe_file([], count=MOST_SECTIONS + 1), pe_file([], count=3)],
    ids=["empty", "elf", "dos", "too many sections", "cut"],
)
def test_what_is_no_pe_file(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_pe(data)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=200))
def test_headers_anywhere(start: int, rest: bytes) -> None:
    try:
        decode_pe(b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", start) + rest)
    except DecodeError:
        pass
