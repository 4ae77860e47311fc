"""secretmem: memory that nobody else can read, not even the kernel (mm/secretmem.c)."""

from __future__ import annotations

from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import IF_DENIED, Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.kernel import came_with, is_older, version
from wxtrace.model.causes.opened import ARGUMENTS, file_request, is_shared, shown
from wxtrace.model.enumerations import Errno, Outcome

__all__ = ["SECRETMEM", "private_mapping", "switched_off"]

SECRETMEM = Cause(
    "secretmem",
    "kernel",
    "Secret memory (memfd_secret) can only be mapped shared, and may be switched off on this machine.",
    {"memfd_secret": (Errno.ENOSYS,), "mmap": (Errno.EINVAL,)},
    (Need.ANSWERED,),
    "secret memory can only be mapped MAP_SHARED",
    (developer("Map it MAP_SHARED."),),
    "mm/secretmem.c",
    {
        "old": Case(
            "this kernel ({kernel}) has no secret memory, which came with Linux {since}",
            (developer("Go on without it: mlock and MADV_DONTDUMP protect almost as well."),),
        ),
        "off": Case(
            "this kernel offers no secret memory (it is off by default before Linux 6.5)",
            (
                developer("Go on without it: mlock and MADV_DONTDUMP protect almost as well."),
                admin("Start the kernel with secretmem.enable=1."),
            ),
        ),
    },
    outcome=Outcome.FAILED,
    outcomes=IF_DENIED,
)


@rule(SECRETMEM)
def switched_off(ctx: CallContext) -> Answer:
    """memfd_secret: not in this kernel, or switched off, or the machine cannot take memory from the kernel's map."""
    case = "old" if is_older(ctx) else "off"
    return may_refuse(ctx, SECRETMEM, version(ctx), case=case, by_exclusion=True, since=came_with(ctx))


@rule(SECRETMEM)
def private_mapping(ctx: CallContext) -> Answer:
    """Shared mappings only (mm/secretmem.c:secretmem_mmap_prepare)."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None or is_shared(request):
        return LETS_THROUGH
    if descriptor is None:
        return cannot_tell(ctx, SECRETMEM, Need.DESCRIPTOR)
    if not descriptor.link.startswith("/secretmem"):
        return LETS_THROUGH
    return refuses(ctx, SECRETMEM, shown(ctx, request), seen("MAP_PRIVATE was asked", ARGUMENTS))
