"""Arguments of seccomp and arch_prctl: operations, codes and flags that the call does not know."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.argument.entries import FLAGS, POINTER
from wxtrace.model.causes.argument.evidence import argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.arch_prctl import ArchPrctl
from wxtrace.model.syscalls.seccomp import Seccomp

__all__ = ["arch_prctl", "base_address", "filter_program", "seccomp"]

_SET_GS, _SET_FS = 0x1001, 0x1002
_EVERYWHERE = frozenset({_SET_GS, _SET_FS, 0x1003, 0x1004, 0x1011, 0x1012})
"""Codes of arch_prctl of every supported kernel of x86-64; the rest depends on version, build and processor."""
_BUILT_IN = _EVERYWHERE | frozenset({*range(0x1021, 0x1026), *range(0x2001, 0x2004), *range(0x4001, 0x4005)})
_SHADOW_STACK = frozenset(range(0x5001, 0x5006))
_TSYNC_ESRCH = 16
_KNOWN_FILTER_FLAGS = 0x3F


@rule(FLAGS)
def seccomp(ctx: CallContext) -> Answer:
    """EINVAL by operation and flags (kernel/seccomp.c:do_seccomp, seccomp_set_mode_filter)."""
    assert isinstance(ctx.request, Seccomp)
    operation, flags = ctx.request.operation, ctx.request.flags
    both = f.SECCOMP_FILTER_FLAG_TSYNC | f.SECCOMP_FILTER_FLAG_NEW_LISTENER
    if operation == f.SECCOMP_SET_MODE_FILTER:
        wrong = flags & ~_KNOWN_FILTER_FLAGS or (flags & both == both and not flags & _TSYNC_ESRCH)
    elif operation == f.SECCOMP_SET_MODE_STRICT:
        wrong = flags or ctx.request.args
    else:
        wrong = flags or operation not in f.SECCOMP_OP
    if not wrong:
        return LETS_THROUGH
    named = f.named_bits(flags, f.SECCOMP_FLAG)
    fact = argument("operation is %s, flags are %s" % (f.named_value(operation, f.SECCOMP_OP), named))
    return refuses(ctx, FLAGS, fact)


@rule(FLAGS)
def filter_program(ctx: CallContext) -> Answer:
    """EINVAL for a program that the kernel cannot check, or flags that only newer kernels know."""
    assert isinstance(ctx.request, Seccomp)
    if ctx.request.operation != f.SECCOMP_SET_MODE_FILTER:
        return LETS_THROUGH
    fact = argument("flags are %s" % f.named_bits(ctx.request.flags, f.SECCOMP_FLAG))
    return may_refuse(ctx, FLAGS, fact)


@rule(FLAGS)
def arch_prctl(ctx: CallContext) -> Answer:
    """EINVAL by code (arch/x86/kernel/process_64.c:do_arch_prctl_64)."""
    assert isinstance(ctx.request, ArchPrctl)
    code = ctx.request.code
    if code in _EVERYWHERE or code in _SHADOW_STACK:
        return LETS_THROUGH
    fact = argument("the code is %#x" % code)
    return may_refuse(ctx, FLAGS, fact, by_exclusion=True) if code in _BUILT_IN else refuses(ctx, FLAGS, fact)


@rule(POINTER)
def base_address(ctx: CallContext) -> Answer:
    """EPERM for a segment base beyond the address space."""
    assert isinstance(ctx.request, ArchPrctl)
    request = ctx.request
    if request.code not in (_SET_GS, _SET_FS) or request.addr < ctx.task_size:
        return LETS_THROUGH
    return refuses(ctx, POINTER, argument("the address is %#x" % request.addr), errno=Errno.EPERM, case="base")
