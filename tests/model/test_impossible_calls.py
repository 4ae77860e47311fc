"""A map fed with calls that no kernel answers so, as a damaged or forged record may hold them, stays a map."""

from __future__ import annotations

from typing import Any, List

from hypothesis import example, given, settings
from hypothesis import strategies as st

from wxtrace.decoders.procmaps import MapLine
from wxtrace.model import facts
from wxtrace.model.enumerations import Abi
from wxtrace.model.replay import Replay
from wxtrace.model.syscalls.table import NUMBERS

LINES = [MapLine(0x7F0000000000, 0x7F0000004000, "rw-p", 0, "00:00", 0, "")]
IMAGE = facts.Image("/srv/jit", ["./jit"], "jit", "x86_64")
BASE, END = 0x7F0000000000, 1 << 64
words = st.sampled_from(
    (
        0,
        1,
        2,
        3,
        7,
        16,
        0x22,
        0x32,
        4096,
        8192,
        BASE,
        BASE + 4096,
        BASE + 8193,
        1 << 63,
        (1 << 64) - 4096,
        (1 << 64) - 1,
    )
)
results = st.one_of(words, st.sampled_from((-22, -12, -13, -4095, None)))
calls = st.builds(
    lambda named, args, result, decided: facts.Call(100, 10, named[0], named[1], args, result, decided),
    st.sampled_from([(abi, number) for abi, table in enumerate(NUMBERS) for number in table.values()]),
    st.tuples(*[words] * 6),
    results,
    st.sampled_from((facts.UNDECIDED, facts.BY_KERNEL, facts.BY_FILTER)),
)


MMAP, MREMAP, MMAP2 = 9, 25, 192


def call(abi: int, number: int, result: int, *args: int) -> facts.Call:
    padded: Any = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return facts.Call(100, 10, abi, number, padded, result, facts.BY_KERNEL)


@settings(max_examples=100, deadline=None)
@given(st.lists(calls, max_size=40))
@example([call(Abi.X86_64, MMAP, BASE, 0, END - 1, 7, 0x22)])
@example([call(Abi.X86_64, MMAP, END - 4096, 0, 8192, 7, 0x22)])
@example([call(Abi.X86_64, MREMAP, END - 4096, BASE, 0, BASE, 1)])
@example([call(Abi.I386, MMAP2, END - 4096, 0, 0, 7, 0x22)] * 2)
def test_pieces_stay_ordered_and_apart(made: List[facts.Call]) -> None:
    replay = Replay()
    host = facts.Host("6.18.4", "x86_64", 4096)
    start = facts.RunStarted("0.1", host, ["./jit"], "/srv", "2024-05-01T12:00:00Z", "accelerated", False)
    seeded = facts.Seeded(100, 2, 100, 1, "exec", IMAGE, LINES, 0x555500000000, 0x7FFE00000000, 0)
    for fact in (start, facts.TaskStarted(100, 1, 100, 1, "launch"), seeded, *made):
        list(replay.feed(fact))

    for state in replay.spaces:
        pieces = state.space.pieces()
        assert all(0 <= piece.start < piece.end <= 1 << 64 for piece in pieces)
        assert all(below.end <= above.start for below, above in zip(pieces, pieces[1:]))
