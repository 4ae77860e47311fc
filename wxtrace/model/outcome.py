"""Is a failed call an alarm? One table, by cause, call and errno.

`refused`: a rule, policy or limit said no. `failed`: the call could never work. `probe`: what healthy programs do
to find out what they may; recorded and counted, never shouted.
"""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import FAILED, PROBE, REFUSED

__all__ = ["outcome_of_failure"]

_NEVER_COULD_WORK = ("argument.",)
_CAUSES = {
    "fd.bad": FAILED,
    "fd.not-mappable": FAILED,
    "fd.offset-overflow": FAILED,
    "address.unmapped": FAILED,
    "address.no-room": PROBE,
    "address.occupied": PROBE,
    # malloc falls back to mmap by itself where the heap meets another mapping.
    "address.brk-collision": PROBE,
    "limit.hugepages": PROBE,
    "memfd.flags": PROBE,
    "argument.advice": PROBE,
    "tracer.interference": PROBE,
}
_FEATURE_TESTS = frozenset(
    {
        "prctl",
        "arch_prctl",
        "seccomp",
        "ptrace",
        "pkey_alloc",
        "pkey_free",
        "memfd_secret",
        "map_shadow_stack",
        "process_madvise",
        "io_setup",
        "io_destroy",
        "clone",
        "clone3",
        "fork",
        "vfork",
    }
)
"""Calls whose failure takes no memory or protection away from anybody."""


def outcome_of_failure(cause: str, request: Request, errno: str) -> str:
    """`refused`, `failed` or `probe` for a call that did not succeed."""
    known = _CAUSES.get(cause)
    if known is not None:
        return known
    if cause.startswith(_NEVER_COULD_WORK):
        return FAILED
    if request.name in _FEATURE_TESTS or errno in ("ENOSYS", "EFAULT"):
        return PROBE
    if request.name == "madvise" and cause != "mseal":
        return PROBE
    if cause == "limit.overcommit" and request.name == "mmap" and not (request.prot or 0) & f.PROT_EXEC:
        # Asking for more than there is and taking less is how allocators size themselves.
        return PROBE
    return REFUSED
