"""Which BPF programs are attached to which security hooks: bpf(2), which tells root (CAP_SYS_ADMIN) alone."""

from __future__ import annotations

import ctypes
import os
import struct
import time
from typing import Dict, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.live.arch import SYS_BPF

__all__ = ["security_programs"]

_PROG_GET_NEXT_ID, _PROG_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD = 11, 13, 15
_TYPE_LSM = 29
MOST_PROGRAMS = 4096
_ENOENT = 2
_INFO_SIZE, _NAME_AT, _NAME_SIZE, _HOOK_AT = 232, 64, 16, 224
"""struct bpf_prog_info up to attach_btf_id (include/uapi/linux/bpf.h); an older kernel fills less of it."""
_BTF = "/sys/kernel/btf/vmlinux"
_HOOK_PREFIX = "bpf_lsm_"
_ATTR_SIZE = 16

_libc = ctypes.PyDLL(None, use_errno=True)
_last: Tuple[float, Optional[Dict[str, str]]] = (0.0, None)


def security_programs() -> Optional[Dict[str, str]]:
    """Hook and name of the loaded BPF_PROG_TYPE_LSM programs by id, as "file_mprotect deny"; None where nobody tells.

    "?" for a hook that the kernel does not name (before Linux 5.18). Looked up once a second only.
    """
    global _last
    now = time.monotonic()
    if now - _last[0] > 1 or not _last[0]:
        _last = now, _look_up()
    return _last[1]


def _look_up() -> Optional[Dict[str, str]]:
    found: Dict[int, Tuple[int, str]] = {}
    id = 0
    for _ in range(MOST_PROGRAMS):
        attr = ctypes.create_string_buffer(struct.pack("<IIII", id, 0, 0, 0), _ATTR_SIZE)
        if _libc.syscall(SYS_BPF, _PROG_GET_NEXT_ID, attr, _ATTR_SIZE) < 0:
            return _with_hooks(found) if ctypes.get_errno() == _ENOENT else None
        (id,) = struct.unpack_from("<I", attr, 4)
        attr = ctypes.create_string_buffer(struct.pack("<IIII", id, 0, 0, 0), _ATTR_SIZE)
        fd = _libc.syscall(SYS_BPF, _PROG_GET_FD_BY_ID, attr, _ATTR_SIZE)
        if fd < 0:
            if ctypes.get_errno() == _ENOENT:
                continue
            return None
        try:
            info = ctypes.create_string_buffer(_INFO_SIZE)
            attr = ctypes.create_string_buffer(struct.pack("<IIQ", fd, _INFO_SIZE, ctypes.addressof(info)), _ATTR_SIZE)
            if _libc.syscall(SYS_BPF, _OBJ_GET_INFO_BY_FD, attr, _ATTR_SIZE) < 0:
                return None
        finally:
            os.close(fd)
        if struct.unpack_from("<I", info)[0] == _TYPE_LSM:
            name = info.raw[_NAME_AT : _NAME_AT + _NAME_SIZE].partition(b"\0")[0]
            found[id] = struct.unpack_from("<I", info, _HOOK_AT)[0], os.fsdecode(name)
    return None


def _with_hooks(programs: Dict[int, Tuple[int, str]]) -> Dict[str, str]:
    names: Dict[int, str] = {}
    if programs:
        # The kernel's type table is long; nobody needs it where no program is loaded.
        from wxtrace.decoders.btf import type_names

        try:
            with open(_BTF, "rb") as file:
                names = type_names(file.read(), {hook for hook, _ in programs.values() if hook})
        except (OSError, DecodeError):
            pass
    hooks = {id: names.get(hook, "?").replace(_HOOK_PREFIX, "", 1) for id, (hook, _) in programs.items()}
    return {str(id): "%s %s" % (hooks[id], name) for id, (_, name) in programs.items()}
