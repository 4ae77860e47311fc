"""What of a thread's stack is volatile, copied while it stands still: registers, stack bytes, executable mappings.

Copying takes a fraction of a millisecond, in the helper process (inquiry.py); making frames of it is another one's work
(unwinder.py), which imports this module too, so nothing here may import ptrace.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from wxtrace.decoders.procmaps import MapLine
from wxtrace.live.arch import CODE, PAGE_SIZE, RED_ZONE
from wxtrace.live.arch.convention import ThreadState
from wxtrace.live.procfs import MapsFile, pages_with_contents

__all__ = ["MOST_SAMPLE_BYTES", "StackSample", "sample_by", "take_sample"]

MOST_STACK_BYTES = 64 << 10
MOST_OTHER_BYTES = 16 << 10
MOST_VDSO_BYTES = 16 << 10
MOST_MAPPINGS = 1024
MOST_MAPPING_BYTES = 64 << 10
MOST_SAMPLE_BYTES = 2 * MOST_STACK_BYTES + MOST_OTHER_BYTES + MOST_VDSO_BYTES + MOST_MAPPING_BYTES + PAGE_SIZE

MOST_PARTS_OF_IMAGE = 16


class StackSample(NamedTuple):
    """One stack as it was. `registers` in DWARF's order, the instruction pointer last; `windows` are (start, bytes).

    `bits` is the kind of code at the instruction pointer, whatever the call's ABI. `vdso`: the bytes of [vdso].
    `headers`: where files begin whose code was not mapped but read into anonymous memory behind them (Wine).
    """

    tid: int
    bits: int
    registers: Tuple[int, ...]
    windows: Tuple[Tuple[int, bytes], ...]
    mappings: Tuple[MapLine, ...]
    vdso: bytes
    headers: Tuple[MapLine, ...] = ()

    @property
    def ip(self) -> int:
        """Where the thread goes on."""
        return self.registers[-1]

    @property
    def sp(self) -> int:
        """The stack pointer."""
        return self.registers[CODE[self.bits].sp]

    @property
    def fp(self) -> int:
        """The frame pointer's register, whatever is in it."""
        return self.registers[CODE[self.bits].fp]

    def mapping_at(self, address: int) -> Optional[MapLine]:
        """The executable mapping there."""
        return next((line for line in self.mappings if line.start <= address < line.end), None)

    def read(self, address: int, size: int) -> Optional[bytes]:
        """Bytes of the stack; None outside of what was copied."""
        for start, data in self.windows:
            if start <= address and address + size <= start + len(data):
                return data[address - start : address - start + size]
        return None

    def packed(self) -> bytes:
        """One message: a line of JSON, then all bytes."""
        head = {
            "tid": self.tid,
            "bits": self.bits,
            "registers": self.registers,
            "windows": [(start, len(data)) for start, data in self.windows],
            "mappings": self.mappings,
            "vdso": len(self.vdso),
            "headers": self.headers,
        }
        return b"".join([json.dumps(head).encode("ascii"), b"\n", *(data for _, data in self.windows), self.vdso])

    @classmethod
    def unpacked(cls, message: bytes) -> StackSample:
        """What `packed` made."""
        head, _, data = message.partition(b"\n")
        fields: Any = json.loads(head)
        windows: List[Tuple[int, bytes]] = []
        for start, length in fields["windows"]:
            windows.append((start, data[:length]))
            data = data[length:]
        return cls(
            fields["tid"],
            fields["bits"],
            tuple(fields["registers"]),
            tuple(windows),
            tuple(MapLine(*line) for line in fields["mappings"]),
            data[: fields["vdso"]],
            tuple(MapLine(*line) for line in fields["headers"]),
        )


Read = Callable[[int, int], Optional[bytes]]
"""(address, size) to all those bytes of the target's memory, or None."""


def sample_by(memory: int, tid: int, state: ThreadState) -> List[StackSample]:
    """`take_sample` by the open /proc/TID/mem; a list of one, or empty when there is nothing to read."""

    def read(address: int, size: int) -> Optional[bytes]:
        try:
            data = os.pread(memory, size, address)
        except (OSError, OverflowError):
            return None
        return data if len(data) == size else None

    try:
        maps = MapsFile(tid)
    except OSError:
        return []
    try:
        sample = take_sample(tid, state, maps, read)
    except OSError:
        return []
    finally:
        maps.close()
    return [sample] if sample is not None else []


