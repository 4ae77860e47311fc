"""What the kernel keeps of a file, without a word to whoever serves it: statx(2) with AT_STATX_DONT_SYNC.

stat(2) of a file on FUSE asks its server (fs/fuse/dir.c:fuse_update_get_attr), which may be a tracee that stands still.
Only for the links of /proc that lead to an open file: what is behind a path has to be looked up first.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple, Optional

from wxtrace.live.arch import SYS_STATX

__all__ = ["KnownFile", "known_file"]

_AT_FDCWD, _AT_STATX_DONT_SYNC = -100, 0x4000
_BASIC_STATS, _MNT_ID = 0x7FF, 0x1000
_STATX = struct.Struct("<I16xIIH106xIIQ104x")
"""stx_mask, stx_uid, stx_gid, stx_mode, stx_dev_major, stx_dev_minor, stx_mnt_id (include/uapi/linux/stat.h)"""

_libc = ctypes.PyDLL(None, use_errno=True)


class KnownFile(NamedTuple):
    """`mode` as st_mode, `dev` as maps writes it, `mount` as mountinfo numbers it (None before Linux 5.8)."""

    mode: int
    uid: int
    gid: int
    dev: str
    mount: Optional[int]


def known_file(path: str) -> KnownFile:
    """The file behind a link of /proc. Raises OSError."""
    buffer = ctypes.create_string_buffer(_STATX.size)
    if _libc.syscall(SYS_STATX, _AT_FDCWD, os.fsencode(path), _AT_STATX_DONT_SYNC, _BASIC_STATS | _MNT_ID, buffer) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    mask, uid, gid, mode, major, minor, mount = _STATX.unpack(buffer.raw)
    return KnownFile(mode, uid, gid, "%02x:%02x" % (major, minor), mount if mask & _MNT_ID else None)
