"""Reading what the file behind a mapping says of itself: only that file, only a file, and never waiting for it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from wxtrace.decoders.procmaps import MapLine
from wxtrace.live.libraries import library_mapped, library_of_line, loader_version
from wxtrace.model.objects import Library

FIXED, PRIVATE, R, RX = 0x10, 2, 1, 5


def line_of(path: Path, inode: int = 0, perms: str = "r-xp", start: int = 0x7F0000000000) -> MapLine:
    """As maps shows a mapping of this file."""
    found = os.stat(path)
    dev = "%02x:%02x" % (os.major(found.st_dev), os.minor(found.st_dev))
    return MapLine(start, start + 0x1000, perms, 0, dev, inode or found.st_ino, str(path))


def read(line: MapLine) -> Library:
    return library_of_line(os.getpid(), line)


def test_executable_stack_and_text_relocations(examples: Path) -> None:
    execstack, textrel = read(line_of(examples / "execstack_lib.so")), read(line_of(examples / "textrel_lib.so"))
    assert (execstack.stack_flags, execstack.text_relocations, execstack.trouble) == (7, False, "")
    assert (textrel.stack_flags, textrel.text_relocations, textrel.trouble) == (6, True, "")


def test_another_file_under_the_same_name_is_not_believed(examples: Path, tmp_path: Path) -> None:
    copy = tmp_path / "lib.so"
    copy.write_bytes((examples / "execstack_lib.so").read_bytes())
    found = read(line_of(copy, inode=os.stat(copy).st_ino + 1))
    assert (found.stack_flags, found.trouble) == (None, "another file has that name now")


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    line = line_of(tmp_path)._replace(path=str(tmp_path / "lib.so") + " (deleted)")
    assert read(line).trouble == "it was deleted"
    assert read(line._replace(path=str(tmp_path / "none.so"))).trouble == "No such file or directory"


@pytest.mark.timeout(20)
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "lib.so"
    os.mkfifo(pipe)
    assert read(line_of(pipe)).trouble


def test_a_socket_a_folder_and_a_name_with_a_null_byte(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "lib.so"))
        assert read(line_of(tmp_path / "lib.so")).trouble
    assert read(line_of(tmp_path)).trouble
    assert read(line_of(tmp_path)._replace(path="/a\0b")).trouble


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF\x02\x01\x01" + b"\xff" * 4096])
def test_a_file_that_is_no_library(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lib.so"
    path.write_bytes(content)
    assert read(line_of(path)).trouble


def test_the_last_library_is_the_one_whose_code_was_mapped_last(examples: Path) -> None:
    span = line_of(examples / "execstack_lib.so", perms="r--p")
    code = line_of(examples / "execstack_lib.so", start=span.start + 0x1000)
    known = library_mapped(None, (0, 0x4000, R, PRIVATE, 3, 0), span)
    assert known == (span.start, None)
    known = library_mapped(known, (code.start, 0x1000, RX, PRIVATE | FIXED, 3, 0x1000), code)
    assert known == (span.start, code)
    memfd = code._replace(path="/memfd:jit (deleted)", perms="r-xs")
    assert library_mapped(known, (0, 0x1000, RX, 1, 3, 0), memfd) == known


@pytest.mark.parametrize(
    ("name", "content", "version"),
    [
        ("ld-linux-x86-64.so.2", b"\0ld.so (Debian GLIBC 2.41-12) stable release version 2.41.\n", "2.41"),
        ("ld-linux-x86-64.so.2", b"\0ld.so (GNU libc) development release version 2.43.\n", "2.43"),
        ("ld-2.28.so", b"\0GNU C Library\n", "other"),
        ("ld-musl-x86_64.so.1", b"\0ld.so (GNU libc) stable release version 2.41.\n", "other"),
        ("libc.so.6", b"\0ld.so (GNU libc) stable release version 2.41.\n", ""),
    ],
)
def test_the_version_of_the_loader(tmp_path: Path, name: str, content: bytes, version: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert loader_version(os.getpid(), [line_of(path)]) == version


def test_a_loader_that_was_replaced_is_not_asked(tmp_path: Path) -> None:
    path = tmp_path / "ld-linux-x86-64.so.2"
    path.write_bytes(b"ld.so (GNU libc) stable release version 2.41.\n")
    assert loader_version(os.getpid(), [line_of(path, inode=1)]) == ""
