"""General registers of a stopped task, in python-ptrace's structure.

Imported where a call was refused or a task has to be asked something, not at the start: python-ptrace brings `logging`
and `datetime` along, as slow to import as half of the tracer.
"""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType
from typing import Tuple

from wxtrace.live import ptrace
from wxtrace.model.enumerations import Abi

# python-ptrace looks for the C library with find_library, which runs ldconfig (and a compiler, where that fails).
# The library is loaded already, and reached by no name.
_loaded = ModuleType("ptrace.ctypes_libc")
_loaded.__dict__.update(LIBC_FILENAME=None, libc=ctypes.CDLL(None, use_errno=True))
sys.modules.setdefault(_loaded.__name__, _loaded)

from ptrace.binding import func as _func  # noqa: E402
from ptrace.binding.linux_struct import user_regs_struct  # noqa: E402

__all__ = ["injected_call", "registers", "set_registers"]


def registers(tid: int) -> user_regs_struct:
    """Those of a stopped task. Raises TaskGone, or OSError."""
    regs = user_regs_struct()
    ptrace.request(_func.PTRACE_GETREGS, tid, 0, ctypes.addressof(regs))
    return regs


def set_registers(tid: int, regs: user_regs_struct) -> None:
    """Write them back. Raises TaskGone, or OSError."""
    ptrace.request(_func.PTRACE_SETREGS, tid, 0, ctypes.addressof(regs))


def injected_call(regs: user_regs_struct, abi: int, name_number: int, args: Tuple[int, ...]) -> user_regs_struct:
    """Registers that run the system-call instruction just executed once more, with another call."""
    changed = user_regs_struct()
    ctypes.memmove(ctypes.addressof(changed), ctypes.addressof(regs), ctypes.sizeof(regs))
    changed.rip = regs.rip - 2
    changed.rax = name_number
    names = ("rdi", "rsi", "rdx", "r10", "r8") if abi == Abi.X86_64 else ("rbx", "rcx", "rdx", "rsi", "rdi")
    for name, value in zip(names, args):
        setattr(changed, name, value)
    return changed
