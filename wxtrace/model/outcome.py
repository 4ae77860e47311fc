"""Is a failed call an alarm? By the entry of its cause, and by what its failure takes from anybody.

`refused`: a rule, policy or limit said no. `failed`: the call could never work. `probe`: what healthy programs do
to find out what they may; recorded and counted, never shouted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.row import CallRequest
from wxtrace.model.syscalls.table import BY_NAME

if TYPE_CHECKING:
    from wxtrace.model.causes.entry import Cause

__all__ = ["may_be_refused", "outcome_of_failure"]

_NEVER_REFUSED = frozenset({"EEXIST", "EBADF", "EFAULT", "ENOSYS", "ENODEV", "EOVERFLOW", "EINTR"})
"""Errors that no rule, policy or limit answers with."""
_UNFIT = _NEVER_REFUSED | {"EINVAL"}
"""The same where the kernel's own code is known to have answered: EINVAL is what filters like to give as well."""


def may_be_refused(name: str, errno: str, by_filter: bool) -> bool:
    """Whether such an answer can turn out an alarm, told before its cause is known: what costs time is for those.

    `by_filter`: a foreign seccomp filter gave it. `errno` is empty where there is none.
    """
    row = BY_NAME.get(name)
    if row is not None and row.feature_test:
        return False
    if name == "madvise":
        return errno == "EPERM" and not by_filter
    if name == "memfd_create" and errno == "EINVAL":
        return by_filter
    return by_filter or errno not in _NEVER_REFUSED


def outcome_of_failure(
    cause: Cause, request: CallRequest, errno: Errno, by_kernel: bool = False, case: str = ""
) -> Outcome:
    """What it means that a call did not succeed. `by_kernel`: no filter answered, for certain."""
    row = BY_NAME.get(request.name)
    told = cause.case(case).outcome or cause.outcomes.get(request.name)
    if told is not None:
        return told
    if errno is Errno.ENOSYS and cause.family == "seccomp" and row is not None and row.in_every_kernel:
        return cause.outcome
    if (row is not None and row.feature_test) or errno in (Errno.ENOSYS, Errno.EINTR):
        return Outcome.PROBE
    told = cause.outcomes.get(errno)
    if told is not None:
        return told
    if cause.outcome is not Outcome.REFUSED:
        return cause.outcome
    if cause.id == "unknown" and by_kernel and errno.name in _UNFIT:
        return Outcome.FAILED
    # What reads the memory of the program, and advice that is not taken, take nothing from it.
    return Outcome.PROBE if errno is Errno.EFAULT or request.name == "madvise" else Outcome.REFUSED
