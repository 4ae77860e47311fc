"""What an ELF file says about itself: program headers, executable stack, text relocations.

Layouts are pyelftools'; its ELFFile is not used, because it follows counts and offsets of the file without a
bound. Every table here is read whole or not at all, and no larger than a loader would take it.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO, List, NamedTuple, Optional, Tuple, Union

from elftools.elf.structs import ELFStructs

from wxtrace.decoders import DecodeError

__all__ = ["ElfImage", "Load", "Section", "decode_elf", "decode_sections", "read_exactly"]

MOST_HEADER_BYTES = 65536
"""The kernel takes no larger program header table (fs/binfmt_elf.c:load_elf_phdrs)."""
MOST_DYNAMIC_BYTES = 65536
MOST_SECTIONS = 1024
MOST_NAME_BYTES = 65536
"""A linked file has some forty sections and thirty dynamic entries."""

PF_X = 1
_DT_NULL, _DT_TEXTREL, _DT_FLAGS, _DF_TEXTREL = 0, 22, 30, 4

Source = Union[bytes, BinaryIO]


class Load(NamedTuple):
    """One PT_LOAD: `filesz` bytes from `offset` of the file stand at `vaddr`. Flags are PF_R, W, X."""

    offset: int
    vaddr: int
    filesz: int
    flags: int


class Section(NamedTuple):
    """One section header with its name."""

    name: bytes
    type: Union[str, int]
    addr: int
    offset: int
    size: int
    link: int
    entsize: int


class ElfImage(NamedTuple):
    """The headers of one file. `type` and `machine` are pyelftools' names (ET_EXEC, EM_X86_64), or hex when unknown.

    `stack_flags` are the PF_ bits of PT_GNU_STACK, None where that header is missing. `text_relocations`: DT_TEXTREL
    or DF_TEXTREL.
    """

    bits: int
    little_endian: bool
    type: str
    machine: str
    loads: Tuple[Load, ...]
    stack_flags: Optional[int]
    text_relocations: bool

    def address_of_offset(self, offset: int, page_size: int) -> Optional[int]:
        """The link-time address of a byte of code in the file; None where no executable PT_LOAD holds it.

        Whole pages are mapped, so a mapping begins at up to one page before its PT_LOAD.
        """
        for load in self.loads:
            if load.flags & PF_X and load.offset // page_size * page_size <= offset < load.offset + load.filesz:
                return load.vaddr + (offset - load.offset)
        return None


def decode_elf(source: Source) -> ElfImage:
    """The headers of an ELF file, given as its bytes or as a seekable binary file.

    Raises DecodeError when it is no ELF file, ends too early, or has tables larger than any loader takes. A broken
    note or dynamic section only leaves its own fact out.
    """
    file = _file(source)
    structs, header = _file_header(file)
    segments = _segments(file, structs, header)
    dynamic = next((segment for segment in segments if segment["p_type"] == "PT_DYNAMIC"), None)
    stack = next((segment for segment in segments if segment["p_type"] == "PT_GNU_STACK"), None)
    return ElfImage(
        bits=structs.elfclass,
        little_endian=structs.little_endian,
        type=_name(header["e_type"]),
        machine=_name(header["e_machine"]),
        loads=tuple(
            Load(part["p_offset"], part["p_vaddr"], part["p_filesz"], part["p_flags"])
            for part in segments
            if part["p_type"] == "PT_LOAD"
        ),
        stack_flags=None if stack is None else stack["p_flags"],
        text_relocations=dynamic is not None and _relocates_text(file, structs, dynamic),
    )


def decode_sections(source: Source) -> List[Section]:
    """The section headers with their names; none at all is an empty list. Raises DecodeError."""
    file = _file(source)
    structs, header = _file_header(file)
    size = structs.Elf_Shdr.sizeof()
    if not header["e_shoff"]:
        return []
    if header["e_shentsize"] != size:
        raise DecodeError("section headers have %d bytes, not %d" % (size, header["e_shentsize"]))
    # More than 65,279 of them would be counted in the first header: no linked file has so many.
    if header["e_shnum"] > MOST_SECTIONS:
        raise DecodeError("more than %d sections" % MOST_SECTIONS)
    table = read_exactly(file, header["e_shoff"], header["e_shnum"] * size)
    headers = [_parse(structs.Elf_Shdr, table, at) for at in range(0, len(table), size)]
    names = b""
    if header["e_shstrndx"] < len(headers):
        strings = headers[header["e_shstrndx"]]
        if strings["sh_size"] <= MOST_NAME_BYTES:
            names = read_exactly(file, strings["sh_offset"], strings["sh_size"])
    return [
        Section(
            names[part["sh_name"] :].partition(b"\0")[0],
            part["sh_type"],
            part["sh_addr"],
            part["sh_offset"],
            part["sh_size"],
            part["sh_link"],
            part["sh_entsize"],
        )
        for part in headers
    ]


def read_exactly(file: BinaryIO, offset: int, size: int) -> bytes:
    """`size` bytes from `offset`. Raises DecodeError where the file does not hold them, or cannot be read."""
    try:
        file.seek(offset)
        data = file.read(size)
    except (OSError, ValueError, OverflowError) as error:
        raise DecodeError("cannot read %d bytes at offset %d: %s" % (size, offset, error)) from None
    if len(data) != size:
        raise DecodeError("the file ends before offset %d" % (offset + size))
    return data


def _file(source: Source) -> BinaryIO:
    return BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source


def _file_header(file: BinaryIO) -> Tuple[ELFStructs, Any]:
    ident = read_exactly(file, 0, 16)
    if ident[:4] != b"\x7fELF":
        raise DecodeError("no ELF file")
    if ident[4] not in (1, 2) or ident[5] not in (1, 2):
        raise DecodeError("an ELF file of unknown class or byte order")
    structs = ELFStructs(little_endian=ident[5] == 1, elfclass=32 if ident[4] == 1 else 64)
    structs.create_basic_structs()
    header = _parse(structs.Elf_Ehdr, read_exactly(file, 0, structs.Elf_Ehdr.sizeof()), 0)
    structs.create_advanced_structs(header["e_type"], header["e_machine"], header["e_ident"]["EI_OSABI"])
    return structs, header


def _segments(file: BinaryIO, structs: ELFStructs, header: Any) -> List[Any]:
    size = structs.Elf_Phdr.sizeof()
    count = header["e_phnum"]
    if not count:
        return []
    if header["e_phentsize"] != size:
        raise DecodeError("program headers have %d bytes, not %d" % (size, header["e_phentsize"]))
    if count * size > MOST_HEADER_BYTES:
        raise DecodeError("more than %d bytes of program headers" % MOST_HEADER_BYTES)
    table = read_exactly(file, header["e_phoff"], count * size)
    return [_parse(structs.Elf_Phdr, table, at) for at in range(0, len(table), size)]


def _relocates_text(file: BinaryIO, structs: ELFStructs, segment: Any) -> bool:
    size = structs.Elf_Dyn.sizeof()
    length = min(segment["p_filesz"], MOST_DYNAMIC_BYTES)
    try:
        table = read_exactly(file, segment["p_offset"], length - length % size)
    except DecodeError:
        return False
    order = "little" if structs.little_endian else "big"
    for at in range(0, len(table), size):
        tag = int.from_bytes(table[at : at + size // 2], order)  # type: ignore[arg-type]
        value = int.from_bytes(table[at + size // 2 : at + size], order)  # type: ignore[arg-type]
        if tag == _DT_NULL:
            break
        if tag == _DT_TEXTREL or (tag == _DT_FLAGS and value & _DF_TEXTREL):
            return True
    return False


def _parse(layout: Any, data: bytes, at: int) -> Any:
    try:
        return layout.parse(data[at : at + layout.sizeof()])
    except Exception as error:
        # pyelftools lets more than its own exceptions through, and its construct is not the construct of PyPI.
        raise DecodeError("no %s: %s" % (layout.name, error)) from None


def _name(value: Union[str, int]) -> str:
    return value if isinstance(value, str) else hex(value)
