"""What depends on the architecture: one place an ABI, and registers without the rest of python-ptrace."""

from __future__ import annotations

import subprocess
import sys

from wxtrace.live.arch import ABI_OF, CONVENTIONS
from wxtrace.model.enumerations import AUDIT_ARCH, Abi


def test_every_abi_has_its_place_and_its_audit_number() -> None:
    assert [convention.abi for convention in CONVENTIONS] == list(Abi)
    assert [ABI_OF[number] for number in AUDIT_ARCH] == list(Abi)


def test_registers_need_no_more_of_python_ptrace_than_its_structures() -> None:
    code = "import sys, wxtrace.live.arch.registers; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "ptrace" in modules
    assert not {"ptrace.binding", "ptrace.ctypes_libc", "ptrace.syscall"} & set(modules)
