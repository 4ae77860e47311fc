"""How a program is going to be stopped: with our filter or without, at the traced calls or at every one."""

from __future__ import annotations

import os
import stat

from wxtrace.model.facts import Host

__all__ = ["choose_mode"]


def choose_mode(asked: str, host: Host, path: bytes, foreign: bool) -> tuple[bool, bool, str]:
    """(install our filter, stop at every call, why). `foreign`: an inherited filter answers some of our calls."""
    if asked != "accelerated":
        if host.selinux_enforcing:
            return False, True, "SELinux is enforcing: a filter would set NO_NEW_PRIVS, which may change the domain"
        if _gains_privileges(path) and os.geteuid() != 0:
            return False, True, "the program is set-user-ID or has file capabilities; under ptrace it runs without them"
    if asked == "full":
        return True, True, "asked for by --mode full"
    if foreign:
        why = "an inherited seccomp filter answers some of the traced calls"
        return (True, True, why) if asked == "auto" else (True, False, why + ", which accelerated mode never sees")
    return True, False, ""


def _gains_privileges(path: bytes) -> bool:
    try:
        if os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID):
            return True
        os.getxattr(path, "security.capability")
    except OSError:
        return False
    return True
