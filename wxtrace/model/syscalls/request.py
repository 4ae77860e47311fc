"""What every request of a system call has, and how it is made from registers."""

from __future__ import annotations

from typing import Callable, Dict, Optional, Protocol, Tuple

from wxtrace.model.syscalls.aio import IoDestroy, IoSetup
from wxtrace.model.syscalls.arch_prctl import ArchPrctl
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.madvise import Madvise, ProcessMadvise
from wxtrace.model.syscalls.memfd import MemfdCreate, MemfdSecret
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.mseal import Mseal
from wxtrace.model.syscalls.munmap import Munmap
from wxtrace.model.syscalls.personality import Personality
from wxtrace.model.syscalls.pkey import PkeyAlloc, PkeyFree
from wxtrace.model.syscalls.prctl import Prctl
from wxtrace.model.syscalls.process import Clone, Clone3, Fork, Vfork
from wxtrace.model.syscalls.ptrace import Ptrace
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages
from wxtrace.model.syscalls.seccomp import Seccomp
from wxtrace.model.syscalls.shadow_stack import MapShadowStack
from wxtrace.model.syscalls.shm import Shmat, Shmdt

__all__ = ["CallRequest", "Other", "typed_request"]

Words = Tuple[int, ...]


class CallRequest(Protocol):
    """`start` and `length` in bytes name the range that the call speaks of; both 0 where it speaks of none."""

    @property
    def name(self) -> str: ...

    @property
    def start(self) -> int: ...

    @property
    def length(self) -> int: ...


class Other:
    """A call whose arguments mean nothing to the map."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = 0
        self.length = 0


def _u32(value: int) -> int:
    return value & 0xFFFFFFFF


def _s32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


_MAKERS: Dict[str, Callable[[Words], CallRequest]] = {
    "mmap": lambda a: Mmap(a[0], a[1], a[2], _u32(a[3]), _s32(a[4]), a[5]),
    "mmap2": lambda a: Mmap(a[0], a[1], a[2], _u32(a[3]), _s32(a[4]), a[5] * 4096),
    "munmap": lambda a: Munmap(a[0], a[1]),
    "mprotect": lambda a: Mprotect(a[0], a[1], a[2]),
    "pkey_mprotect": lambda a: Mprotect(a[0], a[1], a[2], _s32(a[3])),
    "mremap": lambda a: Mremap(a[0], a[1], a[2], a[3], a[4]),
    "brk": lambda a: Brk(a[0]),
    "madvise": lambda a: Madvise(a[0], a[1], _u32(a[2])),
    "process_madvise": lambda a: ProcessMadvise(_s32(a[0]), a[1], a[2], _u32(a[3]), _u32(a[4])),
    "mseal": lambda a: Mseal(a[0], a[1], a[2]),
    "shmat": lambda a: Shmat(_s32(a[0]), a[1], _u32(a[2])),
    "shmdt": lambda a: Shmdt(a[0]),
    "remap_file_pages": lambda a: RemapFilePages(a[0], a[1], a[2], a[3] * 4096, a[4]),
    "memfd_create": lambda a: MemfdCreate(a[0], _u32(a[1])),
    "memfd_secret": lambda a: MemfdSecret(_u32(a[0])),
    "pkey_alloc": lambda a: PkeyAlloc(a[0], a[1]),
    "pkey_free": lambda a: PkeyFree(_s32(a[0])),
    "map_shadow_stack": lambda a: MapShadowStack(a[0], a[1], _u32(a[2])),
    "arch_prctl": lambda a: ArchPrctl(_u32(a[0]), a[1]),
    "prctl": lambda a: Prctl(_u32(a[0]), *a[1:5]),
    "seccomp": lambda a: Seccomp(_u32(a[0]), _u32(a[1]), a[2]),
    "io_setup": lambda a: IoSetup(_u32(a[0]), a[1]),
    "io_destroy": lambda a: IoDestroy(a[0]),
    "fork": lambda a: Fork(),
    "vfork": lambda a: Vfork(),
    "clone": lambda a: Clone(a[0], a[1]),
    "clone3": lambda a: Clone3(a[0], a[1]),
    "ptrace": lambda a: Ptrace(_u32(a[0]), _s32(a[1]), a[2], a[3]),
    "personality": lambda a: Personality(_u32(a[0])),
}


def typed_request(name: str, args: Optional[Words]) -> CallRequest:
    """The request that registers make. `args`: six words, zero-extended on i386."""
    maker = _MAKERS.get(name)
    if maker is None or args is None:
        return Other(name)
    return maker(args)
