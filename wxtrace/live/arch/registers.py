"""General registers of a stopped task, in python-ptrace's structure.

Imported where a call was refused or a task has to be asked something, not at the start: python-ptrace brings `logging`
and `datetime` along, as slow to import as half of the tracer.
"""

from __future__ import annotations

import ctypes
import os
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any, Tuple

import ptrace as python_ptrace

from wxtrace.live import ptrace
from wxtrace.live.arch import CONVENTIONS
from wxtrace.live.arch.x86_64 import (
    IP_REGISTER,
    NUMBER_REGISTER,
    PTRACE_GETREGS,
    PTRACE_SETREGS,
    RESULT_REGISTER,
    SP_REGISTER,
)

__all__ = [
    "arguments",
    "call_again",
    "call_number",
    "call_result",
    "injected_call",
    "instruction_pointer",
    "registers",
    "set_registers",
    "stack_pointer",
]

Registers = Any
"""user_regs_struct of python-ptrace: that of the machine, whatever the ABI of the task."""


def _structures() -> ModuleType:
    """`ptrace.binding.linux_struct` by its file, without the package around it.

    The package looks for the C library with find_library, which runs ldconfig (and a compiler, where that fails) as a
    child of whoever imports it. The structures need nothing of that.
    """
    spec = PathFinder.find_spec("linux_struct", [os.path.join(folder, "binding") for folder in python_ptrace.__path__])
    if spec is None or spec.loader is None:
        raise ImportError("python-ptrace has no structures for this system")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_user_regs_struct = _structures().user_regs_struct


def registers(tid: int) -> Registers:
    """Those of a stopped task. Raises TaskGone, or OSError."""
    regs = _user_regs_struct()
    ptrace.request(PTRACE_GETREGS, tid, 0, ctypes.addressof(regs))
    return regs


def set_registers(tid: int, regs: Registers) -> None:
    """Write them back. Raises TaskGone, or OSError."""
    ptrace.request(PTRACE_SETREGS, tid, 0, ctypes.addressof(regs))


def instruction_pointer(regs: Registers) -> int:
    """Where the task goes on."""
    return int(getattr(regs, IP_REGISTER))


def stack_pointer(regs: Registers) -> int:
    """The top of its stack."""
    return int(getattr(regs, SP_REGISTER))


def call_number(regs: Registers) -> int:
    """The register, all of it, that held the number of the call that the task is in or came from."""
    return int(getattr(regs, NUMBER_REGISTER))


def call_result(regs: Registers) -> int:
    """The register, all of it, that holds what that call returns."""
    return int(getattr(regs, RESULT_REGISTER))


def arguments(regs: Registers, abi: int) -> Tuple[int, ...]:
    """The registers, all of them, that hold the arguments of a call by this ABI."""
    return tuple(int(getattr(regs, name)) for name in CONVENTIONS[abi].arguments)


def call_again(regs: Registers, abi: int) -> None:
    """Make them those with which the same call is made once more.

    As the kernel does it itself (arch/x86/kernel/signal.c: handle_signal): all its ways in have as many bytes.
    """
    setattr(regs, RESULT_REGISTER, call_number(regs))
    setattr(regs, IP_REGISTER, instruction_pointer(regs) - len(CONVENTIONS[abi].instruction))


def injected_call(regs: Registers, abi: int, number: int, args: Tuple[int, ...]) -> Registers:
    """Registers that run the system-call instruction just executed once more, with another call."""
    changed = _user_regs_struct()
    ctypes.memmove(ctypes.addressof(changed), ctypes.addressof(regs), ctypes.sizeof(regs))
    call_again(changed, abi)
    setattr(changed, RESULT_REGISTER, number)
    for name, value in zip(CONVENTIONS[abi].arguments, args):
        setattr(changed, name, value)
    return changed
