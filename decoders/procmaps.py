"""Lines of /proc/PID/maps and /proc/PID/smaps (fs/proc/task_mmu.c:show_map_vma, show_smap)."""

from __future__ import annotations

import os
import re
from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

from wxtrace.decoders import DecodeError

__all__ = ["MapLine", "Vma", "parse_maps", "parse_smaps"]


class MapLine(NamedTuple):
    """One line of maps. Addresses and offset in bytes; `path` keeps undecodable bytes as surrogates (PEP 383)."""

    start: int
    end: int
    perms: str
    offset: int
    dev: str
    inode: int
    path: str


class Vma(NamedTuple):
    """One smaps entry: its maps line and the two facts maps does not show."""

    line: MapLine
    flags: Tuple[str, ...]
    anonymous: int
    swap: int
    pkey: int

    def has(self, flag: str) -> bool:
        """Whether VmFlags lists this two-letter flag (Documentation/filesystems/proc.rst)."""
        return flag in self.flags


_LINE = re.compile(
    rb"([0-9a-f]{1,16})-([0-9a-f]{1,16}) ([r-][w-][x-][sp]) ([0-9a-f]{1,16}) "
    rb"([0-9a-f]{2,}:[0-9a-f]{2,}) (\d{1,20}) *(.*)",
    re.DOTALL,
)
_FIELD = re.compile(rb"([A-Za-z_]+): *(.*)")


def _map_line(raw: bytes) -> Optional[MapLine]:
    match = _LINE.fullmatch(raw)
    if match is None:
        return None
    low, high, perms, offset, dev, inode, path = match.groups()
    start, end = int(low, 16), int(high, 16)
    if start >= end:
        return None
    return MapLine(
        start,
        end,
        perms.decode(),
        int(offset, 16),
        dev.decode(),
        int(inode),
        # The kernel escapes nothing but the newline in this field.
        os.fsdecode(path.replace(b"\\012", b"\n")),
    )


def parse_maps(text: bytes) -> List[MapLine]:
    """Every line of a maps file, in its order. Raises DecodeError on a line the kernel cannot have written."""
    lines = []
    for raw in text.split(b"\n"):
        if raw:
            line = _map_line(raw)
            if line is None:
                raise DecodeError("not a line of /proc/PID/maps: %r" % raw[:80])
            lines.append(line)
    return lines


def parse_smaps(lines: Iterable[bytes]) -> Iterator[Vma]:
    """Entries of an smaps file as they become complete. Raises DecodeError when the text starts with no maps line."""
    current: Optional[MapLine] = None
    flags: Tuple[str, ...] = ()
    anonymous = swap = pkey = 0
    for raw in lines:
        raw = raw.rstrip(b"\n")
        field = _FIELD.fullmatch(raw)
        if field is None:
            line = _map_line(raw)
            if line is None:
                raise DecodeError("not a line of /proc/PID/smaps: %r" % raw[:80])
            if current is not None:
                yield Vma(current, flags, anonymous, swap, pkey)
            current, flags, anonymous, swap, pkey = line, (), 0, 0, 0
        elif current is None:
            raise DecodeError("an smaps field before any mapping: %r" % raw[:80])
        else:
            name, value = field.groups()
            if name == b"VmFlags":
                flags = tuple(value.decode("ascii", "replace").split())
            elif name == b"Anonymous":
                anonymous = _kilobytes(value)
            elif name == b"Swap":
                swap = _kilobytes(value)
            elif name == b"ProtectionKey":
                pkey = _kilobytes(value + b" kB") // 1024
    if current is not None:
        yield Vma(current, flags, anonymous, swap, pkey)


def _kilobytes(value: bytes) -> int:
    number = value.split()[:1]
    if not number or not number[0].isdigit() or len(number[0]) > 18:
        raise DecodeError("not a size in kB: %r" % value[:40])
    return int(number[0]) * 1024
