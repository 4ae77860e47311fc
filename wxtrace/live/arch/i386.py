"""i386: the calls of 32-bit programs on an x86-64 machine."""

from __future__ import annotations

from wxtrace.live.arch.convention import Code, Convention
from wxtrace.model.enumerations import Abi

__all__ = ["CONVENTION"]

CONVENTION = Convention(
    Abi.I386,
    instruction=b"\xcd\x80",
    arguments=("rbx", "rcx", "rdx", "rsi", "rdi", "rbp"),
    offsets=(40, 88, 96, 104, 112, 32),
    exit=1,
    code=Code(
        32,
        # %eax to %eip, 0 to 8 (System V ABI, Intel386 supplement).
        ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "rip"),
        sp=4,
        fp=5,
        elf_machine="EM_386",
        teb="fs_base",
        nt_tib="<4xII12xI",
    ),
)
