"""Pointers: whether there is memory behind one shows when the kernel copies from it or to it."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, rule
from wxtrace.model.causes.argument.entries import POINTER
from wxtrace.model.causes.argument.evidence import argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.aio import IoSetup
from wxtrace.model.syscalls.arch_prctl import ArchPrctl
from wxtrace.model.syscalls.madvise import ProcessMadvise
from wxtrace.model.syscalls.memfd import MemfdCreate
from wxtrace.model.syscalls.prctl import Prctl
from wxtrace.model.syscalls.process import Clone3
from wxtrace.model.syscalls.ptrace import Ptrace
from wxtrace.model.syscalls.row import Other
from wxtrace.model.syscalls.seccomp import Seccomp

__all__ = ["pointer"]


@rule(POINTER)
def pointer(ctx: CallContext) -> Answer:
    """EFAULT where what a pointer leads to cannot be copied."""
    given = _pointers(ctx)
    if not given:
        return LETS_THROUGH
    fact = argument("it was given %s" % ", ".join("%#x" % word for word in given))
    return may_refuse(ctx, POINTER, fact, errno=Errno.EFAULT, by_exclusion=True)


def _pointers(ctx: CallContext) -> Tuple[int, ...]:
    request = ctx.request
    if isinstance(request, MemfdCreate):
        return (request.name_address,)
    if isinstance(request, IoSetup):
        return (request.context_address,)
    if isinstance(request, ProcessMadvise):
        return (request.iovec,)
    if isinstance(request, ArchPrctl):
        return (request.addr,)
    if isinstance(request, Seccomp):
        return (request.args,)
    if isinstance(request, Clone3):
        return (request.cl_args,)
    if isinstance(request, Ptrace):
        return (request.addr, request.data)
    if isinstance(request, Prctl):
        return (request.arg2, request.arg3, request.arg4, request.arg5)
    # The old mmap of i386 takes its arguments in a block of memory, and this one could not be read.
    return ctx.args[:1] if isinstance(request, Other) else ()
