"""Well-known filters, recognised by what they answer to a few calls, whoever wrote them.

systemd: src/shared/seccomp-util.c (seccomp_memory_deny_write_execute, seccomp_lock_personality). Docker and podman:
their default profile lets personality() pass for a list of values only.
"""

from __future__ import annotations

import errno
from typing import Callable, Optional, Sequence, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.seccomp.evidence import answer_to
from wxtrace.model.enumerations import Abi
from wxtrace.model.filters import Action, Asked
from wxtrace.model.syscalls.table import NUMBERS

__all__ = ["profile_of"]

_R, _RW, _RX, _RWX = 1, 3, 5, 7
_PRIVATE_ANONYMOUS = 0x22
_ANY_FD = (1 << 64) - 1
_PER_BSD, _PER_LINUX32 = 0x6, 0x8
_UNAME26, _ASK = 0x20000, 0xFFFFFFFF


def _mmap(prot: int) -> Asked:
    return Asked(Abi.X86_64, NUMBERS[Abi.X86_64]["mmap"], (0, 4096, prot, _PRIVATE_ANONYMOUS, _ANY_FD, 0))


def _mprotect(prot: int) -> Asked:
    return Asked(Abi.X86_64, NUMBERS[Abi.X86_64]["mprotect"], (0x10000, 4096, prot, 0, 0, 0))


def _personality(value: int) -> Asked:
    return Asked(Abi.X86_64, NUMBERS[Abi.X86_64]["personality"], (value, 0, 0, 0, 0, 0))


Test = Tuple[Asked, bool]
_WRITE_EXECUTE: Sequence[Test] = (
    (_mmap(_RWX), False),
    (_mprotect(_RX), False),
    (_mmap(_RX), True),
    (_mmap(_RW), True),
    (_mprotect(_RW), True),
)
_LOCK_PERSONALITY: Sequence[Test] = (
    (_personality(f.READ_IMPLIES_EXEC), False),
    (_personality(_PER_LINUX32), False),
    (_personality(_UNAME26), False),
    (_personality(0), True),
)
_CONTAINER_PERSONALITY: Sequence[Test] = (
    (_personality(f.READ_IMPLIES_EXEC), False),
    (_personality(_PER_BSD), False),
    (_personality(_PER_LINUX32), True),
    (_personality(_UNAME26), True),
    (_personality(_ASK), True),
)
_KNOWN = {
    "mmap": (("write-execute", _WRITE_EXECUTE),),
    "mprotect": (("write-execute", _WRITE_EXECUTE),),
    "pkey_mprotect": (("write-execute", _WRITE_EXECUTE),),
    "shmat": (("write-execute", _WRITE_EXECUTE),),
    "personality": (("lock-personality", _LOCK_PERSONALITY), ("personality", _CONTAINER_PERSONALITY)),
}


def profile_of(ctx: CallContext, result: Optional[int]) -> Optional[str]:
    """The case of seccomp.errno that names the setting behind a filter which answered `result`.

    None for a filter that is like no other.
    """
    if result != -errno.EPERM:
        return None
    for name, tests in _KNOWN.get(ctx.request.name, ()):
        if _passes(tests, lambda asked: _action(ctx, asked)):
            return name
    return None


def _action(ctx: CallContext, asked: Asked) -> Optional[Action]:
    said = answer_to(ctx, asked)
    return None if said is None else said.action


def _passes(tests: Sequence[Test], action: Callable[[Asked], Optional[Action]]) -> bool:
    for asked, allowed in tests:
        found = action(asked)
        if found is None or found.lets_in != allowed:
            return False
        if not allowed and found != Action("ERRNO", errno.EPERM):
            return False
    return True
