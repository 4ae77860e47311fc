"""What the files of the security modules other than SELinux say, read when a refused call may be theirs."""

from __future__ import annotations

import os
from typing import List, Optional

from wxtrace.live.bpf_programs import security_programs
from wxtrace.live.procfs import read_proc
from wxtrace.model import flags as f
from wxtrace.model.restrictions import ModuleState
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.row import CallRequest

__all__ = ["module_state"]

SECURITYFS = "/sys/kernel/security"
MOST_POLICY = 1 << 20
_MMAP_RULES = ("func=MMAP_CHECK", "func=FILE_MMAP")


def module_state(
    tid: int, request: CallRequest, modules: List[str], securityfs: str = SECURITYFS
) -> Optional[ModuleState]:
    """The state of those of `modules` that have a hook in memory calls; None when there is none."""
    if not {"apparmor", "smack", "bpf", "ipe", "ima"} & set(modules):
        return None
    fd_path = ""
    if isinstance(request, Mmap) and not request.flags & f.MAP_ANONYMOUS:
        fd_path = "/proc/%d/fd/%d" % (tid, request.fd)
    return ModuleState(
        apparmor=_label(tid, "apparmor") if "apparmor" in modules else None,
        smack=_label(tid, "smack") if "smack" in modules else None,
        smack_mmap=_attribute(fd_path, "security.SMACK64MMAP") if "smack" in modules and fd_path else None,
        bpf_programs=security_programs() if "bpf" in modules else None,
        ipe_enforces=_flag(securityfs + "/ipe/enforce") if "ipe" in modules else None,
        ipe_policy=_active_policy(securityfs + "/ipe/policies") if "ipe" in modules else None,
        ima_rules=_appraising_rules(securityfs + "/ima/policy") if "ima" in modules else None,
    )


def _label(tid: int, module: str) -> Optional[str]:
    """The module's own file where there is one (Linux 5.1 on), else the one that all share."""
    for name in ("attr/%s/current" % module, "attr/current"):
        text = read_proc(tid, name, 4096).rstrip(b"\0\n")
        if text:
            return os.fsdecode(text)
    return None


def _attribute(path: str, name: str) -> Optional[str]:
    try:
        return os.fsdecode(os.getxattr(path, name)[:256])
    except OSError:
        return None


def _read(path: str) -> Optional[str]:
    try:
        with open(path, errors="replace") as file:
            return file.read(MOST_POLICY)
    except OSError:
        return None


def _flag(path: str) -> Optional[bool]:
    text = _read(path)
    return None if text is None else text.strip() == "1"


def _active_policy(folder: str) -> Optional[str]:
    """The name of IPE's active policy; empty when none is active."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    flags = {name: _flag("%s/%s/active" % (folder, name)) for name in names}
    return next((name for name, active in flags.items() if active), None if None in flags.values() else "")


def _appraising_rules(path: str) -> Optional[List[str]]:
    """The rules that demand a signature or hash of mapped code, in their order."""
    text = _read(path)
    if text is None:
        return None
    words = [(line, line.split()) for line in text.splitlines()[:4096]]
    return [line[:256] for line, rule in words if rule[:1] == ["appraise"] and any(w in rule for w in _MMAP_RULES)]
