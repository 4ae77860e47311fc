"""The machine and what the target inherits, read once before it starts."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import List, Optional

from wxtrace.decoders.proctext import parse_status
from wxtrace.frozen import replace
from wxtrace.live import arch, ptrace
from wxtrace.live.procfs import read_proc
from wxtrace.model.facts import Host

__all__ = ["address_bits", "read_host", "security_modules"]

_SYSCTLS = (
    "vm/max_map_count",
    "vm/overcommit_memory",
    "vm/mmap_min_addr",
    "vm/memfd_noexec",
    "kernel/randomize_va_space",
    "kernel/yama/ptrace_scope",
)
_PR_GET_MDWE = 66
_SYS_LSM_LIST_MODULES = 461
_MODULES = {
    100: "capability",
    101: "selinux",
    102: "smack",
    103: "tomoyo",
    104: "apparmor",
    105: "yama",
    106: "loadpin",
    107: "safesetid",
    108: "lockdown",
    109: "bpf",
    110: "landlock",
    111: "ima",
    112: "evm",
    113: "ipe",
}
"""include/uapi/linux/lsm.h"""


@cache
def security_modules() -> Optional[List[str]]:
    """The modules at work, in the order they are asked; None where the kernel does not tell.

    By lsm_list_modules(2) (Linux 6.8) where securityfs is not mounted, as in most containers.
    """
    listed = _read("/sys/kernel/security/lsm")
    if listed:
        names = [name for name in listed.split(",") if name]
        # Before Linux 6.9 it is none of the modules, but asked right behind them (security/security.c).
        return names if "ima" in names or not os.path.isdir("/sys/kernel/security/ima") else [*names, "ima"]
    ids, size = (ctypes.c_uint64 * 64)(), ctypes.c_uint32(64 * 8)
    count = ctypes.PyDLL(None).syscall(_SYS_LSM_LIST_MODULES, ids, ctypes.byref(size), 0)
    return [_MODULES.get(id, "module %d" % id) for id in ids[:count]] if count > 0 else None


@cache
def address_bits() -> int:
    """Of a program with the machine's own ABI."""
    flags = next((line for line in (_read("/proc/cpuinfo") or "").splitlines() if line.startswith("flags")), "")
    return arch.address_bits(flags.split())


def read_host() -> Host:
    """Kernel, security modules, sysctls, and the MDWE bits and filters the target is going to inherit."""
    system = os.uname()
    filters = parse_status(read_proc(os.getpid(), "status", 65536)).get("Seccomp_filters", "0")
    mdwe = ptrace.prctl(_PR_GET_MDWE, 0, 0, 0, 0)
    sysctls = {name.replace("/", "."): _read("/proc/sys/" + name) for name in _SYSCTLS}
    modules = security_modules()
    host = Host(
        kernel=system.release,
        machine=system.machine,
        page_size=arch.PAGE_SIZE,
        lsm=modules or [],
        lsm_known=modules is not None,
        sysctl={name: value for name, value in sysctls.items() if value is not None},
        mdwe=mdwe if mdwe >= 0 else None,
        seccomp_filters=int(filters) if filters.isdigit() else 0,
        address_bits=address_bits(),
    )
    return _with_selinux(host) if os.path.exists("/sys/fs/selinux/enforce") else host


def _with_selinux(host: Host) -> Host:
    # Not on the many machines without it: it is imported only to be asked.
    from wxtrace.live.selinuxfs import Selinuxfs

    return replace(host, selinux_enforcing=Selinuxfs().enforcing())


def _read(path: str) -> Optional[str]:
    try:
        with open(path) as file:
            return file.read(8192).strip()
    except (OSError, UnicodeDecodeError):
        return None
