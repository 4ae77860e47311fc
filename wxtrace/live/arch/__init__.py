"""The machine that wxtrace runs on, and the ABIs of its programs: one file an ABI.

Another architecture is another such file, and a choice here; nothing else of `live` names one. No request is made
here: registers.py does that, and is imported late.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Tuple

from wxtrace.decoders.auxv import is_32_bit
from wxtrace.live.arch import i386
from wxtrace.live.arch.convention import Code, Convention, ThreadState
from wxtrace.live.arch.x86_64 import (
    CALL_NUMBER,
    CONVENTION,
    CPU_FEATURES,
    INSTRUCTION_POINTER,
    LOW_ADDRESSES,
    MACHINE_ORDER,
    RED_ZONE,
    RESULT,
    SYS_BPF,
    SYS_KCMP,
    SYS_PTRACE,
    SYS_STATX,
    SYS_TKILL,
    USER_CS_32,
    address_bits,
)
from wxtrace.model.enumerations import AUDIT_ARCH, Abi

__all__ = [
    "ABI_OF",
    "CALL_NUMBER",
    "CODE",
    "CONVENTIONS",
    "CPU_FEATURES",
    "INSTRUCTION_POINTER",
    "LOW_ADDRESSES",
    "MACHINE_ORDER",
    "NATIVE",
    "PAGE_SIZE",
    "RED_ZONE",
    "RESULT",
    "SYS_BPF",
    "SYS_KCMP",
    "SYS_PTRACE",
    "SYS_STATX",
    "SYS_TKILL",
    "abi_of_image",
    "address_bits",
    "thread_state",
]

NATIVE = CONVENTION.abi
"""The ABI of the tracer's own calls."""
CONVENTIONS: Tuple[Convention, ...] = (CONVENTION, i386.CONVENTION)
"""By ABI."""
CODE: Dict[int, Code] = {convention.code.bits: convention.code for convention in CONVENTIONS}
"""By its bits."""
ABI_OF: Dict[int, Abi] = {AUDIT_ARCH[convention.abi]: convention.abi for convention in CONVENTIONS}
"""By `arch` of struct ptrace_syscall_info."""
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
"""Bytes."""


def abi_of_image(auxv: bytes) -> Abi:
    """The ABI that a program was loaded for, by /proc/PID/auxv."""
    return i386.CONVENTION.abi if is_32_bit(auxv) else NATIVE


def thread_state(regs: Any) -> ThreadState:
    """What unwinding needs of python-ptrace's structure, whichever code runs."""
    code = CODE[32 if regs.cs == USER_CS_32 else 64]
    return ThreadState(code.bits, tuple(int(getattr(regs, name)) for name in code.registers), getattr(regs, code.teb))
