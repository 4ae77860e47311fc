"""Which security module can have said no to which call: their hooks, their errnos, and what their own files exclude.

Linux 6.18, grep of mmap_file, file_mprotect, mmap_addr and shm_shmat: lockdown, LoadPin, Yama, SafeSetID, TOMOYO,
Landlock and EVM have none of them. munmap, mremap, brk, madvise and mseal have no hook at all.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Mapping, Optional

from wxtrace.model import flags as f
from wxtrace.model.facts import Host, Probe
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.row import CallRequest
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["WITHOUT_HOOKS", "answers", "bpf_on_memory", "excluded_by", "has_file", "suspects"]

_AT_MMAP = frozenset({"mmap", "shmat", "remap_file_pages"})
_AT_MPROTECT = frozenset({"mprotect", "pkey_mprotect"})
_HOOKS: Mapping[str, FrozenSet[str]] = {
    "apparmor": _AT_MMAP | _AT_MPROTECT,
    "ipe": _AT_MMAP | _AT_MPROTECT,
    "ima": _AT_MMAP | _AT_MPROTECT,
    "bpf": _AT_MMAP | _AT_MPROTECT | {"mremap"},
    "smack": frozenset({"mmap", "shmat", "mremap"}),
}
WITHOUT_HOOKS = frozenset({"capability", "lockdown", "loadpin", "yama", "safesetid", "tomoyo", "landlock", "evm"})


def answers(name: str, call: str, errno: str) -> bool:
    """Whether a module has a hook in this call, and gives this errno there."""
    if call not in _HOOKS.get(name, ()):
        return False
    if name == "bpf":
        return True
    if name == "ima":
        return errno == ("EPERM" if call in _AT_MPROTECT else "EACCES")
    return errno == "EACCES"


def has_file(request: CallRequest, probe: Probe) -> bool:
    """Whether the memory belongs to a file as modules see it: a private mapping of /dev/zero does."""
    if isinstance(request, Mmap):
        return not request.flags & f.MAP_ANONYMOUS
    if isinstance(request, Shmat):
        return False
    lines = [vma.line for vma in probe.vmas]
    return any(line.inode for line in lines if line.start < request.start + request.length and line.end > request.start)


def excluded_by(name: str, request: CallRequest, wants: int, probe: Probe) -> Optional[str]:
    """Why a module that is at work cannot have refused this call; None where it can have."""
    state = probe.modules
    if name == "bpf":
        if state is None or state.bpf_programs is None or bpf_on_memory(state.bpf_programs):
            return None
        return "no BPF security program is attached to a hook of memory calls" if state.bpf_programs else _NO_BPF
    if name in ("apparmor", "smack", "ima") and not has_file(request, probe):
        return "%s only looks at files, and this memory belongs to none" % _NAMES[name]
    if name in ("ipe", "ima") and not wants & f.PROT_EXEC:
        return "%s only looks at what becomes executable" % _NAMES[name]
    if state is None:
        return None
    if name == "apparmor" and state.apparmor is not None:
        if state.apparmor == "unconfined" or state.apparmor.endswith("(complain)"):
            return "AppArmor's profile of the program is %s, which refuses nothing" % state.apparmor
    if name == "ipe" and (state.ipe_enforces is False or state.ipe_policy == ""):
        return "IPE does not enforce" if state.ipe_enforces is False else "IPE has no active policy"
    if name == "ima" and state.ima_rules == []:
        return "no rule of IMA's policy appraises mapped code"
    return None


_NO_BPF = "no BPF security program is loaded"
_BPF_HOOKS = frozenset({"mmap_file", "file_mprotect", "mmap_addr", "shm_shmat", "?"})


def bpf_on_memory(programs: Mapping[str, str]) -> Dict[str, str]:
    """Those of the loaded programs that memory calls run into, or may, by id."""
    return {id: text for id, text in programs.items() if text.partition(" ")[0] in _BPF_HOOKS}


_NAMES = {"apparmor": "AppArmor", "smack": "Smack", "ima": "IMA", "ipe": "IPE"}


def suspects(host: Host, request: CallRequest, wants: int, probe: Probe, errno: str) -> List[str]:
    """The modules beside SELinux that can have given this errno to this call; "unknown" where nobody lists them."""
    if not host.lsm_known and errno in ("EACCES", "EPERM") and request.name in _AT_MMAP | _AT_MPROTECT:
        return ["unknown"]
    return [
        name
        for name in host.lsm
        if answers(name, request.name, errno) and excluded_by(name, request, wants, probe) is None
    ]
