"""elfutils' libdw, for unwinding by call frame information and for symbols (elfutils/libdwfl.h, version 0.158 on).

To be called in a process that may crash: the library reads files of the target's choosing. Its callbacks answer
from a sample, never from a process; separate debug information is not looked for, so nothing is asked of a network.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import CFUNCTYPE, POINTER, c_bool, c_char_p, c_int, c_uint, c_uint64, c_void_p
from typing import Any, List, NamedTuple, Optional, Tuple

from wxtrace.live.modulefiles import Modules
from wxtrace.live.stacksample import StackSample
from wxtrace.model.frames import MOST_FRAMES

__all__ = ["Libdw", "Unwound", "load_libdw"]

_OK, _ABORT = 0, 1
_REGISTERS = 16

_FindElf = CFUNCTYPE(c_int, c_void_p, c_void_p, c_char_p, c_uint64, c_void_p, c_void_p)
_FindDebuginfo = CFUNCTYPE(c_int, c_void_p, c_void_p, c_char_p, c_uint64, c_char_p, c_char_p, c_uint, POINTER(c_char_p))
_NextThread = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(c_void_p))
_GetThread = CFUNCTYPE(c_bool, c_void_p, c_int, c_void_p, POINTER(c_void_p))
_MemoryRead = CFUNCTYPE(c_bool, c_void_p, c_uint64, POINTER(c_uint64), c_void_p)
_SetRegisters = CFUNCTYPE(c_bool, c_void_p, c_void_p)
_Detach = CFUNCTYPE(None, c_void_p, c_void_p)
_FrameSeen = CFUNCTYPE(c_int, c_void_p, c_void_p)


class _ModuleCallbacks(ctypes.Structure):
    _fields_ = [
        ("find_elf", _FindElf),
        ("find_debuginfo", _FindDebuginfo),
        ("section_address", c_void_p),
        ("debuginfo_path", c_void_p),
    ]


class _ThreadCallbacks(ctypes.Structure):
    _fields_ = [
        ("next_thread", _NextThread),
        ("get_thread", _GetThread),
        ("memory_read", _MemoryRead),
        ("set_initial_registers", _SetRegisters),
        ("detach", _Detach),
        ("thread_detach", _Detach),
    ]


class _Symbol(ctypes.Structure):
    """GElf_Sym of gelf.h."""

    _fields_ = [
        ("name", ctypes.c_uint32),
        ("info", ctypes.c_ubyte),
        ("other", ctypes.c_ubyte),
        ("section", ctypes.c_uint16),
        ("value", c_uint64),
        ("size", c_uint64),
    ]


_PROTOTYPES: List[Tuple[str, Any, List[Any]]] = [
    ("dwfl_begin", c_void_p, [POINTER(_ModuleCallbacks)]),
    ("dwfl_report_begin", None, [c_void_p]),
    ("dwfl_report_elf", c_void_p, [c_void_p, c_char_p, c_char_p, c_int, c_uint64, c_bool]),
    ("dwfl_report_end", c_int, [c_void_p, c_void_p, c_void_p]),
    ("dwfl_attach_state", c_bool, [c_void_p, c_void_p, c_int, POINTER(_ThreadCallbacks), c_void_p]),
    ("dwfl_getthread_frames", c_int, [c_void_p, c_int, _FrameSeen, c_void_p]),
    ("dwfl_frame_pc", c_bool, [c_void_p, POINTER(c_uint64), POINTER(c_bool)]),
    ("dwfl_thread_state_registers", c_bool, [c_void_p, c_int, c_uint, POINTER(c_uint64)]),
    ("dwfl_addrmodule", c_void_p, [c_void_p, c_uint64]),
    (
        "dwfl_module_addrinfo",
        c_char_p,
        [c_void_p, c_uint64, POINTER(c_uint64), POINTER(_Symbol), c_void_p, c_void_p, c_void_p],
    ),
]


class Unwound(NamedTuple):
    """One frame: where it goes on, whether it was interrupted there (or else left by a call), its function.

    `registers` by DWARF number, None for those whose values are lost; empty where libdw is too old to tell.
    """

    address: int
    interrupted: bool
    function: Optional[str]
    registers: Tuple[Optional[int], ...]


class Libdw:
    """The library with its prototypes."""

    def __init__(self, library: Any) -> None:
        for name, result, arguments in _PROTOTYPES:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library
        # Since 0.188.
        self._frame_register = getattr(library, "dwfl_frame_reg", None)
        if self._frame_register is not None:
            self._frame_register.argtypes = [c_void_p, c_uint, POINTER(c_uint64)]

    def unwind(self, sample: StackSample, modules: Modules) -> List[Unwound]:
        """The frames, innermost first."""
        library = self._library
        callbacks = _ModuleCallbacks(
            _FindElf(lambda *_: -1),
            _FindDebuginfo(lambda *_: -1),
            ctypes.cast(library.dwfl_offline_section_address, c_void_p),
        )
        dwfl = library.dwfl_begin(callbacks)
        library.dwfl_report_begin(dwfl)
        for module in modules.elf_files():
            assert module.file is not None
            # libdw closes what it is given.
            fd = os.dup(module.file.fileno())
            name = os.fsencode(module.name).replace(b"\0", b"?")
            if not library.dwfl_report_elf(dwfl, name, name, fd, module.bias & (1 << 64) - 1, True):
                os.close(fd)
        library.dwfl_report_end(dwfl, None, None)
        threads = _thread_callbacks(library, sample)
        found: List[Unwound] = []
        if not library.dwfl_attach_state(dwfl, None, sample.tid, threads, None):
            return found

        def seen(state: int, _: int) -> int:
            pc, interrupted = c_uint64(), c_bool()
            if not library.dwfl_frame_pc(state, pc, interrupted):
                return _ABORT
            function = self._function(dwfl, pc.value - (not interrupted.value))
            found.append(Unwound(pc.value, interrupted.value, function, self._registers(state)))
            return _OK if len(found) < MOST_FRAMES else _ABORT

        library.dwfl_getthread_frames(dwfl, sample.tid, _FrameSeen(seen), None)
        return found

    def _registers(self, frame: int) -> Tuple[Optional[int], ...]:
        if self._frame_register is None:
            return ()
        value = c_uint64()
        return tuple(
            value.value if self._frame_register(frame, number, value) == 0 else None for number in range(_REGISTERS)
        )

    def _function(self, dwfl: int, address: int) -> Optional[str]:
        module = self._library.dwfl_addrmodule(dwfl, address)
        if not module:
            return None
        offset, symbol = c_uint64(), _Symbol()
        name = self._library.dwfl_module_addrinfo(module, address, offset, symbol, None, None, None)
        return name.decode("utf-8", "surrogateescape") if name else None


def load_libdw() -> Optional[Libdw]:
    """None where it is not installed, or too old."""
    try:
        return Libdw(ctypes.CDLL("libdw.so.1"))
    except (OSError, AttributeError):
        return None


def _thread_callbacks(library: Any, sample: StackSample) -> _ThreadCallbacks:
    size = sample.bits // 8
    told: List[bool] = []

    def next_thread(dwfl: int, argument: int, thread: Any) -> int:
        if told:
            return 0
        told.append(True)
        return sample.tid

    def memory_read(dwfl: int, address: int, result: Any, argument: int) -> bool:
        data = sample.read(address, size)
        if data is None:
            return False
        result[0] = int.from_bytes(data, "little")
        return True

    def set_registers(thread: int, argument: int) -> bool:
        count = len(sample.registers)
        return bool(library.dwfl_thread_state_registers(thread, 0, count, (c_uint64 * count)(*sample.registers)))

    return _ThreadCallbacks(
        _NextThread(next_thread),
        _GetThread(lambda dwfl, tid, argument, thread: tid == sample.tid),
        _MemoryRead(memory_read),
        _SetRegisters(set_registers),
    )
