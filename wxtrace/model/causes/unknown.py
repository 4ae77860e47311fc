"""What is said where no rule explains a failure: what was looked at and excluded."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model.causes import lsm
from wxtrace.model.causes.answer import Answer, may_refuse, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import ANY_CALL, ANY_ERRNO, Case, Cause, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.selinux.policy import selinux_grants
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.event import Evidence

__all__ = ["UNKNOWN", "excluded_modules", "interrupted", "unexplained"]

_UNKNOWN = Cause(
    "unknown",
    None,
    "None of the known rules explains the failure; what was looked at and excluded is the evidence.",
    {ANY_CALL: ANY_ERRNO},
    (),
    "{errno} for a reason that none of the known rules explains",
    (developer("Look for a message of the security module in the kernel log, and report this timeline."),),
    "",
    {
        "interrupted": Case(
            "a fatal signal came while the call waited for the memory map, and nothing was done",
            (developer("Nothing to mend: the process was dying."),),
        ),
        "in-short": Case(
            "{errno}, and why is not known: such calls fail all the time, and this one was not looked at closely",
            (developer("Let the program fail less often: the first failures of each kind are looked at closely."),),
        ),
    },
)
UNKNOWN = (_UNKNOWN,)


@rule(_UNKNOWN)
def interrupted(ctx: CallContext) -> Answer:
    """A fatal signal ends the wait for the memory map (mmap_write_lock_killable): that no other process sees."""
    fact = "EINTR comes from a fatal signal only"
    signal = seen(fact, "mm/util.c:vm_mmap_pgoff (mmap_write_lock_killable)")
    return may_refuse(ctx, _UNKNOWN, signal, errno=Errno.EINTR, case="interrupted", at_most=Confidence.POSSIBLE)


def excluded_modules(ctx: CallContext, came: Errno) -> Tuple[Evidence, ...]:
    """Which security modules did not give this errno, and why."""
    granted = selinux_grants(ctx)
    return (*((granted,) if granted is not None else ()), *lsm.excluded(ctx, came))


def unexplained(ctx: CallContext, came: Errno) -> Answer:
    """The last word on a failure that no rule explains. No rule of an order: it fits everything."""
    if not ctx.looked_at:
        return may_refuse(ctx, _UNKNOWN, case="in-short", at_most=Confidence.POSSIBLE)
    evidence = []
    if ctx.kernel_decided:
        evidence.append(seen("no seccomp filter answered: the call reached the kernel's own code", "ptrace stops"))
    if ctx.host.selinux_enforcing is None and "selinux" in ctx.host.lsm:
        evidence.append(seen("whether SELinux enforces cannot be seen here", "/sys/fs/selinux"))
    elif ctx.host.selinux_enforcing is None:
        evidence.append(seen("SELinux is not running", "/sys/fs/selinux"))
    elif not ctx.host.selinux_enforcing:
        evidence.append(seen("SELinux is permissive", "/sys/fs/selinux/enforce"))
    if ctx.effective_mdwe == 0:
        evidence.append(seen("MDWE is not set", "PR_GET_MDWE"))
    parts = ctx.parts()
    if parts and not any(part.vma.has("sl") for part in parts):
        evidence.append(seen("nothing in the range is sealed", "VmFlags in /proc/PID/smaps"))
    evidence += excluded_modules(ctx, came)
    if not ctx.host.lsm_known:
        evidence.append(seen("which security modules are at work is not known", "/sys/kernel/security/lsm"))
    elif ctx.host.lsm:
        evidence.append(seen("security modules: %s" % ", ".join(ctx.host.lsm), "/sys/kernel/security/lsm"))
    return may_refuse(ctx, _UNKNOWN, *evidence, at_most=Confidence.POSSIBLE)
