"""Code from where nothing may be executed."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pytest
from asking import HOST, LETS_THROUGH, PAGE, PROBE, answer, asked

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.mount import MOUNT_NOEXEC, mount_noexec, superblock_noexec
from wxtrace.model.facts import Probe
from wxtrace.model.objects import Descriptor, MountFact

R, RX = 1, 5
NOEXEC = MountFact("/srv/data dir", "rw,noexec,nodev", "ext4", "rw")
EXEC = MountFact("/", "rw,nosuid", "ext4", "rw,noexec_is_no_option")
MOUNT, SUPERBLOCK = "EPERM mount.noexec", "EPERM superblock.noexec"


def of(link: str, mount: Optional[MountFact] = None, **more: Any) -> Probe:
    return replace(PROBE, descriptor=Descriptor(link, 0, "regular file", mount), **more)


def maps(prot: int = RX, flags: int = 2) -> Tuple[Any, ...]:
    return ("mmap", 0, PAGE, prot, flags, 3, 0)


@pytest.mark.parametrize(
    "call, probe, said",
    [
        (maps(), of("/srv/data dir/a", NOEXEC), MOUNT),
        (maps(R), of("/srv/data dir/a", NOEXEC), LETS_THROUGH),
        (maps(flags=0x22), of("/srv/data dir/a", NOEXEC), LETS_THROUGH),
        (maps(), of("/a", EXEC), LETS_THROUGH),
        (maps(), of("/memfd:x (deleted)"), LETS_THROUGH),
        (maps(), of("/a"), "? " + MOUNT),
        (maps(), PROBE, "? " + MOUNT),
    ],
)
def test_a_noexec_mount(call: Tuple[Any, ...], probe: Probe, said: str) -> None:
    assert asked(mount_noexec, call, probe) == said


@pytest.mark.parametrize(
    "link, kind, case, advice",
    [
        ("/dev/zero", "character device", "zero", "MAP_ANONYMOUS"),
        ("/srv/root/dev/zero", "character device", "zero", "MAP_ANONYMOUS"),
        ("/dev/null2", "character device", "device", "without PROT_EXEC"),
        ("/dev/sda", "block device", "device", "without PROT_EXEC"),
        ("/dev/shm/a", "regular file", "", "TMPDIR"),
    ],
)
def test_what_helps_depends_on_what_is_mapped(link: str, kind: str, case: str, advice: str) -> None:
    probe = replace(PROBE, descriptor=Descriptor(link, 0, kind, replace(NOEXEC, point="/dev", fstype="devtmpfs")))
    given = answer(mount_noexec, maps(), probe)
    assert given.case == case
    assert advice in MOUNT_NOEXEC.case(case).fixes[0].text


def test_read_implies_exec_adds_nothing_there() -> None:
    probe = of("/srv/data dir/a", NOEXEC, personality=f.READ_IMPLIES_EXEC)
    assert asked(mount_noexec, maps(R), probe) == LETS_THROUGH


@pytest.mark.parametrize(
    "kernel, said", [("6.17.0", SUPERBLOCK), ("6.16.9", "? " + SUPERBLOCK), ("", "? " + SUPERBLOCK)]
)
@pytest.mark.parametrize("link", ["anon_inode:[perf_event]", "/secretmem (deleted)", "pidfd:[7]"])
def test_what_has_no_file_is_never_code_from_6_17(link: str, kernel: str, said: str) -> None:
    assert asked(superblock_noexec, maps(), of(link), replace(HOST, kernel=kernel)) == said
    assert asked(superblock_noexec, maps(R), of(link), replace(HOST, kernel=kernel)) == LETS_THROUGH


@pytest.mark.parametrize(
    "fstype, said",
    [("proc", SUPERBLOCK), ("sysfs", SUPERBLOCK), ("binfmt_misc", SUPERBLOCK), ("debugfs", LETS_THROUGH)],
)
def test_file_systems_that_hold_no_code(fstype: str, said: str) -> None:
    assert asked(superblock_noexec, maps(), of("/x", MountFact("/x", "rw", fstype, "rw"))) == said


def test_what_was_not_read_of_a_descriptor() -> None:
    assert asked(superblock_noexec, maps(), PROBE) == "? " + SUPERBLOCK
    assert answer(superblock_noexec, maps(), PROBE).at_most is None
