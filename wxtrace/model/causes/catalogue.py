"""The table of causes: every reason wxtrace can give, once. Ids are stable; other programs match on them.

Rules take their words from here, `wxtrace causes` and docs/causes.md show it, and the tests hold each rule against it.
"""

from __future__ import annotations

from typing import Dict, List

from wxtrace.model.causes.address.entries import ADDRESSES
from wxtrace.model.causes.argument.entries import ARGUMENTS
from wxtrace.model.causes.entry import Cause
from wxtrace.model.causes.fault.signals import FAULTS
from wxtrace.model.causes.fd import FDS_OF_FILES
from wxtrace.model.causes.hugetlb import HUGETLB
from wxtrace.model.causes.interference import INTERFERENCE
from wxtrace.model.causes.kernel import NO_CALL
from wxtrace.model.causes.limit.entries import LIMITS
from wxtrace.model.causes.loader import LOADER
from wxtrace.model.causes.lsm import APPARMOR, BPF_LSM, IMA, IPE, LSM_UNKNOWN, SMACK
from wxtrace.model.causes.mdwe import MDWE
from wxtrace.model.causes.memfd import MEMFDS
from wxtrace.model.causes.mount import MOUNT_NOEXEC, SUPERBLOCK_NOEXEC
from wxtrace.model.causes.mseal import MSEAL
from wxtrace.model.causes.pkey import PKEY
from wxtrace.model.causes.seccomp.answered import SECCOMP
from wxtrace.model.causes.secretmem import SECRETMEM
from wxtrace.model.causes.selinux.entries import SELINUX
from wxtrace.model.causes.shadow_stack import SHADOW_STACK
from wxtrace.model.causes.unknown import UNKNOWN

__all__ = ["CAUSES", "family", "similar"]

_MODULES = (*SELINUX, APPARMOR, IPE, SMACK, IMA, BPF_LSM, LSM_UNKNOWN)
_FAMILIES = (
    FDS_OF_FILES,
    (MOUNT_NOEXEC, SUPERBLOCK_NOEXEC),
    MEMFDS,
    (MDWE, MSEAL, PKEY, HUGETLB, SECRETMEM, SHADOW_STACK),
    _MODULES,
    SECCOMP,
    INTERFERENCE,
    LIMITS,
    ADDRESSES,
    ARGUMENTS,
    FAULTS,
    LOADER,
    (NO_CALL,),
    UNKNOWN,
)
CAUSES: Dict[str, Cause] = {cause.id: cause for part in _FAMILIES for cause in part}


def family(prefix: str) -> List[Cause]:
    """The causes whose id is `prefix`, or starts with it and a dot."""
    return [cause for cause in CAUSES.values() if cause.id == prefix or cause.id.startswith(prefix + ".")]


def similar(id: str) -> List[str]:
    """Ids and families that are spelt almost like this one, and ids whose second half it is; the nearest first."""
    # Only a mistyped name needs it.
    from difflib import get_close_matches

    families = {cause.family for cause in CAUSES.values()}
    halves = [known for known in CAUSES if id and id in known]
    near = get_close_matches(id, [*CAUSES, *families], 3, 0.6)
    return list(dict.fromkeys([*halves, *near]))[:5]
