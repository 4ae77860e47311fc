"""Arguments of prctl(PR_SET_MDWE): unknown bits, an older kernel, or an attempt to change it."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.argument.entries import FLAGS
from wxtrace.model.causes.argument.evidence import argument
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import seen
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.prctl import Prctl

__all__ = ["set_mdwe"]

_REFUSE_EXEC_GAIN, _NO_INHERIT = 1, 2


@rule(FLAGS)
def set_mdwe(ctx: CallContext) -> Answer:
    """kernel/sys.c:prctl_set_mdwe; Linux 6.3, PR_MDWE_NO_INHERIT from 6.6 on."""
    assert isinstance(ctx.request, Prctl)
    request = ctx.request
    if request.option != f.PR_SET_MDWE:
        return LETS_THROUGH
    bits = argument("bits are %s" % f.named_bits(request.arg2, f.MDWE))
    if (0, 0) < ctx.kernel < (6, 3):
        version = seen("this is Linux %s" % ctx.host.kernel, "uname")
        return refuses(ctx, FLAGS, bits, version, errno=Errno.EINVAL, case="mdwe-old")
    known = _REFUSE_EXEC_GAIN | (0 if (0, 0) < ctx.kernel < (6, 6) else _NO_INHERIT)
    alone = request.arg2 & _NO_INHERIT and not request.arg2 & _REFUSE_EXEC_GAIN
    if request.arg3 or request.arg4 or request.arg5 or request.arg2 & ~known or alone:
        return refuses(ctx, FLAGS, bits, errno=Errno.EINVAL, case="mdwe")
    now = ctx.effective_mdwe
    if now is None:
        return cannot_tell(ctx, FLAGS, Need.MDWE, errno=Errno.EPERM)
    return (
        refuses(ctx, FLAGS, bits, errno=Errno.EPERM, case="mdwe-kept") if now not in (0, request.arg2) else LETS_THROUGH
    )
