"""Leaving the functions of a 64-bit Windows program, one after the other, by their unwind codes."""

from __future__ import annotations

from typing import Callable, List, Optional

from wxtrace.decoders.pe_unwind import ALLOCATE, PUSH, SAVE, SET_FRAME, Unwinding

__all__ = ["RSP", "leave_function"]

RSP = 4
"""The stack pointer among sixteen registers that are numbered as in machine code."""

_WORD = 8
_MACHINE_RSP = 24
"""Where the processor pushes %rsp, behind %rip, %cs and the flags."""

ReadWord = Callable[[int], Optional[int]]


def leave_function(registers: List[int], unwinding: Unwinding, read: ReadWord) -> Optional[int]:
    """Make `registers` those of the caller, and give the address that it goes on at.

    None when the stack cannot be read there, or does not climb: then the registers mean nothing any more.
    """
    entered = registers[RSP]
    base = entered
    if unwinding.frame_register is not None and any(step.kind == SET_FRAME for step in unwinding.operations):
        base = registers[unwinding.frame_register] - unwinding.frame_offset
    for step in unwinding.operations:
        if step.kind == PUSH:
            value = read(registers[RSP])
            if value is None:
                return None
            registers[RSP] += _WORD
            registers[step.register] = value
        elif step.kind == ALLOCATE:
            registers[RSP] += step.size
        elif step.kind == SET_FRAME:
            registers[RSP] = base
        elif step.kind == SAVE:
            value = read(base + step.size)
            if value is None:
                return None
            registers[step.register] = value
        else:
            frame = registers[RSP] + (_WORD if step.size else 0)
            address, above = read(frame), read(frame + _MACHINE_RSP)
            if address is None or above is None or above <= entered:
                return None
            registers[RSP] = above
            return address
    address = read(registers[RSP])
    registers[RSP] += _WORD
    return address if registers[RSP] > entered else None
