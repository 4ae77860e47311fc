"""address.below-minimum: addresses that are kept free to catch null pointers."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Cause, Need, developer
from wxtrace.model.causes.evidence import number_of, seen
from wxtrace.model.enumerations import Errno
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["BELOW_MINIMUM", "below_minimum"]

_CAP_SYS_RAWIO = 17

BELOW_MINIMUM = Cause(
    "address.below-minimum",
    "kernel",
    "The address lies below vm.mmap_min_addr, which is kept free to catch null pointers.",
    {"mmap": (Errno.EPERM,), "mremap": (Errno.EPERM,), "shmat": (Errno.EPERM,)},
    (Need.ANSWERED, Need.ARGUMENTS, Need.SYSCTL, Need.CAPABILITIES),
    "addresses below vm.mmap_min_addr ({minimum}) are kept free to catch null pointers",
    (developer("Use a higher address."),),
    "security/commoncap.c:cap_mmap_addr",
    example="low_address",
)


@rule(BELOW_MINIMUM)
def below_minimum(ctx: CallContext) -> Answer:
    """A fixed address below vm.mmap_min_addr without CAP_SYS_RAWIO; one that is only a hint is raised to it."""
    address = _fixed_address(ctx)
    if address is None:
        return LETS_THROUGH
    minimum = number_of(ctx.probe.sysctl.get("vm.mmap_min_addr"))
    if minimum is None:
        return cannot_tell(ctx, BELOW_MINIMUM, Need.SYSCTL)
    if address >= minimum:
        return LETS_THROUGH
    has_rawio = ctx.capable(_CAP_SYS_RAWIO)
    return refuses(
        ctx,
        BELOW_MINIMUM,
        seen("address %#x" % address, "the arguments of the call"),
        seen("vm.mmap_min_addr = %d" % minimum, "/proc/sys/vm/mmap_min_addr"),
        seen("CAP_SYS_RAWIO is %s" % ("there" if has_rawio else "missing"), "CapEff in /proc/PID/status"),
        # It counts in the first user namespace only, and which one the process is in is not known.
        certain=not has_rawio,
        minimum=minimum,
    )


def _fixed_address(ctx: CallContext) -> Optional[int]:
    request = ctx.request
    if isinstance(request, Mmap):
        return request.addr if request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE) else None
    if isinstance(request, Mremap):
        return request.new_address if request.flags & f.MREMAP_FIXED else None
    assert isinstance(request, Shmat)
    return request.shmaddr or None
