"""Names in the kernel's type information: a small table by hand, and the running kernel's own."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.btf import type_names

INT, STRUCT, FUNC, FUNC_PROTO = 1, 4, 12, 13
STRINGS = b"\0int\0pair\0bpf_lsm_mmap_file\0"


def record(name: int, kind: int, members: int = 0, behind: int = 0) -> bytes:
    return struct.pack("<III", name, kind << 24 | members, 0) + bytes(behind)


def table(*records: bytes) -> bytes:
    types = b"".join(records)
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(STRINGS)) + types + STRINGS


TABLE = table(
    record(1, INT, behind=4), record(5, STRUCT, 2, 24), record(0, FUNC_PROTO, 3, 24), record(10, FUNC), record(1, INT)
)


def test_names_by_id() -> None:
    assert type_names(TABLE, [1, 2, 4, 99]) == {1: "int", 2: "pair", 4: "bpf_lsm_mmap_file"}


@pytest.mark.parametrize("bad", [b"", b"\x7fELF" + bytes(60), TABLE[:-1], table(record(1, 31))])
def test_what_is_no_type_information(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        type_names(bad, [9])


def test_the_running_kernels_own() -> None:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.exists():
        pytest.skip("this kernel has no type information")
    names = type_names(path.read_bytes(), [1, 2, 3, 1000])
    assert len(names) == 4
    assert all(name.isprintable() for name in names.values())


@given(st.binary(max_size=200))
def test_any_bytes_are_names_or_an_error(data: bytes) -> None:
    for candidate in (data, struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(data), 0, len(data)) + data):
        try:
            type_names(candidate, [1, 2, 3])
        except DecodeError:
            pass
