"""pkey: protection keys, which the processor has or not, and a process allocates (mm/mprotect.c)."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import IF_DENIED, Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.opened import ARGUMENTS
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.pkey import PkeyFree

__all__ = ["PKEY", "alloc", "allocated", "built_in"]

_KEYS = 16
"""arch_max_pkey of x86 with the feature (arch/x86/include/asm/pkeys.h)."""
_SOURCE = "/proc/cpuinfo"

PKEY = Cause(
    "pkey",
    "kernel",
    "A protection key that was not allocated, or no key is left, or this machine has none.",
    {
        "pkey_mprotect": (Errno.EINVAL, Errno.ENOSYS),
        "pkey_alloc": (Errno.ENOSPC, Errno.EINVAL, Errno.ENOSYS),
        "pkey_free": (Errno.EINVAL, Errno.ENOSYS),
    },
    (Need.ANSWERED, Need.ARGUMENTS, Need.CPU),
    "protection key {key} is not allocated in this process",
    (developer("Pass a key that pkey_alloc returned and pkey_free did not take back, or -1 for none."),),
    "mm/mprotect.c:do_mprotect_pkey, pkey_alloc",
    {
        "none-left": Case(
            "all protection keys of the process are in use (x86 has 15, and one is taken by execute-only memory)",
            (developer("Share keys, or give back those not needed with pkey_free."),),
        ),
        "no-support": Case(
            "this processor or kernel has no protection keys",
            (developer("Go on without keys: use mprotect; this answer is how a program learns that."),),
        ),
    },
    outcome=Outcome.FAILED,
    outcomes=IF_DENIED,
)


@rule(PKEY)
def built_in(ctx: CallContext) -> Answer:
    """A kernel without them does not have the calls (arch/x86/Kconfig: X86_INTEL_MEMORY_PROTECTION_KEYS)."""
    features = ctx.probe.cpu_features
    if features is not None and "ospke" in features:
        return LETS_THROUGH
    return may_refuse(ctx, PKEY, *_support(ctx), errno=Errno.ENOSYS, case="no-support", by_exclusion=True)


@rule(PKEY)
def alloc(ctx: CallContext) -> Answer:
    """No key is left, or none there is. Which are in use is told by no file and no call."""
    features = ctx.probe.cpu_features
    if features is None:
        return may_refuse(ctx, PKEY, errno=_NONE, without=(Need.CPU,), case="none-left")
    if "ospke" not in features:
        return refuses(ctx, PKEY, *_support(ctx), errno=_NONE, case="no-support")
    return may_refuse(ctx, PKEY, *_support(ctx), errno=Errno.ENOSPC, case="none-left", by_exclusion=True)


_NONE: Tuple[Errno, ...] = (Errno.ENOSPC, Errno.EINVAL)
"""What pkey_alloc gives without support: the second where setting the rights is what fails (arch/x86/kernel/fpu)."""


@rule(PKEY)
def allocated(ctx: CallContext) -> Answer:
    """The key of pkey_mprotect or pkey_free (arch/x86/include/asm/pkeys.h:mm_pkey_is_allocated)."""
    request = ctx.request
    assert isinstance(request, (Mprotect, PkeyFree))
    key = request.pkey
    if key is None or (isinstance(request, Mprotect) and (key == -1 or request.length == 0)):
        return LETS_THROUGH
    asked, features = seen("key %d" % key, ARGUMENTS), ctx.probe.cpu_features
    if not 0 <= key < _KEYS:
        return refuses(ctx, PKEY, asked, errno=Errno.EINVAL, key=key)
    if features is None:
        return may_refuse(ctx, PKEY, asked, errno=Errno.EINVAL, without=(Need.CPU,), key=key)
    if "ospke" not in features:
        # Not even the key 0 that all memory has.
        return refuses(ctx, PKEY, asked, *_support(ctx), errno=Errno.EINVAL, case="no-support")
    return may_refuse(ctx, PKEY, asked, errno=Errno.EINVAL, by_exclusion=True, key=key)


def _support(ctx: CallContext) -> Tuple[Evidence, ...]:
    features = ctx.probe.cpu_features
    if features is None:
        return ()
    return (seen("ospke is %s" % ("listed" if "ospke" in features else "not listed"), _SOURCE),)
