"""The headers of a PE file, as far as they tell where its sections are loaded ("PE Format", Microsoft)."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO, NamedTuple, Optional, Tuple, Union

from construct import Int16ul, Int32ul, Padding, Struct

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import read_exactly

__all__ = ["PeImage", "PeSection", "decode_pe"]

MOST_SECTIONS = 96
"""The Windows loader takes no more."""

_DOS_SIGNATURE, _SIGNATURE = b"MZ", b"PE\0\0"
_PE32_PLUS = 0x20B
_dos = Struct(Padding(60), "lfanew" / Int32ul)
# What is left out: the time stamp and the symbol table.
_coff = Struct(
    "machine" / Int16ul, "number_of_sections" / Int16ul, Padding(12), "size_of_optional" / Int16ul, Padding(2)
)
# The directories stand here in PE32+ only; the fourth of them is the exception table.
_optional = Struct(
    "magic" / Int16ul,
    Padding(54),
    "size_of_image" / Int32ul,
    Padding(52),
    "directories" / Struct("address" / Int32ul, "size" / Int32ul)[4],
)
# What is left out: relocations, line numbers and characteristics.
_section = Struct(
    Padding(8),
    "virtual_size" / Int32ul,
    "virtual_address" / Int32ul,
    "size_of_raw_data" / Int32ul,
    "pointer_to_raw_data" / Int32ul,
    Padding(16),
)


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
    if read_exactly(file, 0, len(_DOS_SIGNATURE)) != _DOS_SIGNATURE:
        raise DecodeError("no PE file")
    start = _dos.parse(read_exactly(file, 0, _dos.sizeof())).lfanew
    if read_exactly(file, start, len(_SIGNATURE)) != _SIGNATURE:
        raise DecodeError("no PE file: it has only a DOS header")
    start += len(_SIGNATURE)
    coff = _coff.parse(read_exactly(file, start, _coff.sizeof()))
    if coff.number_of_sections > MOST_SECTIONS:
        raise DecodeError("a PE file with %d sections" % coff.number_of_sections)
    start += _coff.sizeof()
    # A header that ends early leaves the rest out, and the loader takes zeros.
    optional = _optional.parse(read_exactly(file, start, coff.size_of_optional).ljust(_optional.sizeof(), b"\0"))
    table = _section[coff.number_of_sections]
    sections = table.parse(read_exactly(file, start + coff.size_of_optional, table.sizeof()))
    exceptions = optional.directories[3]
    has_exceptions = optional.magic == _PE32_PLUS and exceptions.address and exceptions.size
    return PeImage(
        coff.machine,
        optional.size_of_image,
        tuple(
            PeSection(section.virtual_address, section.pointer_to_raw_data, section.size_of_raw_data)
            for section in sections
        ),
        (exceptions.address, exceptions.size) if has_exceptions else None,
    )
