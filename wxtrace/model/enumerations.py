"""The closed sets of words that this field has: what is not free text is one of these."""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag
from typing import Optional

__all__ = [
    "AUDIT_ARCH",
    "PROTS",
    "WORD_SIZE",
    "Abi",
    "Aftermath",
    "Confidence",
    "Decided",
    "Errno",
    "Outcome",
    "Prot",
    "Provenance",
    "Word",
]


class Word(str, Enum):
    """A member is its own text, wherever text is written."""

    __str__ = str.__str__

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)


class Abi(IntEnum):
    """Which set of numbers and registers a call used. A journal keeps the value."""

    X86_64 = 0
    I386 = 1

    @property
    def label(self) -> str:
        """As a timeline names it: x86_64, i386."""
        return self.name.lower()


AUDIT_ARCH = (0xC000003E, 0x40000003)
"""How seccomp and audit name each ABI (include/uapi/linux/audit.h)."""


WORD_SIZE = (8, 4)
"""Bytes of a register, an address or a size, by ABI."""


class Decided(IntEnum):
    """Who answered a call: not observable; the kernel's own code; a seccomp filter that is not ours."""

    UNKNOWN = 0
    BY_KERNEL = 1
    BY_FILTER = 2


class Outcome(Word):
    """What came of a call. An alarm is `refused`, and nothing else."""

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    PROBE = "probe"
    FAKED = "faked"
    UNFINISHED = "unfinished"


class Confidence(Word):
    """How sure a diagnosis is."""

    PROVED = "proved"
    CONSISTENT = "consistent"
    POSSIBLE = "possible"

    @property
    def rank(self) -> int:
        """3 for the surest."""
        return {"proved": 3, "consistent": 2, "possible": 1}[self.value]


class Aftermath(Word):
    """What the program did after a refused call."""

    RECOVERED = "recovered"
    CONTINUED = "continued"
    EXITED = "exited"
    ABORTED = "aborted"
    CRASHED = "crashed"
    RUNNING = "running"
    UNKNOWN = "unknown"


class Provenance(Word):
    """Where memory came from."""

    HEAP = "heap"
    ANON = "anon"
    ANON_SHARED = "anon-shared"
    FILE = "file"
    FILE_COW = "file-cow"
    FILE_SHARED = "file-shared"
    DEV_ZERO = "dev-zero"
    MEMFD = "memfd"
    MEMFD_PRIVATE = "memfd-private"
    MEMFD_COW = "memfd-cow"
    SHM = "shm"
    HUGETLB = "hugetlb"
    SECRETMEM = "secretmem"
    AIO = "aio"
    DEVICE = "device"
    STACK = "stack"
    THREAD_STACK = "thread-stack"
    SHADOW_STACK = "shadow-stack"
    VDSO = "vdso"
    SPECIAL = "special"


class Prot(IntFlag):
    """Protection bits (include/uapi/asm-generic/mman-common.h)."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXEC = 4

    @property
    def letters(self) -> str:
        """`rw-`, as /proc/PID/maps writes it."""
        return _LETTERS[self & 7]


_LETTERS = tuple("".join(letter if bits >> i & 1 else "-" for i, letter in enumerate("rwx")) for bits in range(8))
PROTS = tuple(Prot(bits) for bits in range(8))
"""Every protection by its bits: quicker than making one."""


class Errno(IntEnum):
    """Errors by number (include/uapi/asm-generic/errno-base.h, errno.h). Filters may answer with any number up to 4095.

    `NONE` stands for a call that reports nothing: brk answers with the old break, shmdt with success.
    """

    NONE = 0
    EPERM = 1
    ENOENT = 2
    ESRCH = 3
    EINTR = 4
    EIO = 5
    ENXIO = 6
    E2BIG = 7
    ENOEXEC = 8
    EBADF = 9
    ECHILD = 10
    EAGAIN = 11
    ENOMEM = 12
    EACCES = 13
    EFAULT = 14
    EBUSY = 16
    EEXIST = 17
    EXDEV = 18
    ENODEV = 19
    ENOTDIR = 20
    EISDIR = 21
    EINVAL = 22
    ENFILE = 23
    EMFILE = 24
    ENOTTY = 25
    ETXTBSY = 26
    EFBIG = 27
    ENOSPC = 28
    EROFS = 30
    EDOM = 33
    ERANGE = 34
    EDEADLK = 35
    ENAMETOOLONG = 36
    ENOSYS = 38
    ELOOP = 40
    EIDRM = 43
    EOVERFLOW = 75
    EHWPOISON = 133
    EOPNOTSUPP = 95
    ENOBUFS = 105
    ETIMEDOUT = 110
    ECANCELED = 125
    ERESTARTSYS = 512
    ENOTSUPP = 524

    @classmethod
    def _missing_(cls, value: object) -> Optional[Errno]:
        if not isinstance(value, int) or not 0 < value < 4096:
            return None
        from wxtrace.model.flags import errno_name

        member = int.__new__(cls, value)
        member._name_ = errno_name(value)
        member._value_ = value
        return member
