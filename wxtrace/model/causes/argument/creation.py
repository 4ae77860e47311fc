"""What pkey_alloc, memfd_secret and map_shadow_stack take amiss in their own arguments."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, refuses, rule
from wxtrace.model.causes.argument.entries import ALIGNMENT, FLAGS, LENGTH
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.opened import ARGUMENTS
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.memfd import MemfdSecret
from wxtrace.model.syscalls.pkey import PkeyAlloc
from wxtrace.model.syscalls.shadow_stack import MapShadowStack

__all__ = ["key_rights", "secret_flags", "stack_address", "stack_size"]

_O_CLOEXEC = 0o2000000
_KEY_RIGHTS = 3
"""PKEY_DISABLE_ACCESS and PKEY_DISABLE_WRITE."""


@rule(FLAGS)
def key_rights(ctx: CallContext) -> Answer:
    """pkey_alloc has no flags, and two rights (mm/mprotect.c:SYSCALL_DEFINE2(pkey_alloc))."""
    request = ctx.request
    assert isinstance(request, PkeyAlloc)
    if not request.flags and not request.access_rights & ~_KEY_RIGHTS:
        return LETS_THROUGH
    fact = seen("flags are %#x, rights are %#x" % (request.flags, request.access_rights), ARGUMENTS)
    return refuses(ctx, FLAGS, fact, errno=Errno.EINVAL, case="rights")


@rule(FLAGS)
def secret_flags(ctx: CallContext) -> Answer:
    """memfd_secret has none of its own (mm/secretmem.c)."""
    request = ctx.request
    assert isinstance(request, MemfdSecret)
    if not request.flags & ~_O_CLOEXEC:
        return LETS_THROUGH
    return refuses(ctx, FLAGS, seen("flags are %#x" % request.flags, ARGUMENTS), errno=Errno.EINVAL)


@rule(LENGTH)
def stack_size(ctx: CallContext) -> Answer:
    """A size that wraps around when it is rounded up (arch/x86/kernel/shstk.c)."""
    request, page = ctx.request, ctx.host.page_size
    assert isinstance(request, MapShadowStack)
    if request.size <= (1 << 64) - page:
        return LETS_THROUGH
    fact = seen("the size is %#x" % request.size, ARGUMENTS)
    return refuses(ctx, LENGTH, fact, errno=Errno.EOVERFLOW, case="wraps")


@rule(ALIGNMENT)
def stack_address(ctx: CallContext) -> Answer:
    """An address is taken as it is, as with MAP_FIXED_NOREPLACE (arch/x86/kernel/shstk.c:alloc_shstk)."""
    request, page = ctx.request, ctx.host.page_size
    assert isinstance(request, MapShadowStack)
    if request.addr % page == 0:
        return LETS_THROUGH
    fact = seen("the address is %#x" % request.addr, ARGUMENTS)
    return refuses(ctx, ALIGNMENT, fact, errno=Errno.EINVAL, what="the address")
