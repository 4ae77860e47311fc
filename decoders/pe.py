"""The headers of a PE file, as far as they tell where its sections are loaded ("PE Format", Microsoft).

`struct`, not construct: a few numbers of each header count here.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO, NamedTuple, Optional, Tuple, Union

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import read_exactly

__all__ = ["PeImage", "PeSection", "decode_pe"]

MOST_SECTIONS = 96
"""The Windows loader takes no more."""

_LFANEW = 0x3C
# Machine, NumberOfSections, (TimeDateStamp, symbols), SizeOfOptionalHeader, Characteristics
_COFF = struct.Struct("<HH12xHH")
# Name, VirtualSize, VirtualAddress, SizeOfRawData, PointerToRawData, (relocations, lines), Characteristics
_SECTION = struct.Struct("<8sIIII12xI")
_PE32_PLUS = 0x20B
_SIZE_OF_IMAGE = 56
_EXCEPTION_TABLE = 112 + 3 * 8  # in PE32+, the fourth data directory


class PeSection(NamedTuple):
    """`size` bytes from `offset` of the file stand at `address` from the image's base."""

    address: int
    offset: int
    size: int


class PeImage(NamedTuple):
    """Where the parts of a PE file are loaded. `machine`: 0x8664 for x86-64, 0x14c for i386.

    `size` in memory, in bytes. `exception_table`: (address, size) of .pdata, None where there is none.
    """

    machine: int
    size: int
    sections: Tuple[PeSection, ...]
    exception_table: Optional[Tuple[int, int]]

    def address_of_offset(self, offset: int) -> Optional[int]:
        """How far from the image's base a byte of the file is loaded; None when no section holds it."""
        for section in self.sections:
            if section.offset <= offset < section.offset + section.size:
                return section.address + offset - section.offset
        return None

    def offset_of_address(self, address: int) -> Optional[int]:
        """Where in the file a byte stands that is loaded so far from the image's base; None where it is in none."""
        for section in self.sections:
            if section.address <= address < section.address + section.size:
                return section.offset + address - section.address
        return None


def decode_pe(source: Union[bytes, BinaryIO]) -> PeImage:
    """The headers of a PE file, given as its bytes or as a seekable binary file. Raises DecodeError."""
    file: BinaryIO = BytesIO(source) if isinstance(source, bytes) else source
    if read_exactly(file, 0, 2) != b"MZ":
        raise DecodeError("no PE file")
    (start,) = struct.unpack("<I", read_exactly(file, _LFANEW, 4))
    if read_exactly(file, start, 4) != b"PE\0\0":
        raise DecodeError("no PE file: it has only a DOS header")
    machine, count, optional_size, _ = _COFF.unpack(read_exactly(file, start + 4, _COFF.size))
    if count > MOST_SECTIONS:
        raise DecodeError("a PE file with %d sections" % count)
    optional = read_exactly(file, start + 4 + _COFF.size, optional_size)
    table = read_exactly(file, start + 4 + _COFF.size + optional_size, count * _SECTION.size)
    return PeImage(
        machine,
        _number(optional, _SIZE_OF_IMAGE),
        tuple(PeSection(address, offset, size) for _, _, address, size, offset, _ in _SECTION.iter_unpack(table)),
        _exception_table(optional),
    )


def _exception_table(optional: bytes) -> Optional[Tuple[int, int]]:
    if _number(optional, 0) & 0xFFFF != _PE32_PLUS:
        return None
    address, size = _number(optional, _EXCEPTION_TABLE), _number(optional, _EXCEPTION_TABLE + 4)
    return (address, size) if address and size else None


def _number(data: bytes, at: int) -> int:
    """Four bytes; a header that ends before them leaves them out, and the loader takes zeros."""
    return int.from_bytes(data[at : at + 4], "little")
