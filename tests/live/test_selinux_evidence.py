"""Asking SELinux: a selinuxfs made of files, an answer in the kernel's place, and labels on real mapped files."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

import pytest

from wxtrace.decoders import DecodeError
from wxtrace.decoders.procmaps import MapLine, Vma, parse_maps
from wxtrace.live.selinux_evidence import selinux_state
from wxtrace.live.selinuxfs import Selinuxfs
from wxtrace.model import flags as f
from wxtrace.model.objects import MountFact
from wxtrace.model.restrictions import DESCRIPTOR, PolicyAnswer
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.row import CallRequest

DOMAIN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
LABEL = "system_u:object_r:usr_t:s0"
# Debian 13's numbers; the replies are those of its policy with every exec boolean off.
CLASSES = {
    "process": (2, {"execmem": 26, "execstack": 27, "execheap": 28}),
    "file": (6, {"read": 2, "write": 3, "map": 11, "execute": 15, "execmod": 20}),
    "memprotect": (61, {"mmap_zero": 1}),
}
NO_EXEC = b"717fffff ffffffff 0 ffffffff 2 0"
ALL_BUT_EXECMOD = b"fff7ffff ffffffff 0 ffffffff 2 0"
NOTHING = b"0 ffffffff 0 ffffffff 2 0"
PAGE = 4096


class Kernel:
    """Answers in the place of /sys/fs/selinux/access, and remembers what it was asked."""

    def __init__(self, replies: Dict[bytes, bytes]) -> None:
        self.replies = replies
        self.asked: List[bytes] = []

    def __call__(self, question: bytes) -> bytes:
        self.asked.append(question)
        reply = self.replies.get(question.rpartition(b" ")[2])
        if reply is None:
            raise OSError(errno.EACCES, "denied")
        return reply


@pytest.fixture
def root(tmp_path: Path) -> str:
    """What an unconfined user can read of it."""
    files = {"enforce": "1", "booleans/allow_execmem": "0 0", "booleans/allow_ptrace": "1 1"}
    for name, (index, permissions) in CLASSES.items():
        files["class/%s/index" % name] = str(index)
        for permission, number in permissions.items():
            files["class/%s/perms/%s" % (name, permission)] = str(number)
    for name, text in files.items():
        path = tmp_path / "selinux" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path / "selinux")


def test_one_question_as_the_kernel_wants_it(root: str) -> None:
    kernel = Kernel({b"2": NO_EXEC})
    found = Selinuxfs(root, kernel).allowed(DOMAIN, DOMAIN, "process", ["execmem", "execheap", "not a permission"])
    assert found == ({"execmem": False, "execheap": False}, False)
    assert kernel.asked == [b"%s %s 2" % (DOMAIN.encode(), DOMAIN.encode())]


def test_a_class_that_the_policy_does_not_have(root: str) -> None:
    assert Selinuxfs(root, Kernel({})).allowed(DOMAIN, LABEL, "memfd_file", ["execute"]) is None


def test_an_answer_that_is_none(root: str) -> None:
    with pytest.raises(DecodeError):
        Selinuxfs(root, Kernel({b"2": b"yes"})).allowed(DOMAIN, DOMAIN, "process", ["execmem"])


def test_where_there_is_no_selinux(tmp_path: Path) -> None:
    nothing = Selinuxfs(str(tmp_path))
    assert (nothing.enforcing(), nothing.booleans()) == (None, {})
    assert selinux_state(1, Mprotect(0, 0, 0), [], {}, b"docker-default (enforce)\n", nothing) is None


def test_a_container_that_hides_selinuxfs(tmp_path: Path) -> None:
    state = selinux_state(1, Mprotect(0, 0, 0), [], {}, DOMAIN.encode() + b"\0", Selinuxfs(str(tmp_path)))
    assert state is not None and (state.enforcing, state.domain) == (None, DOMAIN)


def test_a_domain_that_may_not_ask(root: str) -> None:
    state = selinux_state(1, Mprotect(0, 0, 0), [], {}, DOMAIN.encode(), Selinuxfs(root, Kernel({})))
    assert state is not None
    assert (state.enforcing, state.answers, state.booleans) == (True, [], {})
    assert "security:compute_av" in state.why_not


def test_a_policy_that_may_not_be_asked_is_asked_once(root: str) -> None:
    """Each question would be one more denial of our own in the audit log."""
    kernel = Kernel({})
    fs = Selinuxfs(root, kernel, DOMAIN.encode())
    for _ in range(3):
        selinux_state(1, Mprotect(0, 0, 0), [], {}, DOMAIN.encode(), fs)
    assert len(kernel.asked) == 1


@pytest.mark.parametrize(
    "boolean_t, expected",
    [
        (ALL_BUT_EXECMOD, {"allow_execmem": False}),
        (NOTHING, {}),
        # A policy without this type: the booleans have that of the file system.
        (errno.EINVAL, {"allow_execmem": False}),
        (errno.EACCES, {}),
    ],
)
def test_booleans_are_read_only_where_the_policy_lets_us(root: str, boolean_t: object, expected: object) -> None:
    def answer(question: bytes) -> bytes:
        if b"boolean_t" not in question:
            return ALL_BUT_EXECMOD
        if isinstance(boolean_t, int):
            raise OSError(boolean_t, "refused")
        assert isinstance(boolean_t, bytes)
        return boolean_t

    assert Selinuxfs(root, answer, DOMAIN.encode()).booleans() == expected


def test_without_a_context_of_our_own_nothing_is_read(root: str) -> None:
    kernel = Kernel({b"6": ALL_BUT_EXECMOD})
    assert Selinuxfs(root, kernel, b"").booleans() == {}
    assert kernel.asked == []


def test_a_low_address_is_asked_for_itself(root: str) -> None:
    fs = Selinuxfs(root, Kernel({b"2": NO_EXEC, b"61": NOTHING}))
    request = Mmap(0x1000, PAGE, 3, f.MAP_ANONYMOUS | f.MAP_FIXED | 2, -1, 0)
    state = selinux_state(1, request, [], {}, DOMAIN.encode(), fs)
    assert state is not None
    assert state.answers[1] == PolicyAnswer("", "memprotect", DOMAIN, [], ["mmap_zero"])


class Mapped(NamedTuple):
    """A file of ours with a label, as one line of our own map shows it."""

    line: MapLine
    path: Path
    descriptor: int


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Mapped]:
    path = tmp_path / "code"
    path.write_bytes(b"\xc3" * PAGE)
    try:
        os.setxattr(path, "security.selinux", LABEL.encode() + b"\0")
    except OSError as error:
        pytest.skip("labels cannot be set here: %s" % error.strerror)
    descriptor = os.open(path, os.O_RDWR)
    with mmap.mmap(descriptor, PAGE, mmap.MAP_PRIVATE) as memory:
        memory[0] = 1
        lines = parse_maps(Path("/proc/self/maps").read_bytes())
        [line] = [line for line in lines if line.path == str(path)]
        yield Mapped(line, path, descriptor)
    os.close(descriptor)


def answer(about: str) -> PolicyAnswer:
    return PolicyAnswer(about, "file", LABEL, ["map", "read", "write", "execute"], ["execmod"])


def answers(root: str, request: CallRequest, line: MapLine, fstype: str = "ext4") -> List[PolicyAnswer]:
    fs = Selinuxfs(root, Kernel({b"2": NO_EXEC, b"6": ALL_BUT_EXECMOD}))
    mounts = {line.dev: MountFact("/", "rw", fstype, "rw")}
    state = selinux_state(os.getpid(), request, [Vma(line, (), 0, 0, 0)], mounts, DOMAIN.encode(), fs)
    assert state is not None and state.why_not == ""
    return state.answers[1:]


@pytest.mark.root
def test_the_label_of_a_mapped_file(root: str, mapped: Mapped) -> None:
    line = mapped.line
    found = answers(root, Mprotect(line.start, PAGE, 5), line)
    assert found == [answer("%#x" % line.start)]


@pytest.mark.root
def test_the_label_behind_a_descriptor(root: str, mapped: Mapped) -> None:
    request = Mmap(0x7F0000000000, PAGE, 5, 2, mapped.descriptor, 0)
    assert answers(root, request, mapped.line) == [answer(DESCRIPTOR)]


@pytest.mark.root
def test_the_label_without_the_right_to_use_map_files(root: str, mapped: Mapped) -> None:
    """By an open descriptor of the same inode, or by the path, if it still is that file on a local file system."""
    elsewhere = mapped.line._replace(start=0x10000, end=0x11000)
    request = Mprotect(0x10000, PAGE, 5)
    expected = [answer("0x10000")]
    assert answers(root, request, elsewhere) == expected
    assert answers(root, request, elsewhere._replace(inode=1)) == []
    os.unlink(mapped.path)
    assert answers(root, request, elsewhere) == expected


@pytest.mark.root
def test_the_label_by_path_alone(root: str, mapped: Mapped, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"")
    os.setxattr(other, "security.selinux", LABEL.encode() + b"\0")
    line = mapped.line._replace(start=0x10000, end=0x11000, path=str(other), inode=os.stat(other).st_ino)
    request = Mprotect(0x10000, PAGE, 5)
    assert answers(root, request, line) == [answer("0x10000")]
    assert answers(root, request, line, "fuse.sshfs") == []
