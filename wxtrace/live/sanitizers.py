"""Programs whose own leak check is going to fail under us: it traces the program, which has its one tracer already.

LeakSanitizer, which AddressSanitizer brings along, stops all threads by ptrace when the program ends, and where it
cannot, it changes the exit status (compiler-rt/lib/sanitizer_common/sanitizer_stoptheworld_linux_libcdep.cpp).
"""

from __future__ import annotations

import os
import stat
from typing import Optional

__all__ = ["sanitizer_in_library", "sanitizer_in_program"]

_SYMBOLS = {
    b"__asan_init": "AddressSanitizer",
    b"__lsan_init": "LeakSanitizer",
    # Asked for by the runtime itself, where that is part of the program.
    b"__lsan_is_turned_off": "LeakSanitizer",
}
_LIBRARIES = {
    "libasan.so": "AddressSanitizer",
    "libclang_rt.asan": "AddressSanitizer",
    "liblsan.so": "LeakSanitizer",
    "libclang_rt.lsan": "LeakSanitizer",
}
_OPTIONS, _OFF = (b"ASAN_OPTIONS", b"LSAN_OPTIONS"), b"detect_leaks=0"
_SYMBOL_BYTES = 1 << 18
"""Dynamic symbols stand at the beginning of a file."""
_WARNING = (
    "%s is built with %s: its check for leaks traces the program itself, cannot under wxtrace, and then spoils output "
    "and exit status; LSAN_OPTIONS=detect_leaks=0 leaves it out"
)


def sanitizer_in_program(path: bytes) -> Optional[str]:
    """A warning about a program that is about to be started, with our environment; None where none is due."""
    if any(_OFF in os.environb.get(name, b"") for name in _OPTIONS):
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        head = os.read(fd, _SYMBOL_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return None
    finally:
        os.close(fd)
    found = next((name for symbol, name in _SYMBOLS.items() if symbol in head), None)
    return None if found is None else _WARNING % (os.fsdecode(path).rpartition("/")[2], found)


def sanitizer_in_library(path: str, who: str, environment: bytes) -> Optional[str]:
    """The same for `who`, which has just mapped this library; its environment as in /proc/PID/environ."""
    name = path.rpartition("/")[2]
    found = next((sanitizer for start, sanitizer in _LIBRARIES.items() if name.startswith(start)), None)
    return None if found is None or _OFF in environment else _WARNING % (who, found)
