"""From an address to the function that holds it."""

from __future__ import annotations

import struct

import pytest
from elf_files import SHT_DYNSYM, TEXT, Symbol, elf_file

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elfsymbols import MOST_TABLE_BYTES, functions_at

LOCAL, GLOBAL, NO_TYPE, OBJECT = 0, 1, 0, 1
MAIN, HELPER = Symbol(b"main", TEXT, 64), Symbol(b"helper", TEXT + 64, 32)


@pytest.mark.parametrize("bits", [64, 32])
def test_addresses_in_and_between_functions(bits: int) -> None:
    data = elf_file(symbols=[HELPER, MAIN], bits=bits)
    inside = [TEXT, TEXT + 63, TEXT + 64, TEXT + 95]

    assert functions_at(data, [TEXT - 1, *inside, TEXT + 96]) == dict(zip(inside, ["main", "main", "helper", "helper"]))


def test_only_functions_that_are_defined_here() -> None:
    imported = Symbol(b"printf", TEXT + 64, 32, section=0)
    variable = Symbol(b"counter", TEXT + 64, 32, type=OBJECT)

    assert functions_at(elf_file(symbols=[MAIN, imported, variable]), [TEXT + 70]) == {}


def test_a_function_is_preferred_to_a_label_and_an_exported_name_to_a_local_one() -> None:
    names = [
        Symbol(b"local", TEXT, 64, binding=LOCAL),
        Symbol(b"exported", TEXT, 64),
        Symbol(b"label", TEXT, 0, type=NO_TYPE),
    ]

    assert functions_at(elf_file(symbols=names), [TEXT + 8]) == {TEXT + 8: "exported"}


def test_a_label_reaches_to_the_next_one_where_all_are_known() -> None:
    label = Symbol(b"trampoline", TEXT, 0, type=NO_TYPE)

    assert functions_at(elf_file(symbols=[label]), [TEXT + 8]) == {TEXT + 8: "trampoline"}
    assert functions_at(elf_file(symbols=[label], table=SHT_DYNSYM), [TEXT + 8]) == {}


def test_a_name_that_is_no_text() -> None:
    assert functions_at(elf_file(symbols=[Symbol(b"caf\xe9\x1b[2J", TEXT, 64)]), [TEXT]) == {TEXT: "caf\udce9\x1b[2J"}


def test_a_string_table_without_an_end() -> None:
    assert functions_at(elf_file(symbols=[MAIN], strings_end=b""), [TEXT]) == {}


def test_a_name_outside_of_the_string_table() -> None:
    data = bytearray(elf_file(symbols=[MAIN]))
    struct.pack_into("<I", data, data.index(b"\0main") - 24, 1 << 31)

    assert functions_at(bytes(data), [TEXT]) == {}


def test_a_table_of_absurd_size_is_not_read() -> None:
    data = bytearray(elf_file(symbols=[MAIN]))
    header = len(data) - 3 * 64
    struct.pack_into("<Q", data, header + 32, MOST_TABLE_BYTES + 24)

    with pytest.raises(DecodeError, match="symbol table"):
        functions_at(bytes(data), [TEXT])


def test_nothing_asked() -> None:
    assert functions_at(elf_file(symbols=[MAIN]), []) == {}
