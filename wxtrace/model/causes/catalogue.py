"""The table of causes: every reason wxtrace can give, once. Ids are stable; other programs match on them.

Rules take their words from here, `wxtrace causes` and docs/causes.md show it, and the tests hold each rule against it.
"""

from __future__ import annotations

from typing import Dict, List

from wxtrace.model.causes.address.entries import ADDRESSES
from wxtrace.model.causes.argument.entries import ARGUMENTS
from wxtrace.model.causes.catalogue_files import FILES
from wxtrace.model.causes.catalogue_limits import LIMITS
from wxtrace.model.causes.catalogue_protections import PROTECTIONS
from wxtrace.model.causes.entry import Cause
from wxtrace.model.causes.fault.signals import FAULTS
from wxtrace.model.causes.interference import INTERFERENCE
from wxtrace.model.causes.loader import LOADER
from wxtrace.model.causes.lsm import APPARMOR, BPF_LSM, IMA, IPE, LSM_UNKNOWN, SMACK
from wxtrace.model.causes.mdwe import MDWE
from wxtrace.model.causes.mseal import MSEAL
from wxtrace.model.causes.seccomp.answered import SECCOMP
from wxtrace.model.causes.selinux.entries import SELINUX
from wxtrace.model.causes.unknown import UNKNOWN

__all__ = ["CAUSES", "family", "similar"]

_MODULES = (*SELINUX, APPARMOR, IPE, SMACK, IMA, BPF_LSM, LSM_UNKNOWN)
_FAMILIES = (
    FILES,
    (MDWE, MSEAL),
    PROTECTIONS,
    _MODULES,
    SECCOMP,
    INTERFERENCE,
    LIMITS,
    ADDRESSES,
    ARGUMENTS,
    FAULTS,
    LOADER,
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
