"""The walk along frame pointers, over stacks written by hand."""

from __future__ import annotations

from typing import Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.model.frames import MOST_FRAMES, Frame, callers, follows_call, walk_frame_pointers

SYSCALL, WRAPPED, MIDDLE, MAIN, START = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
CODE = {SYSCALL, WRAPPED, MIDDLE, MAIN, START}
SP, FP = 0x7000, 0x7100


def walk(stack: Dict[int, int], fp: int = FP, unknown: Optional[int] = None) -> List[int]:
    """In 64-bit code; `unknown` is a return address whose bytes nobody has."""
    return walk_frame_pointers(
        8, SYSCALL, SP, fp, stack.get, lambda address: None if address == unknown else address in CODE
    )


def frame(at: int, up: int, back: int) -> Dict[int, int]:
    return {at: up, at + 8: back}


def test_a_wrapper_without_a_frame_and_the_chain_above_it() -> None:
    stack = {SP: WRAPPED, **frame(FP, 0x7200, MIDDLE), **frame(0x7200, 0, MAIN)}

    assert walk(stack) == [SYSCALL, WRAPPED, MIDDLE, MAIN]


def test_what_lies_on_top_is_only_believed_behind_a_call() -> None:
    stack = {SP: 0x99, **frame(FP, 0, MIDDLE)}

    assert walk(stack) == [SYSCALL, MIDDLE]
    assert walk({SP: WRAPPED}, unknown=WRAPPED, fp=0) == [SYSCALL]


def test_a_return_into_code_that_cannot_be_read_is_taken_from_the_chain() -> None:
    assert walk(frame(FP, 0, MIDDLE), unknown=MIDDLE) == [SYSCALL, MIDDLE]


def test_a_return_address_is_counted_once() -> None:
    """The wrapper has a frame of its own, and has already let go of all but the return address."""
    assert walk({SP: WRAPPED, SP - 8: 0}, fp=SP - 8) == [SYSCALL, WRAPPED]


@pytest.mark.parametrize("up", [FP, FP - 0x10, SP])
def test_a_chain_that_does_not_climb_ends(up: int) -> None:
    assert walk({SP: WRAPPED, **frame(FP, up, MIDDLE)}) == [SYSCALL, WRAPPED, MIDDLE]


def test_a_register_that_is_no_frame_pointer() -> None:
    assert walk({SP: WRAPPED, **frame(FP + 3, 0, MIDDLE)}, fp=FP + 3) == [SYSCALL, WRAPPED]
    assert walk({SP: WRAPPED, **frame(FP, 0, 0x99)}) == [SYSCALL, WRAPPED]


def test_an_endless_chain_is_cut() -> None:
    stack = {SP: WRAPPED}
    for place in range(1000):
        stack.update(frame(FP + 16 * place, FP + 16 * place + 16, MIDDLE))

    assert len(walk(stack)) == MOST_FRAMES


def test_out_of_the_i386_vdso() -> None:
    """__kernel_vsyscall has pushed %ecx, %edx and %ebp, and uses %ebp itself."""
    stack = {SP: 0x7100, SP + 4: 1, SP + 8: 2, SP + 12: WRAPPED, 0x7100: 0, 0x7104: MAIN}

    assert walk_frame_pointers(4, SYSCALL, SP, SP, stack.get, CODE.__contains__, behind_vdso=True) == [
        SYSCALL,
        WRAPPED,
        MAIN,
    ]


@given(
    st.dictionaries(st.integers(SP // 8, SP // 8 + 64).map(lambda n: n * 8), st.sampled_from([*CODE, 0, SP, FP, 1])),
    st.integers(SP - 64, SP + 600),
)
def test_any_stack(stack: Dict[int, int], fp: int) -> None:
    found = walk(stack, fp)

    assert found[0] == SYSCALL and len(found) <= MOST_FRAMES
    assert CODE.issuperset(found)


@pytest.mark.parametrize(
    "code",
    [
        "e800000000",  # call rel32
        "ffd0",  # call *%rax
        "41ffd4",  # call *%r12
        "ff5308",  # call *8(%rbx)
        "ff1424",  # call *(%rsp)
        "ff542408",  # call *8(%rsp)
        "ff15785634ff",  # call *disp32(%rip)
        "ff942480000000",  # call *0x80(%rsp)
    ],
)
def test_call_instructions(code: str) -> None:
    assert follows_call(bytes.fromhex("9090" + code)[-7:])


@pytest.mark.parametrize("code", ["", "90", "e8000000", "90909090909090", "ffe0", "ff25785634ff"])
def test_what_is_no_call(code: str) -> None:
    assert not follows_call(bytes.fromhex(code))


@given(st.binary(max_size=8))
def test_any_bytes_are_looked_at(code: bytes) -> None:
    assert follows_call(code) in (True, False)


JIT, MAIN_FRAME = Frame("/opt/libc.so.6/jit", 16, "flip"), Frame("/opt/libc.so.6/jit", 32, "main")
WRAPPERS = [
    Frame("[vdso]", 1, "__kernel_vsyscall"),
    Frame("/usr/lib/x86_64-linux-gnu/libc.so.6", 1, "mprotect"),
    Frame("/lib/ld-linux-x86-64.so.2", 1),
    Frame("/lib/ld-musl-x86_64.so.1", 1),
]
WINE = [
    Frame("/usr/lib/wine/x86_64-unix/ntdll.so", 1, "NtProtectVirtualMemory"),
    Frame("/usr/lib/wine/x86_64-windows/kernelbase.dll", 2),
]


def test_callers_are_whoever_is_no_wrapper() -> None:
    assert callers([*WRAPPERS, JIT, MAIN_FRAME, Frame("/opt/libc.so.6/jit", 1, "_start")]) == [JIT, MAIN_FRAME]


def test_wines_own_libraries_are_wrappers_too() -> None:
    tool = Frame("/home/me/.wine/drive_c/tool.exe", 0x15C3)

    assert callers([WRAPPERS[1], *WINE, tool, WINE[1]]) == [tool]
    assert callers([WRAPPERS[1], *WINE]) == WINE


def test_where_there_are_only_wrappers_they_are_all_there_is() -> None:
    assert callers(WRAPPERS) == WRAPPERS
    assert callers([]) == []


def test_of_a_module_without_names_one_frame_is_enough() -> None:
    frames = [Frame("/opt/engine", 16), Frame("/opt/engine", 32), Frame("/opt/engine", 48, "run"), Frame("/opt/ui", 8)]

    assert callers(frames) == [frames[0], frames[2], frames[3]]
