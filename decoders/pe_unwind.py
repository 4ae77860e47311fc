"""How a function of a 64-bit PE file is left: its unwind codes ("x64 exception handling", Microsoft)."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO, List, NamedTuple, Optional, Tuple

from construct import (
    BitsInteger,
    BitStruct,
    ConstructError,
    Int8ul,
    Int16ul,
    Int32ul,
    Nibble,
    Padding,
    Pass,
    Struct,
    Switch,
)

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import read_exactly
from wxtrace.decoders.pe import PeImage

__all__ = ["ALLOCATE", "PUSH", "SAVE", "SET_FRAME", "Unwinding", "unwinding_at"]

PUSH, ALLOCATE, SET_FRAME, SAVE, INTERRUPTED = "push", "allocate", "set-frame", "save", "interrupted"

MOST_CHAINED = 32
_CHAINED = 4
_X86_64 = 0x8664

_function = Struct("begin" / Int32ul, "end" / Int32ul, "info" / Int32ul)
_info = Struct(
    "first" / BitStruct("flags" / BitsInteger(5), "version" / BitsInteger(3)),
    Padding(1),
    "count" / Int8ul,
    "frame" / BitStruct("offset" / Nibble, "register" / Nibble),
)


def _short_or_long(step: Any) -> int:
    """UWOP_ALLOC_LARGE has a long operand where its information is not 0."""
    return -1 if step.operation.code == 1 and step.operation.info else int(step.operation.code)


_step = Struct(
    "done" / Int8ul,
    "operation" / BitStruct("info" / Nibble, "code" / Nibble),
    # UWOP_ALLOC_LARGE, SAVE_NONVOL and SAVE_XMM128, of which two have a long form of their own.
    "operand" / Switch(_short_or_long, {-1: Int32ul, 1: Int16ul, 4: Int16ul, 5: Int32ul, 8: Int16ul, 9: Int32ul}, Pass),
)


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
    info = entry.info
    within = address - entry.begin
    operations: List[Operation] = []
    frame: Optional[Tuple[int, int]] = None
    for _ in range(MOST_CHAINED):
        if info & 1:
            # Another entry's information is shared.
            info = _declared(_function, file, image, info & ~1).info
        head = _declared(_info, file, image, info)
        if frame is None and head.frame.register:
            frame = head.frame.register, head.frame.offset * 16
        codes = info + _info.sizeof()
        operations += _operations(_read(file, image, codes, head.count * 2), within)
        if not head.first.flags & _CHAINED:
            return Unwinding(tuple(operations), frame[0] if frame else None, frame[1] if frame else 0)
        # Behind an even number of codes.
        info = _declared(_function, file, image, codes + (head.count + 1) // 2 * 4).info
        within = 1 << 32
    raise DecodeError("unwind information chained more than %d times" % MOST_CHAINED)


def _entry_at(file: BinaryIO, image: PeImage, address: int) -> Any:
    """The function's entry, None without one: the table is sorted by begin."""
    if image.exception_table is None:
        return None
    table, size = image.exception_table
    low, high = 0, size // _function.sizeof()
    while low < high:
        middle = (low + high) // 2
        entry = _declared(_function, file, image, table + middle * _function.sizeof())
        if address < entry.begin:
            high = middle
        elif address >= entry.end:
            low = middle + 1
        else:
            return entry
    return None


def _operations(codes: bytes, within: int) -> List[Operation]:
    """Those that were done before `within`, bytes from the start of the function. The last one comes first."""
    found = []
    stream = BytesIO(codes)
    while stream.tell() < len(codes):
        try:
            step = _step.parse_stream(stream)
        except ConstructError as error:
            raise DecodeError("unwind codes that end too early: %s" % error) from None
        operation = _operation(step.operation.code, step.operation.info, step.operand)
        if operation is not None and step.done <= within:
            found.append(operation)
    return found


def _operation(code: int, info: int, operand: Optional[int]) -> Optional[Operation]:
    """None for what moves no integer register."""
    size = operand or 0
    if code == 0:
        return Operation(PUSH, info)
    if code == 1:
        return Operation(ALLOCATE, size=size if info else size * 8)
    if code == 2:
        return Operation(ALLOCATE, size=info * 8 + 8)
    if code == 3:
        return Operation(SET_FRAME)
    if code == 4:
        return Operation(SAVE, info, size * 8)
    if code == 5:
        return Operation(SAVE, info, size)
    if code in (6, 8, 9):
        return None
    if code == 10:
        return Operation(INTERRUPTED, size=info)
    raise DecodeError("an unwind code %d" % code)


def _declared(layout: Any, file: BinaryIO, image: PeImage, address: int) -> Any:
    return layout.parse(_read(file, image, address, layout.sizeof()))


def _read(file: BinaryIO, image: PeImage, address: int, size: int) -> bytes:
    offset = image.offset_of_address(address)
    if offset is None:
        raise DecodeError("nothing of the file is loaded at %#x" % address)
    return read_exactly(file, offset, size)
