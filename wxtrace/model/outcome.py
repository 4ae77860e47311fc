"""Is a failed call an alarm? One table, by cause, call and errno.

`refused`: a rule, policy or limit said no. `failed`: the call could never work. `probe`: what healthy programs do
to find out what they may; recorded and counted, never shouted.
"""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.calls import Request
from wxtrace.model.event import FAILED, PROBE, REFUSED

__all__ = ["may_be_refused", "outcome_of_failure"]

_NEVER_COULD_WORK = ("argument.",)
_CAUSES = {
    "fd.bad": FAILED,
    "fd.not-mappable": FAILED,
    "fd.offset-overflow": FAILED,
    # EOPNOTSUPP is how MAP_SYNC is meant to be tried.
    "fd.no-dax": PROBE,
    "address.unmapped": FAILED,
    "address.no-room": PROBE,
    "address.occupied": PROBE,
    # malloc falls back to mmap by itself where the heap meets another mapping.
    "address.brk-collision": PROBE,
    "limit.hugepages": PROBE,
    "memfd.flags": PROBE,
    "hugetlb": FAILED,
    "argument.advice": PROBE,
    "tracer.interference": PROBE,
}
_DENIALS = ("EACCES", "EPERM")
"""By the causes below nothing was denied but with these errnos: others say that the call itself does not fit."""
_DENIED_OR_UNFIT = frozenset(
    {"fd.driver", "address.special-mapping", "argument.shm", "secretmem", "shadow-stack", "pkey"}
)
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


_IN_EVERY_KERNEL = frozenset({"mmap", "munmap", "mprotect", "mremap", "shmat", "shmdt"})
"""No program asks whether these are there: ENOSYS is a filter's way to refuse them."""
_NEVER_REFUSED = frozenset({"EEXIST", "EBADF", "EFAULT", "ENOSYS", "ENODEV", "EOVERFLOW", "EINTR"})
"""Errors that no rule, policy or limit answers with."""
_UNFIT = _NEVER_REFUSED | {"EINVAL"}
"""The same where the kernel's own code is known to have answered: EINVAL is what filters like to give as well."""


def may_be_refused(name: str, errno: str, by_filter: bool) -> bool:
    """Whether such an answer can turn out an alarm, told before its cause is known: what costs time is for those.

    `by_filter`: a foreign seccomp filter gave it. `errno` is empty where there is none.
    """
    if name in _FEATURE_TESTS:
        return False
    if name == "madvise":
        return errno == "EPERM" and not by_filter
    if name == "memfd_create" and errno == "EINVAL":
        return by_filter
    return by_filter or errno not in _NEVER_REFUSED


def outcome_of_failure(cause: str, request: Request, errno: str, by_kernel: bool = False) -> str:
    """`refused`, `failed` or `probe` for a call that did not succeed. `by_kernel`: no filter answered, for certain."""
    known = _CAUSES.get(cause)
    if known is not None:
        return known
    if errno == "ENOSYS" and cause.startswith("seccomp.") and request.name in _IN_EVERY_KERNEL:
        return REFUSED
    if request.name in _FEATURE_TESTS or errno in ("ENOSYS", "EINTR"):
        return PROBE
    if cause in _DENIED_OR_UNFIT:
        return REFUSED if errno in _DENIALS else FAILED
    if cause.startswith(_NEVER_COULD_WORK) or (cause == "unknown" and by_kernel and errno in _UNFIT):
        return FAILED
    if errno == "EFAULT":
        return PROBE
    if request.name == "madvise" and cause != "mseal":
        return PROBE
    if cause == "limit.overcommit" and request.name == "mmap" and not (request.prot or 0) & f.PROT_EXEC:
        # Asking for more than there is and taking less is how allocators size themselves.
        return PROBE
    return REFUSED
