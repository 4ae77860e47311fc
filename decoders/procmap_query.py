"""The argument of the PROCMAP_QUERY ioctl on /proc/PID/maps (include/uapi/linux/fs.h, Linux 6.11).

`struct`, not construct: this is asked at every file mapping, and construct costs thirty times the ioctl.
"""

from __future__ import annotations

import os
import struct

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmaps import MapLine

__all__ = ["PROCMAP_QUERY", "QUERY_SIZE", "VMA_EXECUTABLE", "decode_answer", "encode_query"]

PROCMAP_QUERY = 0xC0686611
"""_IOWR(PROCFS_IOCTL_MAGIC 'f', 17, struct procmap_query)"""
COVERING_OR_NEXT_VMA = 0x10
VMA_EXECUTABLE = 0x04

# size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode,
# dev_major, dev_minor, vma_name_size, build_id_size, vma_name_addr, build_id_addr
_LAYOUT = struct.Struct("<9Q4I2Q")
QUERY_SIZE = _LAYOUT.size

_PERMS = tuple(
    "".join(letter if bits & bit else "-" for letter, bit in (("r", 1), ("w", 2), ("x", 4)))
    + ("s" if bits & 8 else "p")
    for bits in range(16)
)


def encode_query(address: int, name_buffer: int, name_size: int, only: int = 0) -> bytes:
    """Ask for the mapping that covers `address`, or else the next one above it, among those of the kind `only`."""
    flags = COVERING_OR_NEXT_VMA | only
    return _LAYOUT.pack(QUERY_SIZE, flags, address, 0, 0, 0, 0, 0, 0, 0, 0, name_size, 0, name_buffer, 0)


def decode_answer(data: bytes, name: bytes) -> MapLine:
    """The answer as the maps line it stands for. Raises DecodeError when `data` has another size."""
    if len(data) != QUERY_SIZE:
        raise DecodeError("a procmap_query has %d bytes, not %d" % (QUERY_SIZE, len(data)))
    (_, _, _, start, end, bits, _, offset, inode, major, minor, name_size, _, _, _) = _LAYOUT.unpack(data)
    text = name[: name_size - 1] if name_size else b""
    return MapLine(start, end, _PERMS[bits & 15], offset, "%02x:%02x" % (major, minor), inode, os.fsdecode(text))
