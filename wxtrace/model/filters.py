"""What a seccomp filter answers to a call: classic BPF run over struct seccomp_data, purely.

A program read from the target's memory may have been another one when the kernel took it: what it answers is an
illustration. A program as the kernel keeps it (PTRACE_SECCOMP_GET_FILTER) answers what the kernel answered.
"""

from __future__ import annotations

import struct
from typing import Iterable, NamedTuple, Optional, Sequence, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders import classic_bpf as bpf
from wxtrace.decoders.classic_bpf import Instruction, decode_program
from wxtrace.model.enumerations import AUDIT_ARCH, Abi
from wxtrace.model.facts import FiltersSeen
from wxtrace.model.syscalls.table import call_name

__all__ = [
    "Action",
    "Asked",
    "CannotTell",
    "Program",
    "SeenFilters",
    "action_of",
    "answer",
    "program_of",
    "seccomp_data",
    "strictest",
    "verdict",
]

Program = Tuple[Instruction, ...]

_WORD = 0xFFFFFFFF
_DATA = struct.Struct("<iIQ6Q")
_UNKNOWN_IP = (8, 12)
_ACTIONS = {
    0x80000000: "KILL_PROCESS",
    0x00000000: "KILL_THREAD",
    0x00030000: "TRAP",
    0x00050000: "ERRNO",
    0x7FC00000: "USER_NOTIF",
    0x7FF00000: "TRACE",
    0x7FFC0000: "LOG",
    0x7FFF0000: "ALLOW",
}


class CannotTell(Exception):
    """The program looks at something that is not known here."""


class Action(NamedTuple):
    """A filter's answer: SECCOMP_RET_`name` with its 16 bits of data (the errno of ERRNO)."""

    name: str
    data: int

    @property
    def lets_in(self) -> bool:
        """Whether the kernel's own code runs."""
        return self.name in ("ALLOW", "LOG")


class Asked(NamedTuple):
    """One call as filters see it. `ip` is the address behind its instruction, 0 where that is not known."""

    abi: int
    number: int
    args: Tuple[int, ...]
    ip: int = 0


class SeenFilters(NamedTuple):
    """The foreign filters of a thread: where they come from, and their programs (newest first) if the kernel said."""

    origin: FiltersSeen
    programs: Optional[Tuple[Program, ...]]


def program_of(code: str) -> Optional[Program]:
    """The program that a fact holds in hexadecimal; None for what is none."""
    try:
        return decode_program(bytes.fromhex(code))
    except (ValueError, DecodeError):
        return None


def verdict(programs: Sequence[Optional[Program]], asked: Asked) -> Optional[Action]:
    """What filters (the newest first) answer together; None where one is not known or cannot be told."""
    if asked.abi == Abi.I386 and call_name(asked.abi, asked.number) in ("shmat", "shmdt"):
        # Recorded as what they are; the filter may have seen ipc().
        return None
    data, ip_known = seccomp_data(asked.number, AUDIT_ARCH[asked.abi], asked.args, asked.ip or None)
    actions = []
    for program in programs:
        if program is None:
            return None
        try:
            actions.append(answer(program, data, ip_known))
        except CannotTell:
            return None
    return strictest(actions) if actions else None


def action_of(value: int) -> Action:
    """The value a filter returned. An unknown action kills the process (kernel/seccomp.c:__seccomp_filter)."""
    return Action(_ACTIONS.get(value & 0xFFFF0000, "KILL_PROCESS"), value & 0xFFFF)


def strictest(actions: Iterable[Action]) -> Action:
    """Whose answer counts when several filters bind a thread, the newest first: the strictest, of equals the newest.

    kernel/seccomp.c:seccomp_run_filters compares them as signed numbers.
    """
    order = list(_ACTIONS.values())
    return min(actions, key=lambda action: order.index(action.name))


def seccomp_data(number: int, arch: int, args: Sequence[int], ip: Optional[int] = None) -> Tuple[bytes, bool]:
    """struct seccomp_data of one call, and whether its instruction pointer is known."""
    words = [value & (1 << 64) - 1 for value in args]
    sign = number & _WORD
    return _DATA.pack(sign - (1 << 32) if sign >> 31 else sign, arch & _WORD, ip or 0, *words), ip is not None


def answer(program: Sequence[Instruction], data: bytes, ip_known: bool = True) -> Action:
    """Run one program. Raises CannotTell where it asks for the instruction pointer and nobody knows that.

    Jumps only lead forward and the program was checked (decode_program), so it ends after at most one step an
    instruction. Dividing by an X of 0 returns 0, as the kernel's translation does (net/core/filter.c).
    """
    a = x = 0
    scratch = [0] * bpf.SCRATCH_WORDS
    at = 0
    while at < len(program):
        code, jt, jf, k = program[at]
        at += 1
        operand = x if code & bpf.BY_X else k
        operation = code & ~bpf.BY_X
        if code == bpf.LD_ABS:
            if k in _UNKNOWN_IP and not ip_known:
                raise CannotTell("the filter looks at the instruction pointer")
            a = int.from_bytes(data[k : k + 4], "little")
        elif code == bpf.RET_K:
            return action_of(k)
        elif code == bpf.RET_A:
            return action_of(a)
        elif code == bpf.JA:
            at += k
        elif operation in bpf.JUMPS:
            at += jt if _holds(operation, a, operand) else jf
        elif operation in bpf.ALU:
            if operation == bpf.DIV and operand == 0:
                return action_of(0)
            a = _computed(operation, a, operand)
        elif code == bpf.NEG:
            a = -a & _WORD
        elif code == bpf.TAX:
            x = a
        elif code == bpf.TXA:
            a = x
        elif code == bpf.LD_IMM:
            a = k
        elif code == bpf.LDX_IMM:
            x = k
        elif code == bpf.LD_LEN:
            a = bpf.SECCOMP_DATA_SIZE
        elif code == bpf.LDX_LEN:
            x = bpf.SECCOMP_DATA_SIZE
        elif code == bpf.LD_MEM:
            a = scratch[k]
        elif code == bpf.LDX_MEM:
            x = scratch[k]
        elif code == bpf.ST:
            scratch[k] = a
        else:
            scratch[k] = x
    raise CannotTell("the filter ends without a return")


def _holds(operation: int, a: int, operand: int) -> bool:
    if operation == bpf.JEQ:
        return a == operand
    if operation == bpf.JGT:
        return a > operand
    if operation == bpf.JGE:
        return a >= operand
    return bool(a & operand)


def _computed(operation: int, a: int, operand: int) -> int:
    if operation == bpf.ADD:
        return a + operand & _WORD
    if operation == bpf.SUB:
        return a - operand & _WORD
    if operation == bpf.MUL:
        return a * operand & _WORD
    if operation == bpf.DIV:
        return a // operand
    if operation == bpf.OR:
        return a | operand
    if operation == bpf.AND:
        return a & operand
    if operation == bpf.XOR:
        return a ^ operand
    if operation == bpf.LSH:
        return a << (operand & 31) & _WORD
    return a >> (operand & 31)
