"""What stands behind memory that became executable at run time: the user-level trick in words, and whose it is.

Trampolines (libffi closures, GCC's nested functions) and JIT compilers get by with a handful of tricks. Whose a
region is can only be told where a library gives its memory a name of its own.
"""

from __future__ import annotations

from typing import Dict, Tuple

from wxtrace.model import origins
from wxtrace.model.region import Region

__all__ = ["SHORT", "TRICKS", "maker_of"]

SHORT: Dict[str, str] = {
    origins.RWX: "writable and executable at once",
    origins.FLIPPED: "written then flipped",
    origins.DUAL: "dual mapping",
    origins.OBJECT_WRITTEN: "of an object written before",
    origins.STACK: "executable stack",
    origins.HEAP: "heap",
    origins.IMPLIED: "by READ_IMPLIES_EXEC",
}
"""For counts: `2 written then flipped`."""

TRICKS: Dict[str, str] = {
    origins.FILE: "a file as it was: nothing was seen that could have written to it",
    origins.UNWRITTEN: "never writable",
    origins.SPECIAL: "the kernel's own",
    origins.FOUND: "executable already when it was first seen",
    origins.RWX: "code is written where it runs: writable and executable at once",
    origins.FLIPPED: "the code was written first, then the same pages were made executable",
    origins.DUAL: "the same bytes are mapped twice: written through one mapping, run through the other",
    origins.OBJECT_WRITTEN: "the code was put into a file or memory object first, then that was mapped executable",
    origins.STACK: "code on a stack, as trampolines of GCC's nested functions need it",
    origins.HEAP: "code in the heap (brk), where malloc takes its memory from",
    origins.IMPLIED: "nobody asked: the kernel makes everything readable executable (READ_IMPLIES_EXEC)",
}
"""For one region, by its word."""

_NAMES: Tuple[Tuple[str, str], ...] = (
    # libffi:src/closures.c, sljit:sljit_src/allocator_src, dotnet:minipal/Unix/doublemapping.cpp, Qt:OSAllocatorPosix.
    ("/memfd:libffi", "libffi's closures: trampolines from C to a callback in another language"),
    ("/memfd:sljit", "the JIT compiler of PCRE2 (sljit)"),
    ("/memfd:doublemapper", ".NET's JIT compiler, which maps its code twice"),
    ("/memfd:JITCode:", "the JIT compiler of a WebKit descendant, such as Qt's QML"),
)


def maker_of(region: Region, word: str) -> str:
    """Who makes memory of this kind, as far as its name and shape tell; empty when they do not."""
    backing = region.backing
    if backing is None:
        return ""
    for prefix, maker in _NAMES:
        if backing.path.startswith(prefix):
            return maker
    folder, _, name = backing.path.rpartition("/")
    if backing.deleted and name.startswith("ffi") and len(name) == 9 and word in (origins.DUAL, origins.OBJECT_WRITTEN):
        return "libffi's closures, by its name for temporary files (in %s)" % (folder or "/")
    if region.provenance == "file" and word in (origins.RWX, origins.FLIPPED) and not backing.deleted:
        return "code of a file that was changed in memory, as text relocations and packed programs do"
    return ""