def take_sample(tid: int, state: ThreadState, maps: MapsFile, read: Read) -> Optional[StackSample]:
    """The stack of a thread that stands still. None when there is nothing to read.

    Raises OSError when the address space is gone.
    """
    sample = StackSample(tid, state.bits, state.registers, (), (), b"")
    windows = []
    stack = _window(tid, maps, read, sample.sp, RED_ZONE, MOST_STACK_BYTES)
    if stack is None:
        return None
    windows.append(stack)
    if not stack[0] <= sample.fp < stack[0] + len(stack[1]) and sample.fp:
        # A program that switches stacks: its frame pointer may still be on the other one.
        other = _window(tid, maps, read, sample.fp, 0, MOST_OTHER_BYTES)
        if other is not None:
            windows.append(other)
    mappings = _within(maps.executable(MOST_MAPPINGS))
    headers: Tuple[MapLine, ...] = ()
    windows_stack = _windows_stack(tid, read, state.teb, struct.Struct(CODE[state.bits].nt_tib))
    if windows_stack is not None:
        windows.append(windows_stack)
        headers = _headers(maps, mappings)
    vdso = b""
    at_ip = next((line for line in mappings if line.start <= sample.ip < line.end), None)
    if at_ip is not None and at_ip.path == "[vdso]":
        vdso = read(at_ip.start, min(at_ip.end - at_ip.start, MOST_VDSO_BYTES)) or b""
    return sample._replace(windows=tuple(windows), mappings=mappings, vdso=vdso, headers=headers)


def _window(tid: int, maps: MapsFile, read: Read, address: int, below: int, most: int) -> Optional[Tuple[int, bytes]]:
    """Bytes from `below` an address to the end of its mapping."""
    line = maps.at(address)
    if line is None or "r" not in line.perms:
        return None
    start = max(address - below, line.start)
    end = min(start + most, line.end)
    for page, filled in pages_with_contents(tid, start, end):
        if filled:
            continue
        if page > address:
            end = page
            break
        # The red zone may reach into a page that was never used; what the stack pointer is in may be gone.
        start = page + PAGE_SIZE
    data = read(start, end - start) if start <= address else None
    return None if data is None else (start, data)


def _windows_stack(tid: int, read: Read, teb: int, tib: struct.Struct) -> Optional[Tuple[int, bytes]]:
    """The upper end of the stack that a thread of Wine's has for Windows code; system calls run on another one.

    %gs (in 32-bit code %fs) points to its TEB, which begins with an NT_TIB: stack base, stack limit, its own address.
    """
    filled = bool(teb) and all(filled for _, filled in pages_with_contents(tid, teb, teb + tib.size))
    block = read(teb, tib.size) if filled else None
    if block is None:
        return None
    base, limit, itself = tib.unpack(block)
    if itself != teb or not limit < base:
        return None
    start = max(limit, base - MOST_STACK_BYTES)
    for page, present in reversed(pages_with_contents(tid, start, base)):
        if not present:
            start = page + PAGE_SIZE
            break
    if start >= base:
        return None
    data = read(start, base - start)
    return None if data is None else (start, data)


def _headers(maps: MapsFile, mappings: Tuple[MapLine, ...]) -> Tuple[MapLine, ...]:
    """Files that begin below anonymous code, with nothing but parts of the same image between."""
    found = set()
    for line in mappings:
        below: Optional[MapLine] = line
        for _ in range(0 if line.path else MOST_PARTS_OF_IMAGE):
            if below is None or (below.inode and not below.offset):
                break
            below = maps.at(below.start - 1) if below.start else None
        if below is not None and below.inode and not below.offset:
            found.add(below)
    return tuple(sorted(found))


def _within(lines: List[MapLine]) -> Tuple[MapLine, ...]:
    """As many as one message holds."""
    room = MOST_MAPPING_BYTES
    kept = []
    for line in lines:
        room -= 100 + len(line.path) * (1 if line.path.isascii() else 6)
        if room < 0:
            break
        kept.append(line)
    return tuple(kept)
