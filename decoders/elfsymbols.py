"""The function an address of an ELF file lies in, by .symtab or else .dynsym.

Tables are read whole and walked once with `struct`: a large program has a million symbols, and a declared layout
takes ten microseconds for each.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import BinaryIO, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import Section, Source, decode_elf, decode_sections, read_exactly

__all__ = ["functions_at"]

MOST_TABLE_BYTES = 24 << 20
"""A million symbols."""
MOST_NAME_BYTES = 4096

_FUNCTION_TYPES = frozenset({0, 2, 10})  # STT_NOTYPE, STT_FUNC, STT_GNU_IFUNC
_NO_TYPE = 0
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1


class _Symbol(NamedTuple):
    value: int
    size: int
    typed: bool
    binding: int
    name: int


def functions_at(source: Source, addresses: Iterable[int]) -> Dict[int, str]:
    """For each link-time address the function that holds it; those in no function are left out.

    Names stay as the linker has them (C++ mangled), undecodable bytes as surrogates (PEP 383). Raises DecodeError
    when the file is no ELF file or its section headers or symbol table are broken.
    """
    file: BinaryIO = source if not isinstance(source, bytes) else BytesIO(source)
    image = decode_elf(file)
    sections = decode_sections(file)
    table = _symbol_table(sections)
    if table is None:
        return {}
    if table.size > MOST_TABLE_BYTES:
        raise DecodeError("a symbol table of %d bytes" % table.size)
    if table.link >= len(sections):
        raise DecodeError("a symbol table without a string table")
    wanted = sorted(set(addresses))
    best: List[Optional[_Symbol]] = [None] * len(wanted)
    for symbol in _symbols(read_exactly(file, table.offset, table.size), image.bits, image.little_endian):
        for place, address in enumerate(wanted):
            if symbol.value <= address and _nearer(symbol, best[place]):
                best[place] = symbol
    names = sections[table.link]
    # A label without a size reaches to the next one, and only .symtab has them all.
    complete = table.type == "SHT_SYMTAB"
    found = {}
    for address, nearest in zip(wanted, best):
        if nearest is not None and (address < nearest.value + nearest.size or (complete and not nearest.size)):
            name = _name(file, names, nearest.name)
            if name:
                found[address] = name
    return found


def _symbol_table(sections: List[Section]) -> Optional[Section]:
    """.symtab has every function, .dynsym the exported ones."""
    for kind in ("SHT_SYMTAB", "SHT_DYNSYM"):
        for section in sections:
            if section.type == kind and section.size:
                return section
    return None


def _symbols(table: bytes, bits: int, little_endian: bool) -> Iterator[_Symbol]:
    """The functions that are defined here (gABI, "Symbol Table")."""
    order = "<" if little_endian else ">"
    layout = struct.Struct(order + ("IBBHQQ" if bits == 64 else "IIIBBH"))
    for entry in layout.iter_unpack(table[: len(table) - len(table) % layout.size]):
        name, info, section, value, size = _fields(entry, bits)
        kind = info & 15
        if kind in _FUNCTION_TYPES and section not in (_UNDEFINED, _ABSOLUTE) and value:
            yield _Symbol(value, size, kind != _NO_TYPE, info >> 4, name)


def _fields(entry: Tuple[int, ...], bits: int) -> Tuple[int, int, int, int, int]:
    if bits == 64:
        name, info, _, section, value, size = entry
    else:
        name, value, size, info, _, section = entry
    return name, info, section, value, size


def _nearer(one: _Symbol, other: Optional[_Symbol]) -> bool:
    """Nearest below; of those at one address a real function with a size, and what is exported."""
    if other is None or one.value != other.value:
        return other is None or one.value > other.value
    return (one.typed, bool(one.size), one.binding) > (other.typed, bool(other.size), other.binding)


def _name(file: BinaryIO, names: Section, offset: int) -> Optional[str]:
    if not 0 < offset < names.size:
        return None
    try:
        file.seek(names.offset + offset)
        data = file.read(min(MOST_NAME_BYTES, names.size - offset))
    except (OSError, ValueError, OverflowError):
        return None
    name, end, _ = data.partition(b"\0")
    return name.decode("utf-8", "surrogateescape") if end else None
