"""What mmap asks of a descriptor, and of what is behind it."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pytest
from asking import LETS_THROUGH, PAGE, PROBE, answer, asked

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes import fd
from wxtrace.model.facts import Probe
from wxtrace.model.objects import Descriptor, MountFact

R, RW, W = 1, 3, 2
SHARED, PRIVATE, VALIDATE = 1, 2, 3
RDONLY, WRONLY, RDWR, NEITHER, PATH = 0, 1, 2, 3, 0o10000000
EXT4, FUSE = MountFact("/", "rw", "ext4", "rw"), MountFact("/home", "rw", "fuse.x", "rw")


def of(link: str = "/srv/a", flags: Optional[int] = RDWR, kind: Optional[str] = "regular file", **more: Any) -> Probe:
    return replace(PROBE, descriptor=Descriptor(link, flags, kind, **more))


def maps(prot: int = R, flags: int = PRIVATE, length: int = PAGE, offset: int = 0) -> Tuple[Any, ...]:
    return ("mmap", 0, length, prot, flags, 3, offset)


ANON = maps(RW, SHARED | 0x20)
EVERY = [
    fd.bad_descriptor,
    fd.offset_overflow,
    fd.no_dax,
    fd.write_mode,
    fd.swap_file,
    fd.append_only,
    fd.read_mode,
    fd.not_mappable,
    fd.driver,
]


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: rule.name)
def test_anonymous_memory_has_no_descriptor(rule: Any) -> None:
    assert asked(rule, maps(RW, SHARED | 0x20 | f.MAP_SYNC, offset=(1 << 64) - PAGE)) == LETS_THROUGH


@pytest.mark.parametrize(
    "probe, said",
    [
        (of(), LETS_THROUGH),
        (of(""), "EBADF fd.bad"),
        (of(flags=PATH), "EBADF fd.bad"),
        (of(flags=None), LETS_THROUGH),
        (PROBE, "? EBADF fd.bad"),
    ],
)
def test_a_descriptor_is_open_for_more_than_its_name(probe: Probe, said: str) -> None:
    assert asked(fd.bad_descriptor, maps(), probe) == said


OVERFLOW = "EOVERFLOW fd.offset-overflow"


@pytest.mark.parametrize(
    "kind, length, offset, said",
    [
        ("regular file", PAGE, (1 << 63) - 2 * PAGE, LETS_THROUGH),
        ("regular file", PAGE, (1 << 63) - PAGE, OVERFLOW),
        ("regular file", PAGE + 1, (1 << 63) - 2 * PAGE, OVERFLOW),
        ("block device", PAGE, (1 << 63) - PAGE, OVERFLOW),
        ("socket", PAGE, (1 << 63) - PAGE, OVERFLOW),
        ("character device", PAGE, (1 << 63) - PAGE, LETS_THROUGH),
        ("character device", PAGE, (1 << 64) - 2 * PAGE, LETS_THROUGH),
        ("character device", PAGE, (1 << 64) - PAGE, "? " + OVERFLOW),
        (None, PAGE, (1 << 63) - PAGE, "? " + OVERFLOW),
    ],
)
def test_the_largest_offset(kind: Optional[str], length: int, offset: int, said: str) -> None:
    assert asked(fd.offset_overflow, maps(length=length, offset=offset), of(kind=kind)) == said


@pytest.mark.parametrize("flags", [VALIDATE, SHARED, PRIVATE])
def test_map_sync_may_be_refused_whatever_the_sharing(flags: int) -> None:
    given = answer(fd.no_dax, maps(flags=flags | f.MAP_SYNC), of(mount=EXT4))
    assert given.by_exclusion and given.evidence[-1].fact == "/ is ext4, rw"
    assert asked(fd.no_dax, maps(flags=flags), of()) == LETS_THROUGH


@pytest.mark.parametrize(
    "mode, writes, reads",
    [
        (RDONLY, False, True),
        (WRONLY, True, False),
        (RDWR, True, True),
        (NEITHER, False, False),
        (RDWR | 0o100000, True, True),
    ],
)
def test_how_it_was_opened(mode: int, writes: bool, reads: bool) -> None:
    write = LETS_THROUGH if writes else "EACCES fd.write-mode"
    read = LETS_THROUGH if reads else "EACCES fd.read-mode"
    assert asked(fd.write_mode, maps(RW, SHARED), of(flags=mode)) == write
    assert asked(fd.write_mode, maps(W, VALIDATE), of(flags=mode)) == write
    assert asked(fd.write_mode, maps(R, SHARED), of(flags=mode)) == LETS_THROUGH
    assert asked(fd.write_mode, maps(RW, PRIVATE), of(flags=mode)) == LETS_THROUGH
    for call in (maps(0, PRIVATE), maps(W, SHARED)):
        assert asked(fd.read_mode, call, of(flags=mode)) == read


@pytest.mark.parametrize("link, name", [("/srv/a", "/srv/a"), ("", "this descriptor")])
def test_how_it_was_opened_is_the_evidence(link: str, name: str) -> None:
    given = answer(fd.write_mode, maps(RW, SHARED), of(link, RDONLY))
    assert given.evidence[0].fact == "descriptor 3 (%s) was opened O_RDONLY" % name
    assert given.evidence[0].source == "/proc/PID/fdinfo/3"


@pytest.mark.parametrize("link, quoted", [("/srv/a b", "'/srv/a b'"), ("/tmp/a (deleted)", None)])
def test_a_command_names_a_file_that_is_there(link: str, quoted: Optional[str]) -> None:
    assert answer(fd.swap_file, maps(RW, SHARED), of(link)).words["quoted_path"] == quoted


def test_how_it_was_opened_is_not_known() -> None:
    assert asked(fd.write_mode, maps(RW, SHARED), of(flags=None)) == "? EACCES fd.write-mode"
    assert asked(fd.read_mode, maps(), PROBE) == "? EACCES fd.read-mode"


@pytest.mark.parametrize("prot, flags, asks", [(RW, SHARED, True), (R, SHARED, False), (RW, PRIVATE, False)])
def test_only_what_would_write_to_a_swap_file_is_refused(prot: int, flags: int, asks: bool) -> None:
    said = "? ETXTBSY fd.swap-file" if asks else LETS_THROUGH
    assert asked(fd.swap_file, maps(prot, flags), of()) == said


APPEND = "EACCES fd.append-only"


@pytest.mark.parametrize(
    "flags, probe, said",
    [
        (SHARED, of(append_only=True), APPEND),
        (SHARED, of(append_only=True, flags=WRONLY), APPEND),
        (SHARED, of(append_only=True, flags=RDONLY), LETS_THROUGH),
        (PRIVATE, of(append_only=True), LETS_THROUGH),
        (SHARED, of(append_only=False), LETS_THROUGH),
        (SHARED, of(), "? " + APPEND),
        (SHARED, of(kind="character device"), LETS_THROUGH),
        (SHARED, of(append_only=True, flags=None), "? " + APPEND),
        (SHARED, PROBE, "? " + APPEND),
    ],
)
def test_what_may_only_be_appended_to(flags: int, probe: Probe, said: str) -> None:
    assert asked(fd.append_only, maps(R, flags), probe) == said


@pytest.mark.parametrize(
    "kind, said",
    [
        ("directory", "ENODEV fd.not-mappable"),
        ("pipe", "ENODEV fd.not-mappable"),
        ("socket", "? ENODEV fd.not-mappable"),
        ("character device", "? ENODEV fd.not-mappable:this"),
        (None, "? ENODEV fd.not-mappable:this"),
    ],
)
def test_what_cannot_be_mapped_at_all(kind: Optional[str], said: str) -> None:
    assert asked(fd.not_mappable, maps(), of(kind=kind)) == said


FEW, SOME = "? EIO/ENXIO", "? EIO/ENXIO/EINVAL/EAGAIN/EOPNOTSUPP"
ANY = SOME + "/ENOMEM/EACCES/EPERM"


@pytest.mark.parametrize(
    "probe, may_give",
    [
        (of(mount=EXT4), FEW),
        (of(mount=FUSE), SOME),
        (of(), FEW),
        (of("/memfd:x (deleted)"), FEW),
        (of("/dev/x", kind="character device", mount=EXT4), ANY),
        (of("/proc/version"), ANY),
        (of("anon_inode:[io_uring]"), ANY),
        # Its EPERM is limit.memlock.
        (of("anon_inode:[perf_event]", kind=None), SOME + "/ENOMEM/EACCES"),
    ],
)
def test_what_is_left_for_a_driver_to_say(probe: Probe, may_give: str) -> None:
    assert asked(fd.driver, maps(), probe) == may_give + " fd.driver"
    assert answer(fd.driver, maps(), probe).by_exclusion


def test_map_sync_is_not_the_drivers_to_refuse() -> None:
    said = asked(fd.driver, maps(flags=SHARED | f.MAP_SYNC), of("/dev/x", kind="character device"))
    assert "EOPNOTSUPP" not in said and "EINVAL" in said
    assert asked(fd.driver, maps(), PROBE).endswith(" fd.driver")
    assert answer(fd.driver, maps(), PROBE).at_most is None
