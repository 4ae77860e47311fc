"""Lines of /proc/sysvipc/shm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders.sysvipc import Shm, parse_shm

HEAD = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime\n"
LINE = "         0      65555  1600                  4096  5116  5116      1  1000   100  1000   100 1763676000\n"


def test_a_segment_with_its_mode_and_owner() -> None:
    assert parse_shm(HEAD + LINE) == [Shm(65555, 0o1600, 4096, 1000, 100, 1000)]


def test_lines_that_the_kernel_cannot_have_written_are_skipped() -> None:
    assert parse_shm(HEAD + LINE.replace("1600", "1689") + LINE.replace("65555", "x") + LINE[:30] + "\n" + LINE) == [
        Shm(65555, 0o1600, 4096, 1000, 100, 1000)
    ]


@given(st.text(max_size=400))
def test_any_text_gives_a_list(text: str) -> None:
    assert isinstance(parse_shm(HEAD + text), list)
