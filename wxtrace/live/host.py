"""The machine and what the target inherits, read once before it starts."""

from __future__ import annotations

import os
from typing import Dict, Optional

from wxtrace.decoders.proctext import parse_status
from wxtrace.live import ptrace
from wxtrace.live.procfs import read_proc
from wxtrace.model.facts import Host

__all__ = ["read_host", "selinux_enforcing"]

_SYSCTLS = (
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/mmap_min_addr",
    "vm/memfd_noexec",
    "kernel/randomize_va_space",
    "kernel/yama/ptrace_scope",
)
_SELINUX = "/sys/fs/selinux"
_PR_GET_MDWE = 66


def selinux_enforcing() -> Optional[bool]:
    """Whether SELinux refuses; None where it does not run."""
    value = _read(_SELINUX + "/enforce")
    return None if value is None else value == "1"


def read_host() -> Host:
    """Kernel, security modules, sysctls, and the MDWE bits and filters the target is going to inherit."""
    system = os.uname()
    filters = parse_status(read_proc(os.getpid(), "status", 65536)).get("Seccomp_filters", "0")
    mdwe = ptrace.prctl(_PR_GET_MDWE, 0, 0, 0, 0)
    sysctls = {name.replace("/", "."): _read("/proc/sys/" + name) for name in _SYSCTLS}
    return Host(
        kernel=system.release,
        machine=system.machine,
        page_size=os.sysconf("SC_PAGE_SIZE"),
        lsm=[name for name in (_read("/sys/kernel/security/lsm") or "").split(",") if name],
        selinux_enforcing=selinux_enforcing(),
        selinux_booleans=_booleans(),
        sysctl={name: value for name, value in sysctls.items() if value is not None},
        mdwe=mdwe if mdwe >= 0 else None,
        seccomp_filters=int(filters) if filters.isdigit() else 0,
    )


def _booleans() -> Dict[str, bool]:
    found = {}
    try:
        names = os.listdir(_SELINUX + "/booleans")
    except OSError:
        return {}
    for name in names:
        if "exec" in name or "mmap" in name:
            value = _read("%s/booleans/%s" % (_SELINUX, name))
            if value:
                found[name] = value.split()[0] == "1"
    return found


def _read(path: str) -> Optional[str]:
    try:
        with open(path) as file:
            return file.read(4096).strip()
    except (OSError, UnicodeDecodeError):
        return None
