"""The small text files of /proc: status, stat, limits, fdinfo, mountinfo, meminfo (proc(5))."""

from __future__ import annotations

import os
import re
from typing import Dict, List, NamedTuple, Optional

from wxtrace.decoders import DecodeError

__all__ = [
    "Mount",
    "Stat",
    "parse_fdinfo",
    "parse_limits",
    "parse_meminfo",
    "parse_mountinfo",
    "parse_stat",
    "parse_status",
]


_DECIMAL = re.compile("[0-9]{1,20}")
_OCTAL = re.compile("[0-7]{1,22}")


class Mount(NamedTuple):
    """One line of mountinfo; `options` are the mount's own, `super_options` those of the file system."""

    id: int
    dev: str
    point: str
    options: str
    fstype: str
    super_options: str


class Stat(NamedTuple):
    """Who a process is, where its heap, stack and what exec wrote on it are (addresses in bytes), and how it ends.

    `data_size`: bytes of the program's own data. `exit_code` is a wait status; 0 as well where it may not be read.
    """

    comm: str
    state: str
    parent: int
    threads: int
    start_time: int
    start_stack: int
    start_brk: int
    data_size: int
    arg_start: int
    arg_end: int
    env_start: int
    env_end: int
    exit_code: int


def parse_status(text: bytes) -> Dict[str, str]:
    """`Key:\\tvalue` lines as a mapping; lines without a colon are skipped."""
    fields = {}
    for raw in text.split(b"\n"):
        key, colon, value = raw.partition(b":")
        if colon:
            fields[os.fsdecode(key)] = os.fsdecode(value.strip())
    return fields


def parse_stat(text: bytes) -> Stat:
    """/proc/PID/stat. The command name may hold spaces and parentheses, so fields are counted from the last `)`."""
    opening, closing = text.find(b"("), text.rfind(b")")
    fields = text[closing + 1 :].split()
    # Field 3 (state) is fields[0]; proc(5) counts from 1.
    if not 0 <= opening < closing or len(fields) < 50:
        raise DecodeError("not a /proc/PID/stat line: %r" % text[:80])
    try:
        return Stat(
            os.fsdecode(text[opening + 1 : closing]),
            fields[0].decode("ascii", "replace"),
            int(fields[1]),
            int(fields[17]),
            int(fields[19]),
            int(fields[25]),
            int(fields[44]),
            max(int(fields[43]) - int(fields[42]), 0),
            int(fields[45]),
            int(fields[46]),
            int(fields[47]),
            int(fields[48]),
            int(fields[49]),
        )
    except ValueError:
        raise DecodeError("a field of /proc/PID/stat is no number: %r" % text[:80]) from None


def parse_limits(text: bytes) -> Dict[str, Optional[int]]:
    """Soft limits by their name ("Max address space"); None is unlimited. Bytes, or a count where the name says so."""
    limits: Dict[str, Optional[int]] = {}
    for raw in text.split(b"\n")[1:]:
        name, value = raw[:26].strip(), raw[26:47].strip()
        if value == b"unlimited":
            limits[name.decode("ascii", "replace")] = None
        elif value.isdigit() and len(value) <= 20:
            limits[name.decode("ascii", "replace")] = int(value)
    return limits


def parse_fdinfo(text: bytes) -> Dict[str, int]:
    """`flags` (octal in the file), `mnt_id`, `pos` and `ino` of /proc/PID/fdinfo/FD."""
    found = {}
    for key, value in parse_status(text).items():
        digits = _OCTAL if key == "flags" else _DECIMAL
        if key in ("flags", "mnt_id", "pos", "ino") and digits.fullmatch(value):
            found[key] = int(value, 8 if key == "flags" else 10)
    return found


def parse_mountinfo(text: bytes) -> List[Mount]:
    """Every mount of the namespace (fs/proc_namespace.c:show_mountinfo). Raises DecodeError on a malformed line."""
    mounts = []
    for raw in text.split(b"\n"):
        if not raw:
            continue
        fields = raw.split(b" ")
        try:
            dash = fields.index(b"-", 6)
            major, _, minor = fields[2].partition(b":")
            mounts.append(
                Mount(
                    int(fields[0]),
                    "%02x:%02x" % (int(major), int(minor)),
                    _unescape(fields[4]),
                    os.fsdecode(fields[5]),
                    os.fsdecode(fields[dash + 1]),
                    os.fsdecode(fields[dash + 3]) if len(fields) > dash + 3 else "",
                )
            )
        except (ValueError, IndexError):
            raise DecodeError("not a line of mountinfo: %r" % raw[:80]) from None
    return mounts


def parse_meminfo(text: bytes) -> Dict[str, int]:
    """Sizes in bytes (counts, such as HugePages_Free, as they stand)."""
    sizes = {}
    for key, value in parse_status(text).items():
        words = value.split()
        if words and _DECIMAL.fullmatch(words[0]):
            sizes[key] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return sizes


def _unescape(raw: bytes) -> str:
    for octal, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        raw = raw.replace(octal, char)
    return os.fsdecode(raw)
