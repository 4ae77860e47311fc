"""shadow-stack: the processor's own copy of return addresses (arch/x86/kernel/shstk.c)."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import IF_DENIED, Case, Cause, Need, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.kernel import came_with, is_older, version
from wxtrace.model.causes.opened import ARGUMENTS
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.arch_prctl import ArchPrctl
from wxtrace.model.syscalls.shadow_stack import MapShadowStack

__all__ = ["SHADOW_STACK", "control", "room_for_token", "support", "too_low", "unknown_flags"]

_CODES = frozenset(range(0x5001, 0x5006))
_SET_TOKEN = 1
_ABOVE = 1 << 32
_ABSENT = (Errno.EOPNOTSUPP, Errno.ENOSYS)

SHADOW_STACK = Cause(
    "shadow-stack",
    "kernel",
    "Shadow stacks (the processor's copy of return addresses) are not there, or do not allow this.",
    {
        "map_shadow_stack": (*_ABSENT, Errno.EINVAL, Errno.ENOSPC, Errno.ERANGE),
        "mprotect": (Errno.EACCES,),
        "pkey_mprotect": (Errno.EACCES,),
        "arch_prctl": (Errno.EOPNOTSUPP, Errno.ENOTSUPP, Errno.EINVAL, Errno.EPERM),
    },
    (Need.ANSWERED, Need.CPU),
    "this kernel or processor has no shadow stacks for programs",
    (developer("Go on without them; this answer is how a program learns that."),),
    "arch/x86/kernel/shstk.c",
    {
        "old": Case("this kernel ({kernel}) has no shadow stacks for programs, which came with Linux {since}"),
        "size": Case(
            "a shadow stack of {size} bytes has no room for the token that was asked for",
            (developer("Ask for at least one page."),),
        ),
        "low": Case(
            "a shadow stack must lie above 4 GiB", (developer("Pass NULL and let the kernel choose the address."),)
        ),
        "flags": Case("map_shadow_stack does not know these flags", (developer("Pass SHADOW_STACK_SET_TOKEN or 0."),)),
        "locked": Case(
            "shadow stacks of this thread are as its C library set and locked them, or not in use",
            (developer("Leave shadow stacks to the C library."),),
        ),
        "memory": Case(
            "the range is a shadow stack, whose protection cannot be changed this way",
            (developer("Leave shadow stacks to the C library."),),
        ),
    },
    outcome=Outcome.FAILED,
    outcomes=IF_DENIED,
)


@rule(SHADOW_STACK)
def support(ctx: CallContext) -> Answer:
    """The processor, the kernel's configuration (ENOSYS without it) and its age."""
    if is_older(ctx):
        old, since = version(ctx), came_with(ctx)
        return may_refuse(ctx, SHADOW_STACK, old, errno=Errno.ENOSYS, case="old", by_exclusion=True, since=since)
    features = ctx.probe.cpu_features
    if features is None:
        return may_refuse(ctx, SHADOW_STACK, errno=_ABSENT, without=(Need.CPU,))
    if "user_shstk" in features:
        return LETS_THROUGH
    return refuses(ctx, SHADOW_STACK, *_listed(ctx), errno=_ABSENT)


@rule(SHADOW_STACK)
def unknown_flags(ctx: CallContext) -> Answer:
    """There is one flag."""
    request = _request(ctx)
    if not request.flags & ~_SET_TOKEN:
        return LETS_THROUGH
    fact = seen("flags are %#x" % request.flags, ARGUMENTS)
    return refuses(ctx, SHADOW_STACK, fact, errno=Errno.EINVAL, case="flags")


@rule(SHADOW_STACK)
def room_for_token(ctx: CallContext) -> Answer:
    """A token has eight bytes."""
    request = _request(ctx)
    if not request.flags & _SET_TOKEN or request.size >= 8:
        return LETS_THROUGH
    fact = seen("the size is %d bytes" % request.size, ARGUMENTS)
    return refuses(ctx, SHADOW_STACK, fact, errno=Errno.ENOSPC, case="size", size=request.size)


@rule(SHADOW_STACK)
def too_low(ctx: CallContext) -> Answer:
    """Addresses that 32 bits can name are kept free of them."""
    request = _request(ctx)
    if not 0 < request.addr < _ABOVE:
        return LETS_THROUGH
    fact = seen("the address is %#x" % request.addr, ARGUMENTS)
    return refuses(ctx, SHADOW_STACK, fact, errno=Errno.ERANGE, case="low")


@rule(SHADOW_STACK)
def control(ctx: CallContext) -> Answer:
    """The codes of arch_prctl that switch them. A kernel that was built without, or is older, knows no such code."""
    request, features = ctx.request, ctx.probe.cpu_features
    assert isinstance(request, ArchPrctl)
    if request.code not in _CODES:
        return LETS_THROUGH
    absent = (Errno.EOPNOTSUPP, Errno.ENOTSUPP, Errno.EINVAL)
    if features is None:
        return may_refuse(ctx, SHADOW_STACK, errno=absent, without=(Need.CPU,))
    if "user_shstk" not in features:
        # A kernel that has the code may be asked for the status, and to lock what is not in use.
        return may_refuse(ctx, SHADOW_STACK, *_listed(ctx), errno=absent, by_exclusion=True)
    errnos = (Errno.EINVAL, Errno.EPERM)
    return may_refuse(ctx, SHADOW_STACK, *_listed(ctx), errno=errnos, case="locked", by_exclusion=True)


def _request(ctx: CallContext) -> MapShadowStack:
    assert isinstance(ctx.request, MapShadowStack)
    return ctx.request


def _listed(ctx: CallContext) -> Tuple[Evidence, ...]:
    listed = "listed" if "user_shstk" in (ctx.probe.cpu_features or ()) else "not listed"
    return (seen("user_shstk is %s" % listed, "/proc/cpuinfo"),)
