"""Calls that are not traced, by name: a filter may kill or trap a program for any of them.

Names and arguments are those of python-ptrace (Linux 5.8). Only its tables are run: its packages would bring half of
the standard library along.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from runpy import run_path
from typing import Any, Dict, Optional, Tuple

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.row import Other, Spelling, Syscall

__all__ = ["number_of", "untraced_row"]

_TABLES = {Abi.X86_64: "x86_64.py", Abi.I386: "i386.py"}
_FIRST_POINTER = 1 << 12


@lru_cache(maxsize=256)
def untraced_row(abi: int, number: int) -> Syscall:
    """`syscall_N` where its name is not known."""
    name = _names(abi).get(number, "syscall_%d" % number)
    prototype = _table("prototypes.py").get("SYSCALL_PROTOTYPES", {}).get(name)
    words: Tuple[Tuple[str, Spelling], ...] = tuple(("arg%d" % i, hex) for i in range(6))
    if prototype is not None:
        words = tuple((argument, _spelt) for _, argument in prototype[1][:6])
    return Syscall(name, {}, words, lambda args: Other(name))


def number_of(abi: int, name: str) -> Optional[int]:
    """The number of a call that is not traced; None for a name that is none."""
    return next((number for number, known in _names(abi).items() if known == name), None)


def _spelt(value: int) -> Any:
    return value if value < _FIRST_POINTER else hex(value)


def _names(abi: int) -> Dict[int, str]:
    file = _TABLES.get(Abi(abi))
    names = _table(os.path.join("linux", file)).get("SYSCALL_NAMES", {}) if file is not None else {}
    return dict(names)


@lru_cache(maxsize=8)
def _table(file: str) -> Dict[str, Any]:
    """What one module of ptrace.syscall defines; nothing where it is not there."""
    package = find_spec("ptrace")
    for folder in package.submodule_search_locations or () if package is not None else ():
        path = os.path.join(folder, "syscall", file)
        if os.path.exists(path):
            return run_path(path)
    return {}
