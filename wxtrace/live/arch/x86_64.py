"""x86-64: the machine, and the calls of its 64-bit programs."""

from __future__ import annotations

from typing import Collection

from wxtrace.live.arch.convention import Code, Convention
from wxtrace.model.enumerations import Abi

__all__ = ["CONVENTION", "address_bits"]

CALL_NUMBER, RESULT, INSTRUCTION_POINTER = 120, 80, 128
"""Where orig_rax, rax and rip stand in struct user, in bytes (arch/x86/include/uapi/asm/ptrace-abi.h)."""
NUMBER_REGISTER, RESULT_REGISTER, IP_REGISTER, SP_REGISTER = "orig_rax", "rax", "rip", "rsp"
"""By their names in python-ptrace's structure."""
PTRACE_GETREGS, PTRACE_SETREGS = 12, 13
"""arch/x86/include/uapi/asm/ptrace-abi.h; the same structure whatever the ABI of the task."""

USER_CS_32 = 0x23
"""The code segment while 32-bit code runs, whatever the call's ABI (arch/x86/include/asm/segment.h)."""
RED_ZONE = 128
"""Bytes below the stack pointer that belong to the function (System V ABI, AMD64 supplement, 3.2.2)."""

SYS_PTRACE, SYS_TKILL, SYS_KCMP, SYS_BPF, SYS_STATX = 101, 200, 312, 321, 332
"""Calls of the tracer's own (arch/x86/entry/syscalls/syscall_64.tbl)."""

MACHINE_ORDER = (0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15)
"""The DWARF numbers of rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15: the order of machine code."""

CPU_FEATURES = ("pku", "ospke", "user_shstk")
"""Those of protection keys and shadow stacks, as /proc/cpuinfo lists them."""
LOW_ADDRESSES = (1 << 30, 1 << 31)
"""Where MAP_32BIT looks (arch/x86/kernel/sys_x86_64.c:find_start_end)."""

# fmt: off
_DWARF = (
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
)
"""0 to 16 (System V ABI, AMD64 supplement, figure 3.36)."""
# fmt: on

CONVENTION = Convention(
    Abi.X86_64,
    instruction=b"\x0f\x05",
    arguments=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    offsets=(112, 104, 96, 56, 72, 64),
    exit=60,
    code=Code(64, _DWARF, sp=7, fp=6, elf_machine="EM_X86_64", teb="gs_base", nt_tib="<8xQQ24xQ"),
)


def address_bits(features: Collection[str]) -> int:
    """Of a 64-bit program, by the features in /proc/cpuinfo.

    The flag is there only where 5-level paging is in use (arch/x86/kernel/cpu/common.c).
    """
    return 56 if "la57" in features else 47
