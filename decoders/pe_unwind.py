"""How a function of a 64-bit PE file is left: its unwind codes ("x64 exception handling", Microsoft)."""

from __future__ import annotations

import struct
from typing import BinaryIO, List, NamedTuple, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import read_exactly
from wxtrace.decoders.pe import PeImage

__all__ = ["ALLOCATE", "PUSH", "SAVE", "SET_FRAME", "Unwinding", "unwinding_at"]

PUSH, ALLOCATE, SET_FRAME, SAVE, INTERRUPTED = "push", "allocate", "set-frame", "save", "interrupted"

MOST_CHAINED = 32
_FUNCTION = struct.Struct("<III")
_CHAINED = 4
_X86_64 = 0x8664


class Operation(NamedTuple):
    """What one instruction of the prologue did. Registers are numbered as in machine code (%rsp is 4).

    push: `register`. allocate: `size` bytes. save: `register` at `size` bytes from the frame's base. interrupted: the
    processor pushed its frame, with an error code when `size` is not 0.
    """

    kind: str
    register: int = 0
    size: int = 0


class Unwinding(NamedTuple):
    """To be undone in this order. `frame_register` is None where %rsp is the frame's base.

    The base lies `frame_offset` bytes below what that register holds.
    """

    operations: Tuple[Operation, ...]
    frame_register: Optional[int]
    frame_offset: int


_LEAF = Unwinding((), None, 0)


def unwinding_at(file: BinaryIO, image: PeImage, address: int) -> Unwinding:
    """How to leave the function at this distance from the image's base; a function without an entry is a leaf.

    Raises DecodeError on an entry that is broken, or for another machine.
    """
    if image.machine != _X86_64:
        raise DecodeError("unwind codes of machine %#x" % image.machine)
    entry = _entry_at(file, image, address)
    if entry is None:
        return _LEAF
    begin, _, info = entry
    within = address - begin
    operations: List[Operation] = []
    frame: Optional[Tuple[int, int]] = None
    for _ in range(MOST_CHAINED):
        if info & 1:
            # Another entry's information is shared.
            info = _FUNCTION.unpack(_read(file, image, info & ~1, _FUNCTION.size))[2]
        flags, _, count, register = _read(file, image, info, 4)
        if frame is None and register & 15:
            frame = register & 15, (register >> 4) * 16
        codes = _read(file, image, info + 4, count * 2)
        operations += _operations(codes, within)
        if not flags >> 3 & _CHAINED:
            return Unwinding(tuple(operations), frame[0] if frame else None, frame[1] if frame else 0)
        _, _, info = _FUNCTION.unpack(_read(file, image, info + 4 + (count + 1) // 2 * 4, _FUNCTION.size))
        within = 1 << 32
    raise DecodeError("unwind information chained more than %d times" % MOST_CHAINED)


def _entry_at(file: BinaryIO, image: PeImage, address: int) -> Optional[Tuple[int, int, int]]:
    """(begin, end, unwind information): the table is sorted by begin."""
    if image.exception_table is None:
        return None
    table, size = image.exception_table
    low, high = 0, size // _FUNCTION.size
    while low < high:
        middle = (low + high) // 2
        begin, end, info = _FUNCTION.unpack(_read(file, image, table + middle * _FUNCTION.size, _FUNCTION.size))
        if address < begin:
            high = middle
        elif address >= end:
            low = middle + 1
        else:
            return begin, end, info
    return None


def _operations(codes: bytes, within: int) -> List[Operation]:
    """Those that were done before `within`, bytes from the start of the function. The last one comes first."""
    found = []
    at = 0
    while at + 2 <= len(codes):
        done, code, info = codes[at], codes[at + 1] & 15, codes[at + 1] >> 4
        operands = codes[at + 2 : at + 6]
        operation, slots = _operation(code, info, operands)
        at += 2 * slots
        if operation is not None and done <= within:
            found.append(operation)
    return found


def _operation(code: int, info: int, operands: bytes) -> Tuple[Optional[Operation], int]:
    """The operation, and how many slots of two bytes it takes. None for what moves no integer register."""
    short, long = int.from_bytes(operands[:2], "little"), int.from_bytes(operands, "little")
    if code == 0:
        return Operation(PUSH, info), 1
    if code == 1:
        return (Operation(ALLOCATE, size=long), 3) if info else (Operation(ALLOCATE, size=short * 8), 2)
    if code == 2:
        return Operation(ALLOCATE, size=info * 8 + 8), 1
    if code == 3:
        return Operation(SET_FRAME), 1
    if code == 4:
        return Operation(SAVE, info, short * 8), 2
    if code == 5:
        return Operation(SAVE, info, long), 3
    if code in (6, 8, 9):
        return None, {6: 1, 8: 2, 9: 3}[code]
    if code == 10:
        return Operation(INTERRUPTED, size=info), 1
    raise DecodeError("an unwind code %d" % code)


def _read(file: BinaryIO, image: PeImage, address: int, size: int) -> bytes:
    offset = image.offset_of_address(address)
    if offset is None:
        raise DecodeError("nothing of the file is loaded at %#x" % address)
    return read_exactly(file, offset, size)
