"""Lines of maps and smaps: plausible files, the kernel's quirks, and any bytes at all."""

from __future__ import annotations

import os
from typing import List

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmaps import MapLine, Vma, parse_maps, parse_smaps

MAPS = b"""\
55d0c7a00000-55d0c7a02000 r--p 00000000 fe:01 1311                       /usr/bin/cat
55d0c7a02000-55d0c7a07000 r-xp 00002000 fe:01 1311                       /usr/bin/cat
55d0c8b4f000-55d0c8b70000 rw-p 00000000 00:00 0                          [heap]
7f31a0000000-7f31a0021000 rw-p 00000000 00:00 0 \n\
7f31a4400000-7f31a4600000 rw-s 00000000 00:0f 30219                      /anon_hugepage (deleted)
7ffd1c5e0000-7ffd1c601000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""

SMAPS = b"""\
7f31a4800000-7f31a4a26000 r-xp 00028000 fe:01 2817                       /usr/lib/x86_64-linux-gnu/libc.so.6
Size:               2200 kB
KernelPageSize:        4 kB
Rss:                1368 kB
Private_Dirty:         8 kB
Anonymous:             8 kB
Swap:                  4 kB
SwapPss:               4 kB
THPeligible:           0
ProtectionKey:         3
VmFlags: rd ex mr mw me sd \n\
7ffd1c5e0000-7ffd1c601000 rw-p 00000000 00:00 0                          [stack]
Size:                132 kB
Anonymous:            24 kB
THPeligible:           0
VmFlags: rd wr mr mw me gd ac \n\
"""

VALID_PERMS = {r + w + x + s for r in "r-" for w in "w-" for x in "x-" for s in "sp"}


def one(path: bytes) -> MapLine:
    (line,) = parse_maps(b"7f31a0000000-7f31a0001000 rw-p 00000000 fe:01 1311 " + path + b"\n")
    return line


def smaps(text: bytes) -> List[Vma]:
    return list(parse_smaps(text.splitlines(keepends=True)))


# maps


def test_every_line_in_its_order() -> None:
    assert [line.path for line in parse_maps(MAPS)] == [
        "/usr/bin/cat",
        "/usr/bin/cat",
        "[heap]",
        "",
        "/anon_hugepage (deleted)",
        "[stack]",
        "[vsyscall]",
    ]


def test_the_fields_of_a_line() -> None:
    assert parse_maps(MAPS)[1] == MapLine(0x55D0C7A02000, 0x55D0C7A07000, "r-xp", 0x2000, "fe:01", 1311, "/usr/bin/cat")


def test_an_empty_file_has_no_lines() -> None:
    assert parse_maps(b"") == []


def test_a_last_line_without_newline_counts() -> None:
    assert len(parse_maps(MAPS.rstrip(b"\n"))) == 7


@pytest.mark.parametrize(
    "raw, path",
    [
        (b"/opt/My Games/lib engine.so", "/opt/My Games/lib engine.so"),
        (b"/tmp/trailing  ", "/tmp/trailing  "),
        (b"/memfd:jit code (deleted)", "/memfd:jit code (deleted)"),
        (b"/tmp/x (deleted) (deleted)", "/tmp/x (deleted) (deleted)"),
        (b"/tmp/a\\012b", "/tmp/a\nb"),
        (b"/tmp/tab\there\\backslash", "/tmp/tab\there\\backslash"),
        (b"/tmp/7f00-7f01 rwxp 00000000 00:00 0 x", "/tmp/7f00-7f01 rwxp 00000000 00:00 0 x"),
        (b"anon_inode:[io_uring]", "anon_inode:[io_uring]"),
        (b"[anon:dalvik-jit code cache]", "[anon:dalvik-jit code cache]"),
    ],
)
def test_names(raw: bytes, path: str) -> None:
    assert one(raw).path == path


def test_a_name_that_is_no_utf8_comes_back_exactly() -> None:
    assert os.fsencode(one(b"/tmp/caf\xe9\xff.so").path) == b"/tmp/caf\xe9\xff.so"


def test_device_numbers_may_be_long() -> None:
    (line,) = parse_maps(b"1000-2000 r--p 00000000 103:10005 9 /x\n")
    assert line.dev == "103:10005"


def test_the_largest_numbers() -> None:
    (line,) = parse_maps(b"0-ffffffffffffffff r--p ffffffffffffffff 00:00 18446744073709551615 \n")
    assert (line.end, line.offset, line.inode) == (2**64 - 1, 2**64 - 1, 2**64 - 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"7f31a0000000-7f31a0001000",
        b"7f31a0000000-7f31a0001000 rw-p",
        b"7f31a0000000-7f31a0001000 rwzp 00000000 00:00 0",
        b"7f31a0000000-7f31a0001000 wr-p 00000000 00:00 0",
        b"7F31A0000000-7F31A0001000 rw-p 00000000 00:00 0",
        b"7f31a0000000 7f31a0001000 rw-p 00000000 00:00 0",
        b"7f31a0000000-7f31a0001000 rw-p 00000000 00:00 -1",
        b"2000-1000 rw-p 00000000 00:00 0",
        b"1000-1000 rw-p 00000000 00:00 0",
        b"11111111111111111-22222222222222222 rw-p 00000000 00:00 0",
        b" 1000-2000 rw-p 00000000 00:00 0",
    ],
)
def test_what_the_kernel_cannot_have_written(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_maps(MAPS + raw + b"\n")


def test_an_error_shows_the_line() -> None:
    with pytest.raises(DecodeError, match="nonsense"):
        parse_maps(MAPS + b"nonsense\n")


def test_an_error_is_short_however_long_the_line() -> None:
    with pytest.raises(DecodeError) as caught:
        parse_maps(b"x" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.binary())
@example(MAPS[:-30])
def test_any_bytes_are_lines_or_a_decode_error(text: bytes) -> None:
    try:
        lines = parse_maps(text)
    except DecodeError:
        return
    assert all(line.start < line.end and line.perms in VALID_PERMS for line in lines)


@given(st.lists(st.binary().map(lambda name: name.replace(b"\n", b"\\012")), min_size=1))
def test_a_name_never_reaches_another_line(names: List[bytes]) -> None:
    text = b"".join(b"1000-2000 rw-p 00000000 fe:01 7 /" + name + b"\n" for name in names)
    assert len(parse_maps(text)) == len(names)


# smaps


def test_smaps_entries_have_their_lines() -> None:
    assert [vma.line.path for vma in smaps(SMAPS)] == ["/usr/lib/x86_64-linux-gnu/libc.so.6", "[stack]"]


def test_smaps_sizes_are_bytes() -> None:
    first = smaps(SMAPS)[0]
    assert (first.anonymous, first.swap, first.pkey) == (8192, 4096, 3)


def test_nothing_carries_over_to_the_next_entry() -> None:
    second = smaps(SMAPS)[1]
    assert (second.anonymous, second.swap, second.pkey) == (24576, 0, 0)


def test_vmflags() -> None:
    second = smaps(SMAPS)[1]
    assert second.has("gd") and not second.has("sl")


def test_an_entry_without_fields() -> None:
    (vma,) = smaps(b"1000-2000 rw-p 00000000 00:00 0 \n")
    assert (vma.flags, vma.anonymous) == ((), 0)


def test_entries_come_as_they_become_complete() -> None:
    """A large smaps is not read to its end for its first entry."""
    lines = iter(SMAPS.splitlines(keepends=True))
    next(parse_smaps(lines))
    assert next(lines).startswith(b"Size:")


def test_fields_before_any_line() -> None:
    with pytest.raises(DecodeError):
        smaps(b"Size:               2200 kB\n")


@pytest.mark.parametrize("value", [b"", b"kB", b"-4 kB", b"0x10 kB", b"9" * 40 + b" kB", b"\xb2 kB", b"\xc2\xb2 kB"])
@pytest.mark.parametrize("field", [b"Anonymous", b"Swap", b"ProtectionKey"])
def test_sizes_that_are_none(field: bytes, value: bytes) -> None:
    with pytest.raises(DecodeError):
        smaps(b"1000-2000 rw-p 00000000 00:00 0 \n" + field + b": " + value + b"\n")


@given(st.lists(st.one_of(st.binary(), st.sampled_from(SMAPS.splitlines(keepends=True)))))
def test_any_lines_are_entries_or_a_decode_error(lines: List[bytes]) -> None:
    try:
        found = list(parse_smaps(lines))
    except DecodeError:
        return
    assert all(vma.anonymous >= 0 and vma.swap >= 0 and vma.pkey >= 0 for vma in found)
