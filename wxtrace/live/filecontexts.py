"""The label that the policy's file contexts give a path, which is what restorecon would set: asked of libselinux."""

from __future__ import annotations

import ctypes
import os
import stat
from functools import cache
from typing import Any, Optional, Tuple

__all__ = ["NO_LABEL", "file_context"]

NO_LABEL = "<<none>>"
"""A path that restorecon leaves alone."""
_CTX_FILE, _CALLBACK_LOG = 0, 0
# The library would write its complaints to the terminal of the program.
_SILENT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p)(lambda _kind, _text: 0)


def file_context(path: str, library: str = "libselinux.so.1") -> Optional[str]:
    """The context of a regular file at this path (selabel_lookup(3)), NO_LABEL where it has none of its own.

    None where nobody can tell: there is no such library here, or no file contexts. The path itself is not looked at.
    """
    selinux, handle = _opened(library)
    if not handle:
        return None
    found = ctypes.c_char_p()
    if selinux.selabel_lookup_raw(ctypes.c_void_p(handle), ctypes.byref(found), os.fsencode(path), stat.S_IFREG):
        return NO_LABEL
    label = os.fsdecode(found.value or b"")
    selinux.freecon(found)
    return label


@cache
def _opened(library: str) -> Tuple[Any, Optional[int]]:
    """Read once: it takes longer than all the rest of a probe."""
    try:
        selinux = ctypes.CDLL(library)
        selinux.selinux_set_callback(_CALLBACK_LOG, _SILENT)
        selinux.selabel_open.restype = ctypes.c_void_p
        return selinux, selinux.selabel_open(_CTX_FILE, None, 0)
    except (OSError, AttributeError):
        return None, None
