"""The small text files of /proc, as the kernel writes them and as it never would."""

from __future__ import annotations

import os
from typing import Any, Callable, List

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.proctext import (
    parse_fdinfo,
    parse_limits,
    parse_meminfo,
    parse_mountinfo,
    parse_stat,
    parse_status,
)

STATUS = b"""\
Name:\tWeb Content
Umask:\t0022
State:\tt (tracing stop)
Pid:\t4711
Uid:\t1000\t1000\t1000\t1000
VmSize:\t  167936 kB
VmData:\t    1024 kB
CapEff:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t3
Cpus_allowed_list:\t0-7
"""

FIELDS_AFTER_COMM = (
    b"t 4700 4711 4700 34816 4711 4194304 118 0 0 0 0 0 0 0 20 0 1 0 8812345 2703360 220 18446744073709551615 "
    b"94350116401152 94350116421377 140725078622784 0 0 0 0 0 0 1 0 0 17 3 0 0 0 0 0 94350116435280 94350116436704 "
    b"94350131257344 140725078630134 140725078630154 140725078630154 140725078634475 0\n"
)

LIMITS = b"""\
Limit                     Soft Limit           Hard Limit           Units     \n\
Max cpu time              unlimited            unlimited            seconds   \n\
Max data size             67108864             unlimited            bytes     \n\
Max stack size            8388608              unlimited            bytes     \n\
Max locked memory         8388608              8388608              bytes     \n\
Max address space         unlimited            unlimited            bytes     \n\
Max realtime timeout      unlimited            unlimited            us        \n\
"""

MEMINFO = b"""\
MemTotal:       32658044 kB
CommitLimit:    18426172 kB
Committed_AS:    9120384 kB
HugePages_Total:       4
HugePages_Free:        1
Hugepagesize:       2048 kB
"""

MOUNTINFO = b"""\
22 28 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
28 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
41 28 0:33 / /mnt/my\\040disk\\011\\134040 rw,noexec master:1 propagate_from:2 - tmpfs none rw,size=1024k
42 28 0:34 /sub /srv rw - overlay  rw,lowerdir=/a\\040b
43 28 259:1048575 / /big rw - xfs /dev/nvme0n1p1 rw
"""


def stat(comm: bytes) -> bytes:
    return b"4711 (" + comm + b") " + FIELDS_AFTER_COMM


# status


def test_status_values_by_key() -> None:
    status = parse_status(STATUS)
    assert (status["Seccomp"], status["Seccomp_filters"], status["VmSize"]) == ("2", "3", "167936 kB")


def test_status_keeps_colons_in_values() -> None:
    assert parse_status(b"Name:\ta:b:c\n") == {"Name": "a:b:c"}


def test_status_skips_lines_without_a_colon() -> None:
    assert parse_status(b"Pid:\t1\nnothing here\n") == {"Pid": "1"}


def test_status_names_that_are_no_utf8() -> None:
    assert os.fsencode(parse_status(b"Name:\t\xff\xfe\n")["Name"]) == b"\xff\xfe"


# stat


def test_stat_places_heap_and_stack() -> None:
    found = parse_stat(stat(b"cat"))
    assert (found.start_stack, found.start_brk) == (140725078622784, 94350131257344)


def test_stat_tells_state_and_start() -> None:
    found = parse_stat(stat(b"cat"))
    assert (found.state, found.start_time) == ("t", 8812345)


@pytest.mark.parametrize("comm", [b"(sd-pam)", b"a) R 1 2 3 (b", b":-) :-(", b"Web Content", b"", b"\n", b") ) )"])
def test_stat_counts_from_the_last_parenthesis(comm: bytes) -> None:
    found = parse_stat(stat(comm))
    assert (found.comm, found.start_brk) == (os.fsdecode(comm), 94350131257344)


