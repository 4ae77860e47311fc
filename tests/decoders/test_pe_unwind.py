"""Unwind codes of 64-bit Windows functions, laid out by hand, and the way out of such functions."""

from __future__ import annotations

import io
import struct
from typing import Dict, List, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pe import pe_file

from wxtrace.decoders import DecodeError
from wxtrace.decoders.pe import decode_pe
from wxtrace.decoders.pe_unwind import ALLOCATE, PUSH, SAVE, SET_FRAME, Unwinding, unwinding_at
from wxtrace.model.windows_frames import RSP, leave_function

RBX, RBP, RSI = 3, 5, 6
FUNCTION, END, INFO, TABLE = 0x1000, 0x1080, 0x1200, 0x1100
CHAINED = 4
STACK = 0x20000


def code(done: int, operation: int, info: int, *operands: int) -> bytes:
    """One unwind code: how far into the prologue its instruction ends, and what it did."""
    return struct.pack("<BB", done, operation | info << 4) + b"".join(struct.pack("<H", word) for word in operands)


def info(codes: Sequence[bytes], flags: int = 0, frame: int = 0, offset: int = 0) -> bytes:
    data = b"".join(codes)
    return struct.pack("<BBBB", 1 | flags << 3, 32, len(data) // 2, frame | offset << 4) + data


def unwinding(behind: bytes, address: int = FUNCTION + 0x40, functions: bytes = b"") -> Unwinding:
    """Of an image with one section: a table of functions, and `behind` it the unwind information at INFO."""
    table = functions or struct.pack("<III", FUNCTION, END, INFO)
    image = pe_file([(0x1000, 0x400, 0x1000)], exceptions=(TABLE, len(table)))
    section = bytearray(0x1000)
    section[TABLE - 0x1000 : TABLE - 0x1000 + len(table)] = table
    section[INFO - 0x1000 : INFO - 0x1000 + len(behind)] = behind
    file = io.BytesIO(image.ljust(0x400, b"\0") + bytes(section))
    return unwinding_at(file, decode_pe(file), address)


PROLOGUE = [
    code(20, 4, RSI, 5),  # mov %rsi,40(%rsp)
    code(15, 3, 0),  # lea 32(%rsp),%rbp
    code(10, 1, 0, 32),  # sub $256,%rsp
    code(6, 2, 3),  # sub $32,%rsp
    code(2, 0, RBX),  # push %rbx
    code(1, 0, RBP),  # push %rbp
]


def test_a_prologue_is_undone_from_its_end() -> None:
    found = unwinding(info(PROLOGUE, frame=RBP, offset=2))

    assert [(step.kind, step.register, step.size) for step in found.operations] == [
        (SAVE, RSI, 40),
        (SET_FRAME, 0, 0),
        (ALLOCATE, 0, 256),
        (ALLOCATE, 0, 32),
        (PUSH, RBX, 0),
        (PUSH, RBP, 0),
    ]
    assert (found.frame_register, found.frame_offset) == (RBP, 32)


def test_only_what_was_done_is_undone() -> None:
    assert [step.kind for step in unwinding(info(PROLOGUE), FUNCTION + 4).operations] == [PUSH, PUSH]


def test_long_operands_and_registers_that_do_not_matter() -> None:
    found = unwinding(info([code(9, 9, 0, 1, 0), code(8, 8, 0, 1), code(7, 5, RSI, 0, 1), code(3, 1, 1, 8, 2)]))

    assert [(step.kind, step.size) for step in found.operations] == [(SAVE, 0x10000), (ALLOCATE, 0x20008)]


def test_chained_information_is_all_undone() -> None:
    first = info([code(2, 0, RBX)], flags=CHAINED) + b"\0\0"
    chain = struct.pack("<III", FUNCTION, END, INFO + 64)
    behind = (first + chain).ljust(64, b"\0") + info([code(200, 2, 0)])

    assert [step.kind for step in unwinding(behind).operations] == [PUSH, ALLOCATE]


def test_a_function_without_an_entry_is_a_leaf() -> None:
    assert unwinding(b"", END).operations == ()
    assert unwinding(b"", FUNCTION - 1).operations == ()


def test_an_endless_chain_is_an_error() -> None:
    with pytest.raises(DecodeError, match="chained"):
        unwinding(info([], flags=CHAINED) + struct.pack("<III", FUNCTION, END, INFO))


@given(st.binary(max_size=80), st.binary(max_size=48), st.integers(0, 0x3000))
def test_any_tables(behind: bytes, functions: bytes, address: int) -> None:
    try:
        unwinding(behind, address, functions)
    except DecodeError:
        pass


def leave(found: Unwinding, stack: Dict[int, int], **registers: int) -> tuple[int | None, List[int]]:
    values = [0] * 16
    values[RSP] = STACK
    for name, value in registers.items():
        values[{"rbp": RBP, "rbx": RBX}[name]] = value
    return leave_function(values, found, stack.get), values


def test_the_caller_gets_its_registers_back() -> None:
    """%rsp has moved since the prologue; the frame register has not."""
    found = unwinding(info(PROLOGUE, frame=RBP, offset=2))
    base = STACK + 64
    stack = {base + 40: 6, base + 288: 3, base + 296: 5, base + 304: 0x140001234}
    address, values = leave(found, stack, rbp=base + 32)

    assert address == 0x140001234
    assert (values[RSI], values[RBX], values[RBP], values[RSP]) == (6, 3, 5, base + 312)


def test_out_of_a_leaf_function() -> None:
    address, values = leave(unwinding(b"", END), {STACK: 0x140001234})

    assert (address, values[RSP]) == (0x140001234, STACK + 8)


def test_out_of_a_function_that_was_interrupted() -> None:
    found = unwinding(info([code(0, 10, 1)]))
    address, values = leave(found, {STACK + 8: 0x140001234, STACK + 32: STACK + 0x100})

    assert (address, values[RSP]) == (0x140001234, STACK + 0x100)


@pytest.mark.parametrize("stack", [{}, {STACK + 288: 3}], ids=["nothing", "cut"])
def test_a_stack_that_cannot_be_read(stack: Dict[int, int]) -> None:
    assert leave(unwinding(info(PROLOGUE[2:])), stack)[0] is None


def test_a_stack_that_does_not_climb() -> None:
    found = unwinding(info([code(1, 3, 0)], frame=RBP))

    assert leave(found, {STACK - 0x100: 0x140001234}, rbp=STACK - 0x100)[0] is None
