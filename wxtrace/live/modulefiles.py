"""The files behind executable mappings, opened with care: what a target names may be a pipe, a device or a trap.

Runs in the unwinding process; nothing here may import ptrace.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Dict, List, NamedTuple, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elf import ElfImage, decode_elf, read_exactly
from wxtrace.decoders.procmaps import MapLine
from wxtrace.live.arch import CODE, PAGE_SIZE
from wxtrace.live.stacksample import StackSample
from wxtrace.model.frames import ANONYMOUS

if TYPE_CHECKING:
    from wxtrace.decoders.pe import PeImage

__all__ = ["Module", "Modules"]

MOST_FILE_BYTES = 8 << 30
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DELETED = " (deleted)"
_DOS_SIGNATURE = b"MZ"


class Module(NamedTuple):
    """One file (or [vdso]) that code is mapped from. `bias` is what loading added to its link-time addresses.

    `base` is where it is loaded, in bytes. Where `elf` is None, for files of another kind and those that cannot be had
    any more, `bias` means nothing.
    """

    name: str
    base: int
    bias: int
    file: Optional[BinaryIO]
    elf: Optional[ElfImage]
    pe: Optional[PeImage] = None


class Modules:
    """The modules of one sample, by the mapping that an address lies in; `root` is the target's root folder."""

    def __init__(self, sample: StackSample, root: Optional[int]) -> None:
        self._sample = sample
        self._root = root
        self._known: Dict[int, Module] = {}

    def at(self, address: int) -> Optional[Module]:
        """The module that holds this code; None where nothing executable is mapped."""
        line = self._sample.mapping_at(address)
        if line is None:
            return None
        module = self._known.get(line.start)
        if module is None:
            module = self._known[line.start] = self._module(line)
        return module

    def elf_files(self) -> List[Module]:
        """Every module that is an ELF file for the code at the instruction pointer, once each.

        A second mapping of the text of a program that is linked to a fixed address is none: libdw would take it for
        that program once more, at the same address, and then know of neither.
        """
        found: Dict[int, Module] = {}
        for line in self._sample.mappings:
            module = self.at(line.start)
            elf = module.elf if module is not None else None
            if module is None or elf is None or elf.machine != CODE[self._sample.bits].elf_machine:
                continue
            if elf.type != "ET_EXEC" or module.bias == 0:
                found.setdefault(module.base, module)
        return list(found.values())

    def code_before(self, address: int, size: int) -> Optional[bytes]:
        """What the file holds before an address of its code; None when it cannot be read."""
        line, module = self._sample.mapping_at(address), self.at(address)
        if line is None or module is None or module.file is None:
            return None
        start = max(address - size, line.start)
        offset: Optional[int] = start - line.start + line.offset
        if module.pe is not None:
            offset = module.pe.offset_of_address(start - module.base)
        if offset is None:
            return None
        try:
            module.file.seek(offset)
            return module.file.read(address - start)
        except (OSError, ValueError, OverflowError):
            return None

    def _module(self, line: MapLine) -> Module:
        name = line.path[: -len(_DELETED)] if line.path.endswith(_DELETED) else line.path
        if line.path == "[vdso]" and self._sample.vdso:
            return _elf_module(name, line, _in_memory(self._sample.vdso))
        if not line.inode or not line.path.startswith("/"):
            return self._image_around(line) or Module(name or ANONYMOUS, line.start, 0, None, None)
        file = self._open(line, name)
        if file is None:
            return Module(name, line.start - line.offset, 0, None, None)
        try:
            if read_exactly(file, 0, len(_DOS_SIGNATURE)) == _DOS_SIGNATURE:
                # Not for every file: construct takes long to import.
                from wxtrace.decoders.pe import decode_pe

                return _pe_module(name, line, file, decode_pe(file))
        except DecodeError:
            pass
        return _elf_module(name, line, file)

    def _image_around(self, line: MapLine) -> Optional[Module]:
        """The PE file that begins below anonymous code and reaches up to it."""
        header = max((header for header in self._sample.headers if header.start <= line.start), default=None)
        if header is None:
            return None
        module = self._known.get(header.start)
        if module is None:
            module = self._known[header.start] = self._module(header)
        reaches = module.pe is not None and line.start < header.start + module.pe.size
        return module._replace(base=header.start) if reaches else None

    def _open(self, line: MapLine, path: str) -> Optional[BinaryIO]:
        """By its path from our root, as the kernel wrote it, or from the target's in another mount namespace.

        A deleted file by the mapping itself, while the target lives (proc(5)).
        """
        places: List[Tuple[str, Optional[int]]] = [(path, None)]
        if self._root is not None:
            places.append((path.lstrip("/"), self._root))
        places.append(("/proc/%d/map_files/%x-%x" % (self._sample.tid, line.start, line.end), None))
        for name, folder in places:
            try:
                if not _is_it(os.stat(name, dir_fd=folder), line):
                    continue
                fd = os.open(name, _OPEN, dir_fd=folder)
            except (OSError, ValueError):
                continue
            if _is_it(os.fstat(fd), line):
                return os.fdopen(fd, "rb")
            os.close(fd)
        return None


def _is_it(found: os.stat_result, line: MapLine) -> bool:
    """Whether this is the file that was mapped.

    btrfs and overlayfs show one anonymous device (major 0) in maps and another one in stat(2).
    """
    if not stat.S_ISREG(found.st_mode) or found.st_ino != line.inode or found.st_size > MOST_FILE_BYTES:
        return False
    major, _, minor = line.dev.partition(":")
    same = (os.major(found.st_dev), os.minor(found.st_dev)) == (int(major, 16), int(minor, 16))
    return same or os.major(found.st_dev) == int(major, 16) == 0


def _in_memory(data: bytes) -> BinaryIO:
    """A file that libdw can map, too."""
    fd = os.memfd_create("vdso", os.MFD_CLOEXEC)
    file = os.fdopen(fd, "w+b")
    file.write(data)
    file.flush()
    return file


def _elf_module(name: str, line: MapLine, file: BinaryIO) -> Module:
    try:
        elf = decode_elf(file)
    except DecodeError:
        return Module(name, line.start - line.offset, 0, file, None)
    address = elf.address_of_offset(line.offset, PAGE_SIZE)
    if address is None or not elf.loads:
        return Module(name, line.start - line.offset, 0, file, None)
    bias = line.start - address
    base = bias + min(load.vaddr for load in elf.loads) // PAGE_SIZE * PAGE_SIZE
    return Module(name, base, bias, file, elf) if 0 <= base <= line.start else Module(name, line.start, 0, file, None)


def _pe_module(name: str, line: MapLine, file: BinaryIO, image: PeImage) -> Module:
    address = image.address_of_offset(line.offset)
    base = line.start - (address if address is not None else line.offset)
    return Module(name, max(base, 0), 0, file, None, image)