def test_stat_of_a_name_that_is_no_utf8() -> None:
    assert os.fsencode(parse_stat(stat(b"\xe9\x80")).comm) == b"\xe9\x80"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"4711 cat t 1 2 3",
        b"4711 )cat( " + FIELDS_AFTER_COMM,
        b"4711 (cat) t 1 2 3",
        b"4711 (cat) " + FIELDS_AFTER_COMM.replace(b"8812345", b"soon"),
        b"4711 (cat) " + FIELDS_AFTER_COMM.replace(b"8812345", b"\xff"),
        b"4711 (cat) " + FIELDS_AFTER_COMM.replace(b"8812345", b"9x"),
    ],
)
def test_stat_that_is_none(text: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_stat(text)


# limits


def test_limits_are_the_soft_ones() -> None:
    limits = parse_limits(LIMITS)
    assert (limits["Max data size"], limits["Max stack size"]) == (67108864, 8388608)


def test_unlimited_is_none() -> None:
    assert parse_limits(LIMITS)["Max address space"] is None


def test_the_heading_is_no_limit() -> None:
    assert len(parse_limits(LIMITS)) == 6


def test_a_limit_of_20_digits() -> None:
    line = b"%-25s %-20s %-20s %-10s\n" % (b"Max file locks", b"18446744073709551614", b"unlimited", b"locks")
    assert parse_limits(b"Limit\n" + line) == {"Max file locks": 2**64 - 2}


# fdinfo


def test_fdinfo_flags_are_octal() -> None:
    text = b"pos:\t4096\nflags:\t0100002\nmnt_id:\t28\nino:\t1311\n"
    assert parse_fdinfo(text) == {"pos": 4096, "flags": 0o100002, "mnt_id": 28, "ino": 1311}


def test_fdinfo_leaves_out_what_is_the_drivers_own() -> None:
    text = b"pos:\t0\nflags:\t02004002\nmnt_id:\t15\neventfd-count: 0\ninotify wd:1 ino:9 mask:8\n"
    assert sorted(parse_fdinfo(text)) == ["flags", "mnt_id", "pos"]


@pytest.mark.parametrize("value", [b"09", b"-1", b"", b"0x2", b"1_0", "²".encode(), "٣".encode(), b"7" * 30])
def test_fdinfo_flags_that_are_no_octal_number_are_left_out(value: bytes) -> None:
    assert parse_fdinfo(b"flags:\t" + value + b"\npos:\t8\n") == {"pos": 8}


# mountinfo


def test_mounts_in_their_order() -> None:
    assert [mount.point for mount in parse_mountinfo(MOUNTINFO)] == [
        "/proc",
        "/",
        "/mnt/my disk\t\\040",
        "/srv",
        "/big",
    ]


def test_mount_options_and_those_of_the_file_system_are_apart() -> None:
    mount = parse_mountinfo(MOUNTINFO)[2]
    assert (mount.options, mount.fstype, mount.super_options) == ("rw,noexec", "tmpfs", "rw,size=1024k")


def test_optional_fields_may_be_many_or_none() -> None:
    assert [mount.fstype for mount in parse_mountinfo(MOUNTINFO)] == ["proc", "ext4", "tmpfs", "overlay", "xfs"]


def test_an_empty_source_is_a_field_all_the_same() -> None:
    assert parse_mountinfo(MOUNTINFO)[3].super_options.startswith("rw,lowerdir=")


def test_devices_are_spelt_as_in_maps() -> None:
    assert [mount.dev for mount in parse_mountinfo(MOUNTINFO)][1::3] == ["fe:01", "103:fffff"]


@pytest.mark.parametrize(
    "raw",
    [
        b"28 1 254:1 / / rw,relatime shared:1 ext4 /dev/vda1 rw",
        b"28 1 254 / / rw - ext4 /dev/vda1 rw",
        b"x 1 254:1 / / rw - ext4 /dev/vda1 rw",
        b"28 1 254:1 / / rw -",
        b"28",
    ],
)
def test_mountinfo_that_is_none(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_mountinfo(MOUNTINFO + raw + b"\n")


# meminfo


def test_meminfo_sizes_are_bytes() -> None:
    assert parse_meminfo(MEMINFO)["CommitLimit"] == 18426172 * 1024


def test_meminfo_counts_stand_as_they_are() -> None:
    assert parse_meminfo(MEMINFO)["HugePages_Free"] == 1


@pytest.mark.parametrize("value", [b"", b"kB", b"-1 kB", "² kB".encode(), b"7" * 30])
def test_meminfo_leaves_out_what_is_no_number(value: bytes) -> None:
    assert parse_meminfo(b"MemFree: " + value + b"\n") == {}


# Anything at all

PIECES = [
    *MOUNTINFO.splitlines(keepends=True),
    *LIMITS.splitlines(keepends=True),
    *MEMINFO.splitlines(keepends=True),
    *STATUS.splitlines(keepends=True),
    b"4711 (",
    b") ",
    FIELDS_AFTER_COMM,
    b"flags:\t",
    b"pos:\t",
    "²٣".encode(),
]


@pytest.mark.parametrize(
    "parse", [parse_status, parse_stat, parse_limits, parse_fdinfo, parse_mountinfo, parse_meminfo]
)
@given(parts=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(PIECES)), max_size=6))
@example(parts=["flags:\t²".encode()])
@example(parts=["MemFree:\t² kB".encode()])
def test_any_bytes_are_a_value_or_a_decode_error(parse: Callable[[bytes], Any], parts: List[bytes]) -> None:
    try:
        assert parse(b"".join(parts)) is not None
    except DecodeError:
        pass
