"""What has to be known of an ABI: how its calls are made, and how its code keeps its stack."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from wxtrace.model.enumerations import Abi

__all__ = ["Code", "Convention", "ThreadState"]


class Code(NamedTuple):
    """What unwinding has to know of a kind of machine code; registers by their names in python-ptrace's structure.

    `registers`: those that DWARF numbers, in its order, the instruction pointer last. `sp`, `fp`: the numbers of the
    stack pointer and the frame pointer. `elf_machine`: as pyelftools names it. `teb`: the segment base that leads to a
    Windows thread's TEB, and `nt_tib` the layout (of `struct`) of its stack base, stack limit and own address.
    """

    bits: int
    registers: Tuple[str, ...]
    sp: int
    fp: int
    elf_machine: str
    teb: str
    nt_tib: str


class ThreadState(NamedTuple):
    """Registers of a thread that stands still, in DWARF's order, and where its TEB would be if it ran Windows code.

    `bits` is the kind of code at the instruction pointer, whatever the ABI of the call that it is in.
    """

    bits: int
    registers: Tuple[int, ...]
    teb: int


class Convention(NamedTuple):
    """How calls are made by one ABI.

    `instruction`: the system-call instruction. `arguments`: the registers of the six arguments, by their names in
    python-ptrace's structure; `offsets`: where they stand in struct user, in bytes. `exit`: the number of exit(2).
    """

    abi: Abi
    instruction: bytes
    arguments: Tuple[str, ...]
    offsets: Tuple[int, ...]
    exit: int
    code: Code
