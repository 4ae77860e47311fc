"""ELF headers: files laid out by hand, the machine's own, and files that lie."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import pytest
from elf_files import (
    PT_DYNAMIC,
    PT_GNU_STACK,
    TEXT,
    R,
    Segment,
    Symbol,
    W,
    X,
    dynamic,
    elf_file,
)
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import decode_elf, decode_sections
from wxtrace.decoders.elfsymbols import functions_at

DT_TEXTREL, DT_FLAGS, DF_TEXTREL, DF_BIND_NOW = 22, 30, 4, 8
E_PHENTSIZE, E_PHNUM, E_SHNUM = 54, 56, 60
BOTH = pytest.mark.parametrize("bits", [64, 32])


@BOTH
def test_headers_of_a_library(bits: int) -> None:
    image = decode_elf(elf_file([Segment(PT_GNU_STACK, R | W)], bits=bits))

    assert image.type == "ET_DYN"
    assert (image.bits, image.machine) == (bits, {64: "EM_X86_64", 32: "EM_386"}[bits])
    assert [(load.offset, load.vaddr, load.filesz, load.flags) for load in image.loads] == [(TEXT, TEXT, 256, R | X)]


@pytest.mark.parametrize("flags", [R | W, R | W | X, None])
def test_stack_flags(flags: int) -> None:
    image = decode_elf(elf_file([Segment(PT_GNU_STACK, flags)] if flags is not None else []))

    assert image.stack_flags == flags


@BOTH
@pytest.mark.parametrize(
    ("entry", "relocates"),
    [((DT_TEXTREL, 0), True), ((DT_FLAGS, DF_TEXTREL), True), ((DT_FLAGS, DF_BIND_NOW), False)],
)
def test_text_relocations(bits: int, entry: tuple[int, int], relocates: bool) -> None:
    content = dynamic((1, 1), entry, bits=bits)

    assert decode_elf(elf_file([Segment(PT_DYNAMIC, R, content)], bits=bits)).text_relocations is relocates


def test_a_tag_behind_the_end_of_the_dynamic_section_counts_not() -> None:
    content = dynamic((0, 0), (DT_TEXTREL, 0))

    assert not decode_elf(elf_file([Segment(PT_DYNAMIC, R, content)])).text_relocations


def test_offsets_become_addresses_by_whole_pages() -> None:
    image = decode_elf(elf_file(code=b"\x90" * 0x300))

    assert [image.address_of_offset(at, 4096) for at in (TEXT, TEXT + 0x2FF, TEXT + 0x300)] == [
        TEXT,
        TEXT + 0x2FF,
        None,
    ]
    assert decode_elf(elf_file()).address_of_offset(TEXT - 1, 4096) is None


def test_this_python_has_sections() -> None:
    with Path(sys.executable).open("rb") as file:
        assert {b".text", b".dynamic"} <= {section.name for section in decode_sections(file)}


def test_a_file_without_section_headers_has_no_sections() -> None:
    data = bytearray(elf_file())
    struct.pack_into("<Q", data, 0x28, 0)

    assert decode_sections(bytes(data)) == []


@pytest.mark.parametrize(
    ("at", "value"), [(E_PHENTSIZE, 8), (E_PHNUM, 0xFFFF), (E_SHNUM, 0xFFFF)], ids=["phentsize", "phnum", "shnum"]
)
def test_tables_that_no_loader_takes(at: int, value: int) -> None:
    data = bytearray(elf_file())
    struct.pack_into("<H", data, at, value)

    with pytest.raises(DecodeError):
        decode_elf(bytes(data))
        decode_sections(bytes(data))


@pytest.mark.parametrize("data", [b"", b"MZ" + bytes(100), b"\x7fELF", b"\x7fELF\x07\x01" + bytes(100)])
def test_what_is_no_elf_file(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_elf(data)


def test_a_file_that_cannot_be_read_any_more() -> None:
    class Vanished(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(DecodeError, match="Input/output error"):
        decode_elf(Vanished())


NORMAL = elf_file(
    [
        Segment(PT_GNU_STACK, R | W),
        Segment(PT_DYNAMIC, R, dynamic((DT_FLAGS, 8))),
    ],
    [Symbol(b"main", TEXT, 64), Symbol(b"helper", TEXT + 64, 64)],
)


def take_everything(data: bytes) -> None:
    for decode in (decode_elf, decode_sections, lambda data: functions_at(data, [TEXT + 70, 1 << 63])):
        try:
            decode(data)
        except DecodeError:
            pass


@given(st.binary(max_size=300))
def test_bytes_behind_a_magic(data: bytes) -> None:
    take_everything(data)
    take_everything(b"\x7fELF\x02\x01\x01" + data)


@given(st.integers(0, len(NORMAL)))
def test_a_file_cut_anywhere(length: int) -> None:
    take_everything(NORMAL[:length])


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 0x200), st.integers(TEXT + 256, len(NORMAL) - 8)),
            st.one_of(st.sampled_from([0, 1, 0xFFFF, (1 << 63) - 1, (1 << 64) - 1]), st.integers(0, (1 << 64) - 1)),
            st.sampled_from("BHIQ"),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_file_with_numbers_that_lie(changes: list[tuple[int, int, str]]) -> None:
    data = bytearray(NORMAL)
    for at, value, width in changes:
        struct.pack_into("<" + width, data, at, value & (1 << 8 * struct.calcsize(width)) - 1)
    take_everything(bytes(data))
