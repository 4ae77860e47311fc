"""Filters run over calls: hand-written programs, and our own against the answers the kernel is known to give."""

from __future__ import annotations

import struct
from typing import List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wxtrace.decoders.classic_bpf import Instruction, decode_program
from wxtrace.model.enumerations import AUDIT_ARCH, Abi
from wxtrace.model.filters import Action, CannotTell, answer, seccomp_data, strictest
from wxtrace.model.syscalls.table import NUMBERS

LD, AND, JEQ, JSET, RET, RET_A = 0x20, 0x54, 0x15, 0x45, 0x06, 0x16
LD_IMM, LDX_IMM, DIV_X, NEG, TAX, TXA, STA, LDM, LSH_X, SUB = 0x00, 0x01, 0x3C, 0x84, 0x07, 0x87, 0x02, 0x60, 0x6C, 0x14
NR, ARCH, IP_LOW, ARG2 = 0, 4, 8, 32
ALLOW, EPERM = (RET, 0, 0, 0x7FFF0000), (RET, 0, 0, 0x50001)
MPROTECT = NUMBERS[Abi.X86_64]["mprotect"]
PROGRAM = ((LD, 0, 0, NR), (JEQ, 0, 3, MPROTECT), (LD, 0, 0, ARG2), (JSET, 0, 1, 4), EPERM, ALLOW)


def program(*instructions: Tuple[int, int, int, int]) -> Tuple[Instruction, ...]:
    return decode_program(b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions))


def call(number: int, *args: int, abi: int = Abi.X86_64) -> bytes:
    return seccomp_data(number, AUDIT_ARCH[abi], (*args, 0, 0, 0, 0, 0, 0)[:6])[0]


@pytest.mark.parametrize("number, prot, expected", [(MPROTECT, 5, "ERRNO"), (MPROTECT, 3, "ALLOW"), (11, 5, "ALLOW")])
def test_a_filter_for_one_call_and_one_bit(number: int, prot: int, expected: str) -> None:
    found = answer(program(*PROGRAM), call(number, 0x1000, 4096, prot))
    assert found.name == expected
    assert found.lets_in == (expected == "ALLOW")


@pytest.mark.parametrize(
    "instructions, value",
    [
        ([(LD_IMM, 0, 0, 7), (LDX_IMM, 0, 0, 0), (DIV_X, 0, 0, 0), ALLOW], 0),
        ([(LD_IMM, 0, 0, 0x50001), (NEG, 0, 0, 0), (NEG, 0, 0, 0), (RET_A, 0, 0, 0)], 0x50001),
        ([(LD_IMM, 0, 0, 0x50002), (STA, 0, 0, 3), (LD_IMM, 0, 0, 0), (LDM, 0, 0, 3), (RET_A, 0, 0, 0)], 0x50002),
        ([(LD_IMM, 0, 0, 5), (TAX, 0, 0, 0), (LD_IMM, 0, 0, 0), (TXA, 0, 0, 0), (RET_A, 0, 0, 0)], 5),
        ([(LD_IMM, 0, 0, 0x50000), (SUB, 0, 0, 0x60000), (RET_A, 0, 0, 0)], 0xFFFF0000),
        ([(LD_IMM, 0, 0, 1), (LDX_IMM, 0, 0, 33), (LSH_X, 0, 0, 0), (RET_A, 0, 0, 0)], 2),
    ],
    ids=["dividing by X = 0 returns 0", "negation", "scratch memory", "X and back", "wrap-around", "shift by X mod 32"],
)
def test_arithmetic_is_the_kernels(instructions: List[Tuple[int, int, int, int]], value: int) -> None:
    found = answer(program(*instructions), call(1))
    names = {0: "KILL_THREAD", 5: "KILL_THREAD", 2: "KILL_THREAD", 0xFFFF0000: "KILL_PROCESS"}
    assert found == Action(names.get(value, "ERRNO"), value & 0xFFFF)


def test_the_instruction_pointer_is_told_or_nothing_is() -> None:
    looks = program((LD, 0, 0, IP_LOW), (RET_A, 0, 0, 0))
    with pytest.raises(CannotTell):
        answer(looks, call(1), ip_known=False)
    data, known = seccomp_data(1, AUDIT_ARCH[Abi.I386], (0,) * 6, 0x50003)
    assert known and answer(looks, data) == Action("ERRNO", 3)


def test_the_strictest_answer_counts_and_the_first_of_equals() -> None:
    errno, trap, allow = Action("ERRNO", 1), Action("TRAP", 0), Action("ALLOW", 0)
    assert strictest([allow, errno, trap]) == trap
    assert strictest([Action("ERRNO", 13), errno]).data == 13
    assert strictest([allow, Action("KILL_PROCESS", 0), Action("KILL_THREAD", 0)]).name == "KILL_PROCESS"


def test_the_longest_program_ends() -> None:
    jumps = [(JEQ, 1, 0, 9)] * 4094
    assert answer(program(*jumps, EPERM, ALLOW), call(9)).name in ("ERRNO", "ALLOW")


_CODES = st.sampled_from([LD, AND, JEQ, JSET, RET, RET_A, LD_IMM, LDX_IMM, DIV_X, NEG, TAX, TXA, STA, LDM, LSH_X, 0x05])
_INSTRUCTIONS = st.tuples(_CODES, st.integers(0, 3), st.integers(0, 3), st.integers(0, 15))


@settings(max_examples=60)
@given(st.lists(_INSTRUCTIONS, max_size=30), st.binary(min_size=64, max_size=64))
def test_every_program_the_kernel_takes_has_an_answer(
    instructions: List[Tuple[int, int, int, int]], data: bytes
) -> None:
    try:
        decoded = program(*instructions, ALLOW)
    except ValueError:
        return
    assert answer(decoded, data).name
