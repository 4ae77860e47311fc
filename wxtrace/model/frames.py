"""Who called: the frames of a native stack, and the walk along frame pointers for machines without libdw.

Nothing here reads a process or a file: memory is a function from an address to a word.
"""

from __future__ import annotations

import re
from typing import Callable, List, NamedTuple, Optional, Sequence

__all__ = ["ANONYMOUS", "MOST_FRAMES", "Frame", "callers", "follows_call", "walk_frame_pointers"]

MOST_FRAMES = 64

ANONYMOUS = "[anon]"
"""The module of code in memory that no file backs: usually compiled at run time."""

_C_LIBRARIES = ("libc.so", "libc-", "ld-linux", "ld-2.", "ld-musl", "libpthread")
_WINE = "/wine/[^/]+-(?:unix|windows)/[^/]+$"
_CALL_RELATIVE, _CALL_INDIRECT, _INDIRECT_KIND = 0xE8, 0xFF, 2
_INDIRECT_LENGTHS = (2, 3, 4, 6, 7)


class Frame(NamedTuple):
    """One frame. `offset` in bytes from where the module is loaded, to the instruction that runs next there.

    `module` is a path, or a name in brackets for code that no file holds ([vdso], [anon]).
    """

    module: str
    offset: int
    symbol: Optional[str] = None


def callers(frames: Sequence[Frame]) -> List[Frame]:
    """Who wanted the call: the frames without the C library's wrapper of it, and without Wine's own libraries.

    Where nobody else is there, those are left in. Of neighbours in one module whose functions have no names, the
    innermost stands for all.
    """
    outside = [frame for frame in frames if not _in_c_library(frame)]
    wanted = [frame for frame in outside if not re.search(_WINE, frame.module)] or outside or list(frames)
    return [
        frame
        for frame, before in zip(wanted, [None, *wanted])
        if before is None or frame.symbol is not None or frame.module != before.module
    ]


def _in_c_library(frame: Frame) -> bool:
    """Its wrapper of a call, its loader and its start code."""
    file = frame.module.rpartition("/")[2]
    return file.startswith(_C_LIBRARIES) or frame.module == "[vdso]" or frame.symbol == "_start"


def follows_call(code: bytes) -> bool:
    """Whether the bytes before an address end in a call instruction, as they do before any return address.

    CALL rel32 is E8, CALL r/m is FF /2 with two to seven bytes (Intel SDM, volume 2, CALL).
    """
    if code[-5:-4] == bytes([_CALL_RELATIVE]):
        return True
    return any(
        len(code) >= length and code[-length] == _CALL_INDIRECT and code[1 - length] >> 3 & 7 == _INDIRECT_KIND
        for length in _INDIRECT_LENGTHS
    )


ReadWord = Callable[[int], Optional[int]]
JudgeReturn = Callable[[int], Optional[bool]]
"""Whether an address can be returned to: it is code behind a call instruction. None when its bytes are not known."""


def walk_frame_pointers(
    word: int, ip: int, sp: int, fp: int, read: ReadWord, returns_to: JudgeReturn, behind_vdso: bool = False
) -> List[int]:
    """Instruction addresses from the innermost outwards; `word` is the size of a pointer in bytes.

    A system call's wrapper has no frame of its own, so its return address is on top of the stack: it is believed
    when a call instruction stands before it. Then the chain of saved frame pointers, for as long as each lies above
    the one before. `behind_vdso`: in i386's __kernel_vsyscall, which has pushed %ecx, %edx and %ebp
    (arch/x86/entry/vdso/vdso32/system_call.S).
    """
    found = [ip]
    if behind_vdso:
        fp = read(sp) or 0
        sp += 3 * word
    top = read(sp)
    if top is not None and returns_to(top):
        found.append(top)
    while len(found) < MOST_FRAMES and fp % word == 0 and fp >= sp:
        back, up = read(fp + word), read(fp)
        if back is None or up is None or returns_to(back) is False:
            break
        if fp + word != sp:
            found.append(back)
        if up <= fp:
            break
        fp = up
    return found
