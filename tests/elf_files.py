"""ELF files laid out by hand: headers, one executable segment, sections with a symbol table."""

from __future__ import annotations

import struct
from typing import List, NamedTuple, Sequence, Tuple

PT_LOAD, PT_DYNAMIC, PT_GNU_STACK = 1, 2, 0x6474E551
R, W, X = 4, 2, 1
ET_DYN, EM_386, EM_X86_64 = 3, 3, 62
SHT_STRTAB, SHT_SYMTAB, SHT_DYNSYM = 3, 2, 11
TEXT = 0x1000
"""Where the code lies, in the file and at link time."""


class Segment(NamedTuple):
    """One program header. `content` is put behind the code, unless there is none."""

    type: int
    flags: int
    content: bytes = b""
    align: int = 4


class Symbol(NamedTuple):
    """One entry of the symbol table; a function unless told otherwise."""

    name: bytes
    value: int
    size: int
    type: int = 2
    binding: int = 1
    section: int = 1


def elf_file(
    segments: Sequence[Segment] = (),
    symbols: Sequence[Symbol] = (),
    code: bytes = b"\x90" * 256,
    bits: int = 64,
    table: int = SHT_SYMTAB,
    strings_end: bytes = b"\0",
) -> bytes:
    """A shared library whose first segment holds `code` at `TEXT`."""
    wide = bits == 64
    header = struct.Struct("<16sHHIQQQIHHHHHH" if wide else "<16sHHIIIIIHHHHHH")
    program_header = struct.Struct("<IIQQQQQQ" if wide else "<IIIIIIII")
    section_header = struct.Struct("<IIQQQQIIQQ" if wide else "<IIIIIIIIII")
    entry = struct.Struct("<IBBHQQ" if wide else "<IIIBBH")
    body = bytearray(code)
    placed: List[Tuple[int, int, int, int, int]] = [(PT_LOAD, R | X, TEXT, len(code), TEXT)]
    for segment in segments:
        placed.append((segment.type, segment.flags, TEXT + len(body), len(segment.content), segment.align))
        body += segment.content
    names, entries = b"\0", entry.pack(*([0] * 6))
    for symbol in symbols:
        at, info = len(names), symbol.binding << 4 | symbol.type
        fields = (at, info, 0, symbol.section, symbol.value, symbol.size)
        if not wide:
            fields = (at, symbol.value, symbol.size, info, 0, symbol.section)
        entries += entry.pack(*fields)
        names += symbol.name + b"\0"
    names = names[:-1] + strings_end if symbols else names
    titles = b"\0.text\0.symtab\0.strtab\0.shstrtab\0"
    strings_at = TEXT + len(body) + len(entries)
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 6, TEXT, TEXT, len(code), 0, 0, 1, 0),
        (7, table, 0, 0, TEXT + len(body), len(entries), 3, 1, 8, entry.size),
        (15, SHT_STRTAB, 0, 0, strings_at, len(names), 0, 0, 1, 0),
        (23, SHT_STRTAB, 0, 0, strings_at + len(names), len(titles), 0, 0, 1, 0),
    ]
    sections_at = strings_at + len(names) + len(titles)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    machine = EM_X86_64 if wide else EM_386
    sizes = (header.size, program_header.size, len(placed), section_header.size, len(sections), 4)
    data = header.pack(ident, ET_DYN, machine, 1, TEXT, header.size, sections_at, 0, *sizes)
    for type, flags, offset, size, align in placed:
        if wide:
            data += program_header.pack(type, flags, offset, offset, offset, size, size, align)
        else:
            data += program_header.pack(type, offset, offset, offset, size, size, flags, align)
    data = data.ljust(TEXT, b"\0") + bytes(body) + entries + names + titles
    return data + b"".join(section_header.pack(*fields) for fields in sections)


def dynamic(*entries: Tuple[int, int], bits: int = 64) -> bytes:
    """A dynamic section with its end."""
    return b"".join(struct.pack("<QQ" if bits == 64 else "<II", *entry) for entry in (*entries, (0, 0)))
