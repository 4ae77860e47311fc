"""The unwinding process: samples in, frames out, over the socket that is its standard input.

Files of the target's choosing are only read in a child of its own for each stack, so that whatever they do to
libdw or to us ends there, within a second. Nothing here may import ptrace.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import time
from typing import Callable, List, Optional

from wxtrace.decoders import DecodeError
from wxtrace.decoders.elfsymbols import functions_at
from wxtrace.live.arch import CODE, MACHINE_ORDER
from wxtrace.live.libdw import Libdw, Unwound, load_libdw
from wxtrace.live.modulefiles import Module, Modules
from wxtrace.live.stacksample import MOST_SAMPLE_BYTES, StackSample
from wxtrace.model.frames import MOST_FRAMES, Frame, follows_call, walk_frame_pointers

__all__ = ["serve", "unwind"]

PATIENCE = 2.0
"""Seconds for one way of unwinding one stack."""
BURIAL = 0.5
"""Seconds to wait for the end of what was killed."""
MOST_MEMORY = 8 << 30
"""Bytes of address space: files are mapped whole."""

_PR_SET_PDEATHSIG = 1
_CALL_BYTES = 7

Way = Callable[[StackSample, Modules], List[Frame]]


def serve() -> None:
    """Answer until the tracer closes its end, or dies."""
    _limit(resource.RLIMIT_CORE, 0)
    channel = socket.socket(fileno=os.dup(0))
    libdw = load_libdw()
    while True:
        message, root, _, _ = socket.recv_fds(channel, MOST_SAMPLE_BYTES + 64, 2)
        if not message:
            return
        start = time.monotonic()
        number, _, packed = message.partition(b"\n")
        frames = unwind(StackSample.unpacked(packed), root[0] if root else None, libdw)
        for fd in root:
            os.close(fd)
        reply = {"job": int(number), "frames": frames, "seconds": time.monotonic() - start}
        channel.send(json.dumps(reply).encode("ascii"))


def unwind(sample: StackSample, root: Optional[int], libdw: Optional[Libdw]) -> List[Frame]:
    """The frames of one stack, by libdw if there is one; where that gives no caller, by frame pointers.

    `root` is the target's root folder. No frames when both ways fail.
    """
    ways: List[Way] = [_by_frame_pointers]
    if libdw is not None:
        ways.insert(0, lambda sample, modules: _by_libdw(sample, modules, libdw))
    best: List[Frame] = []
    for way in ways:
        frames = _in_a_child(way, sample, root)
        if len(frames) > len(best):
            best = frames
        if len(best) > 1:
            break
    return best


def _in_a_child(way: Way, sample: StackSample, root: Optional[int]) -> List[Frame]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _limit(resource.RLIMIT_AS, MOST_MEMORY)
            data = json.dumps(way(sample, Modules(sample, root))).encode("ascii")
            while data:
                data = data[os.write(theirs, data) :]
        finally:
            os._exit(0)
    os.close(theirs)
    data = _read_until(ours, time.monotonic() + PATIENCE)
    os.close(ours)
    os.kill(child, signal.SIGKILL)
    _bury(child)
    try:
        return [Frame(*entry) for entry in json.loads(data)]
    except (ValueError, TypeError):
        return []


def _bury(child: int) -> None:
    """Not for long: one whose request the server of a file system holds cannot be killed."""
    deadline = time.monotonic() + BURIAL
    while not os.waitpid(child, os.WNOHANG)[0] and time.monotonic() < deadline:
        time.sleep(0.001)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (least, least))


def _read_until(pipe: int, deadline: float) -> bytes:
    """Everything up to the end, or what came in time."""
    parts = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            break
        part = os.read(pipe, 1 << 16)
        if not part:
            break
        parts.append(part)
    return b"".join(parts)


def _by_libdw(sample: StackSample, modules: Modules, libdw: Libdw) -> List[Frame]:
    frames: List[Frame] = []
    unwound = libdw.unwind(sample, modules)
    for frame in unwound:
        module = modules.at(frame.address if frame.interrupted else frame.address - 1)
        if module is None:
            return frames
        frames.append(Frame(module.name, frame.address - module.base, frame.function))
    if unwound and unwound[-1].registers:
        frames += _windows_callers(sample, modules, unwound[-1])
    return frames[:MOST_FRAMES]


def _windows_callers(sample: StackSample, modules: Modules, last: Unwound) -> List[Frame]:
    """On from the last frame, if it is of Windows code, of which libdw knows nothing. 32-bit code keeps %ebp."""
    module = modules.at(last.address - 1)
    if module is None or module.pe is None:
        return []
    if sample.bits == 32:
        code = CODE[sample.bits]
        sp, fp = (last.registers[number] or 0 for number in (code.sp, code.fp))
        return _walked(sample, modules, last.address, sp, fp)[1:]
    # Not for every program: construct takes long to import.
    from wxtrace.decoders.pe_unwind import unwinding_at
    from wxtrace.model.windows_frames import leave_function

    frames: List[Frame] = []
    address = last.address
    registers = [last.registers[number] or 0 for number in MACHINE_ORDER]
    while len(frames) < MOST_FRAMES:
        module = modules.at(address - 1)
        if module is None or module.pe is None or module.file is None:
            break
        try:
            unwinding = unwinding_at(module.file, module.pe, address - 1 - module.base)
        except DecodeError:
            break
        back = leave_function(registers, unwinding, lambda at: _word(sample, at))
        caller = modules.at(back - 1) if back else None
        if back is None or caller is None:
            break
        address = back
        frames.append(Frame(caller.name, address - caller.base))
    return frames


def _word(sample: StackSample, address: int) -> Optional[int]:
    data = sample.read(address, sample.bits // 8)
    return int.from_bytes(data, "little") if data is not None else None


def _by_frame_pointers(sample: StackSample, modules: Modules) -> List[Frame]:
    return _walked(sample, modules, sample.ip, sample.sp, sample.fp)


def _walked(sample: StackSample, modules: Modules, ip: int, sp: int, fp: int) -> List[Frame]:
    def returns_to(address: int) -> Optional[bool]:
        if modules.at(address - 1) is None:
            return False
        code = modules.code_before(address, _CALL_BYTES)
        return follows_call(code) if code is not None else None

    inside = sample.mapping_at(ip)
    behind_vdso = sample.bits == 32 and inside is not None and inside.path == "[vdso]"
    addresses = walk_frame_pointers(
        sample.bits // 8, ip, sp, fp, lambda address: _word(sample, address), returns_to, behind_vdso
    )
    frames = []
    for place, address in enumerate(addresses):
        within = address - 1 if place else address
        module = modules.at(within)
        if module is None:
            break
        frames.append(Frame(module.name, address - module.base, _function(module, within)))
    return frames


def _function(module: Module, address: int) -> Optional[str]:
    if module.elf is None or module.file is None:
        return None
    try:
        return functions_at(module.file, [address - module.bias]).get(address - module.bias)
    except DecodeError:
        return None
