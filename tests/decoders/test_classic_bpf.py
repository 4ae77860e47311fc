"""Seccomp programs: what the kernel takes is decoded, everything else is refused."""

from __future__ import annotations

import struct
from typing import Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.classic_bpf import Instruction, decode_program, decode_sock_fprog

LD_ABS, JA, JEQ, RET, DIV, LSH, ST, MOD = 0x20, 0x05, 0x15, 0x06, 0x34, 0x64, 0x02, 0x94
ALLOW = 0x7FFF0000


def pack(*instructions: Tuple[int, int, int, int]) -> bytes:
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def test_a_program_as_its_instructions() -> None:
    assert decode_program(pack((LD_ABS, 0, 0, 0), (JEQ, 0, 1, 10), (RET, 0, 0, 0x50001), (RET, 0, 0, ALLOW))) == (
        Instruction(LD_ABS, 0, 0, 0),
        Instruction(JEQ, 0, 1, 10),
        Instruction(RET, 0, 0, 0x50001),
        Instruction(RET, 0, 0, ALLOW),
    )


@pytest.mark.parametrize(
    "bad",
    [
        pack((JEQ, 9, 0, 0), (RET, 0, 0, 0)),
        pack((JA, 0, 0, 0xFFFFFFFF), (RET, 0, 0, 0)),
        pack((LD_ABS, 0, 0, 64), (RET, 0, 0, 0)),
        pack((LD_ABS, 0, 0, 2), (RET, 0, 0, 0)),
        pack((DIV, 0, 0, 0), (RET, 0, 0, 0)),
        pack((LSH, 0, 0, 32), (RET, 0, 0, 0)),
        pack((ST, 0, 0, 16), (RET, 0, 0, 0)),
        pack((MOD, 0, 0, 3), (RET, 0, 0, 0)),
        pack((LD_ABS, 0, 0, 0)),
        pack((RET, 0, 0, 0))[:-1],
        b"",
        pack((RET, 0, 0, 0)) * 4097,
    ],
    ids=[
        "a jump behind the end",
        "a jump around the address space",
        "a load behind seccomp_data",
        "an unaligned load",
        "a division by 0",
        "a shift by 32",
        "a store behind the scratch memory",
        "an operation seccomp does not have",
        "no return",
        "cut",
        "empty",
        "too long",
    ],
)
def test_what_no_kernel_takes(bad: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_program(bad)


@pytest.mark.parametrize("word_size, data", [(8, struct.pack("<H6xQ", 3, 0x7FFC0000)), (4, struct.pack("<H2xI", 3, 9))])
def test_where_a_program_lies(word_size: int, data: bytes) -> None:
    length, address = decode_sock_fprog(data, word_size)
    assert (length, address) == (3, 0x7FFC0000 if word_size == 8 else 9)


@pytest.mark.parametrize("data", [b"", struct.pack("<H6xQ", 0, 1), struct.pack("<H6xQ", 4097, 1)])
def test_a_sock_fprog_that_no_kernel_takes(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_sock_fprog(data, 8)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_program_or_an_error(data: bytes) -> None:
    try:
        program = decode_program(data)
    except DecodeError:
        return
    assert len(program) == len(data) // 8
