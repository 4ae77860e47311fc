"""Rights that a program should have had from its file, and did not get: what runs is then not what would have run.

exec(2) honours the set-user-ID and set-group-ID bits neither under NO_NEW_PRIVS nor under a tracer without
CAP_SYS_PTRACE (fs/exec.c:bprm_fill_uid, security/commoncap.c). Mounts with nosuid take them away without us.
"""

from __future__ import annotations

import os
import stat
from typing import Optional

from wxtrace.decoders import DecodeError
from wxtrace.decoders.proctext import parse_mountinfo, parse_status
from wxtrace.live.procfs import read_proc
from wxtrace.live.statx import KnownFile, known_file

__all__ = ["lost_rights"]


def lost_rights(tid: int) -> Optional[str]:
    """What a process that has just called exec was denied, in words, or None. One statx call for most programs."""
    try:
        file = known_file("/proc/%d/exe" % tid)
    except OSError:
        return None
    if not file.mode & (stat.S_ISUID | stat.S_ISGID) or _lies_on_nosuid(tid, file):
        return None
    status = parse_status(read_proc(tid, "status", 65536))
    for bit, owner, line in ((stat.S_ISUID, file.uid, "Uid"), (stat.S_ISGID, file.gid, "Gid")):
        # Real, effective, saved, file system.
        numbers = status.get(line, "").split()
        if file.mode & bit and len(numbers) == 4 and numbers[1] != str(owner):
            name = "set-user-ID" if line == "Uid" else "set-group-ID"
            advice = "; trace it as root to see it as it is" if os.geteuid() else ""
            return "it is %s, and under a tracer without privileges it runs without the rights of its owner%s" % (
                name,
                advice,
            )
    return None


def _lies_on_nosuid(tid: int, file: KnownFile) -> bool:
    """Where nobody can tell, too: then the loss may not be ours."""
    try:
        mounts = parse_mountinfo(read_proc(tid, "mountinfo"))
    except DecodeError:
        return True
    found = [mount for mount in mounts if (mount.id == file.mount if file.mount is not None else mount.dev == file.dev)]
    return not found or any("nosuid" in mount.options.split(",") for mount in found)
