"""The kernel's own type information (/sys/kernel/btf/vmlinux), as far as names of types (include/uapi/linux/btf.h).

`struct`, not construct: a hundred thousand records lie before the ones that are asked for.
"""

from __future__ import annotations

import os
import struct
from typing import Dict, Iterable

from wxtrace.decoders import DecodeError

__all__ = ["type_names"]

_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MAGIC = 0xEB9F
_NAME_SIZE = 256

_FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes behind a record by kind: INT, ARRAY, VAR, DECL_TAG."""
_PER_MEMBER = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
"""Bytes behind a record for each of its members: STRUCT, UNION, ENUM, FUNC_PROTO, DATASEC, ENUM64."""
_LAST_KIND = 19


def type_names(data: bytes, ids: Iterable[int]) -> Dict[int, str]:
    """The names of the types with these ids (from 1); those that are not there are left out. Raises DecodeError."""
    wanted = set(ids)
    found: Dict[int, str] = {}
    try:
        magic, _, _, header, types, size, strings, strings_size = _HEADER.unpack_from(data)
        if magic != _MAGIC or len(data) < header + max(types + size, strings + strings_size):
            raise DecodeError("not BTF, or cut")
        at, end = header + types, header + types + size
        id = 0
        while at < end and len(found) < len(wanted):
            id += 1
            name, info, _ = _TYPE.unpack_from(data, at)
            if id in wanted:
                start = header + strings + name
                found[id] = os.fsdecode(data[start : start + _NAME_SIZE].partition(b"\0")[0])
            kind = info >> 24 & 0x1F
            if not 1 <= kind <= _LAST_KIND:
                raise DecodeError("BTF type %d is of unknown kind %d" % (id, kind))
            at += _TYPE.size + _FIXED.get(kind, 0) + _PER_MEMBER.get(kind, 0) * (info & 0xFFFF)
    except struct.error as error:
        raise DecodeError("not BTF: %s" % error) from None
    return found
