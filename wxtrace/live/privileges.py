"""Rights that a program should have had from its file, and did not get: what runs is then not what would have run.

exec(2) honours the set-user-ID and set-group-ID bits neither under NO_NEW_PRIVS nor under a tracer without
CAP_SYS_PTRACE (fs/exec.c:bprm_fill_uid, security/commoncap.c). Mounts with nosuid take them away without us.
"""

from __future__ import annotations

import os
import stat
from typing import Optional

from wxtrace.decoders.proctext import parse_status
from wxtrace.live.procfs import read_proc

__all__ = ["lost_rights"]


def lost_rights(tid: int) -> Optional[str]:
    """What a process that has just called exec was denied, in words, or None. One stat call for most programs."""
    exe = "/proc/%d/exe" % tid
    try:
        file = os.stat(exe)
        if not file.st_mode & (stat.S_ISUID | stat.S_ISGID) or os.statvfs(exe).f_flag & os.ST_NOSUID:
            return None
    except OSError:
        return None
    status = parse_status(read_proc(tid, "status", 65536))
    for bit, owner, line in ((stat.S_ISUID, file.st_uid, "Uid"), (stat.S_ISGID, file.st_gid, "Gid")):
        # Real, effective, saved, file system.
        numbers = status.get(line, "").split()
        if file.st_mode & bit and len(numbers) == 4 and numbers[1] != str(owner):
            name = "set-user-ID" if line == "Uid" else "set-group-ID"
            return "it is %s, and under a tracer without privileges it runs without the rights of its owner" % name
    return None
