"""PR_SET_MDWE."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, seen

__all__ = ["mdwe_arguments"]

_ARGUMENTS = "the arguments of the call"


def mdwe_arguments(refusal: Refusal) -> Optional[Finding]:
    """PR_SET_MDWE itself: unknown bits, an older kernel, or an attempt to change it (kernel/sys.c:prctl_set_mdwe)."""
    if refusal.request.name != "prctl" or refusal.old.flags != f.PR_SET_MDWE:
        return None
    bits = seen("bits are %s" % f.named_bits((*refusal.args, 0, 0)[1], f.MDWE), _ARGUMENTS)
    if refusal.errno == "EPERM":
        return found(refusal, "argument.flags", bits, case="mdwe-kept")
    if refusal.errno != "EINVAL":
        return None
    if (0, 0) < refusal.kernel < (6, 3):
        version = seen("this is Linux %s" % refusal.host.kernel, "uname")
        return found(refusal, "argument.flags", bits, version, case="mdwe-old")
    return found(refusal, "argument.flags", bits, case="mdwe")
