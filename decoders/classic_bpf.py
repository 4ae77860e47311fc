"""Seccomp filters as the kernel takes them: struct sock_fprog and classic BPF (include/uapi/linux/filter.h).

`struct`, not construct: a program has up to 4,096 instructions, and browsers install one a process.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Tuple

from wxtrace.decoders import DecodeError

__all__ = ["INSTRUCTION_SIZE", "MOST_INSTRUCTIONS", "Instruction", "decode_program", "decode_sock_fprog"]

MOST_INSTRUCTIONS = 4096
"""BPF_MAXINSNS."""

_INSTRUCTION = struct.Struct("<HBBI")
INSTRUCTION_SIZE = _INSTRUCTION.size
_FPROG_64, _FPROG_32 = struct.Struct("<H6xQ"), struct.Struct("<H2xI")


class Instruction(NamedTuple):
    """struct sock_filter: `jt` and `jf` count the instructions that a jump leaves out."""

    code: int
    jt: int
    jf: int
    k: int


def decode_sock_fprog(data: bytes, word_size: int) -> Tuple[int, int]:
    """(instructions, address of the first) of a struct sock_fprog in a program with words of 4 or 8 bytes.

    Raises DecodeError for too few bytes, and for a length that no kernel takes.
    """
    layout = _FPROG_64 if word_size == 8 else _FPROG_32
    if len(data) < layout.size:
        raise DecodeError("a struct sock_fprog has %d bytes, not %d" % (layout.size, len(data)))
    length, address = layout.unpack_from(data)
    if not 1 <= length <= MOST_INSTRUCTIONS:
        raise DecodeError("a filter has 1 to %d instructions, not %d" % (MOST_INSTRUCTIONS, length))
    return length, address


def decode_program(data: bytes) -> Tuple[Instruction, ...]:
    """The instructions, if the kernel would take them as a seccomp filter. Raises DecodeError where it would not.

    The rules are those of kernel/seccomp.c:seccomp_check_filter and net/core/filter.c:bpf_check_classic, but for
    loads from scratch memory that was never stored to: they are taken as 0.
    """
    count, rest = divmod(len(data), INSTRUCTION_SIZE)
    if rest or not 1 <= count <= MOST_INSTRUCTIONS:
        raise DecodeError("%d bytes are no program of 1 to %d instructions" % (len(data), MOST_INSTRUCTIONS))
    program = tuple(Instruction(*fields) for fields in _INSTRUCTION.iter_unpack(data))
    for at, instruction in enumerate(program):
        _check(at, instruction, count)
    if program[-1].code not in (RET_K, RET_A):
        raise DecodeError("the last instruction of a filter has to be a return")
    return program


LD_ABS, LD_LEN, LDX_LEN, LD_IMM, LDX_IMM, LD_MEM, LDX_MEM = 0x20, 0x80, 0x81, 0x00, 0x01, 0x60, 0x61
ST, STX, RET_K, RET_A, TAX, TXA, NEG, JA = 0x02, 0x03, 0x06, 0x16, 0x07, 0x87, 0x84, 0x05
ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, XOR = 0x04, 0x14, 0x24, 0x34, 0x44, 0x54, 0x64, 0x74, 0xA4
JEQ, JGT, JGE, JSET = 0x15, 0x25, 0x35, 0x45
BY_X = 0x08
"""Set in an ALU or jump instruction whose operand is X; else it is k."""

SECCOMP_DATA_SIZE, SCRATCH_WORDS = 64, 16
ALU = frozenset({ADD, SUB, MUL, DIV, OR, AND, LSH, RSH, XOR})
JUMPS = frozenset({JEQ, JGT, JGE, JSET})
_LOADS = frozenset({LD_LEN, LDX_LEN, LD_IMM, LDX_IMM})
_SCRATCH = frozenset({LD_MEM, LDX_MEM, ST, STX})
_PLAIN = frozenset({RET_K, RET_A, TAX, TXA, NEG})


def _check(at: int, instruction: Instruction, count: int) -> None:
    code, jt, jf, k = instruction
    operation = code & ~BY_X
    if code == LD_ABS:
        good = k % 4 == 0 and k < SECCOMP_DATA_SIZE
    elif code == JA:
        good = at + 1 + k < count
    elif operation in JUMPS:
        good = at + 1 + max(jt, jf) < count
    elif code in _SCRATCH:
        good = k < SCRATCH_WORDS
    elif operation in ALU:
        good = not (code == DIV and k == 0) and not (code in (LSH, RSH) and k >= 32)
    else:
        good = code in _LOADS or code in _PLAIN
    if not good:
        raise DecodeError("no kernel takes instruction %d (code %#x, k %#x) in a filter" % (at, code, k))
