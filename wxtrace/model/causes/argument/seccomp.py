"""Arguments of seccomp: operations and flags that it does not know (kernel/seccomp.c:do_seccomp)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule
from wxtrace.model.causes.argument.entries import FLAGS
from wxtrace.model.causes.argument.evidence import argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.syscalls.seccomp import Seccomp

__all__ = ["filter_program", "operation"]

_TSYNC_ESRCH = 16
_KNOWN_FILTER_FLAGS = 0x3F


@rule(FLAGS)
def operation(ctx: CallContext) -> Answer:
    """EINVAL by operation and flags (seccomp_set_mode_filter, seccomp_set_mode_strict)."""
    assert isinstance(ctx.request, Seccomp)
    asked, flags = ctx.request.operation, ctx.request.flags
    both = f.SECCOMP_FILTER_FLAG_TSYNC | f.SECCOMP_FILTER_FLAG_NEW_LISTENER
    if asked == f.SECCOMP_SET_MODE_FILTER:
        wrong = flags & ~_KNOWN_FILTER_FLAGS or (flags & both == both and not flags & _TSYNC_ESRCH)
    elif asked == f.SECCOMP_SET_MODE_STRICT:
        wrong = flags or ctx.request.args
    else:
        wrong = flags or asked not in f.SECCOMP_OP
    if not wrong:
        return LETS_THROUGH
    named = f.named_bits(flags, f.SECCOMP_FLAG)
    fact = argument("operation is %s, flags are %s" % (f.named_value(asked, f.SECCOMP_OP), named))
    return refuses(ctx, FLAGS, fact)


@rule(FLAGS)
def filter_program(ctx: CallContext) -> Answer:
    """EINVAL for a program that the kernel cannot check, or flags that only newer kernels know."""
    assert isinstance(ctx.request, Seccomp)
    if ctx.request.operation != f.SECCOMP_SET_MODE_FILTER:
        return LETS_THROUGH
    fact = argument("flags are %s" % f.named_bits(ctx.request.flags, f.SECCOMP_FLAG))
    return may_refuse(ctx, FLAGS, fact)
