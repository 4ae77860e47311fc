"""memfd_create, and what is sealed in what it made."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pytest
from asking import HOST, LETS_THROUGH, PAGE, PROBE, answer, asked

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.memfd import flags, name, noexec_sysctl, write_seal
from wxtrace.model.facts import Probe
from wxtrace.model.objects import Descriptor

R, RW = 1, 3
SHARED, PRIVATE = 1, 2
FLAGS = "EINVAL memfd.flags"


@pytest.mark.parametrize(
    "asked_for, kernel, said",
    [
        (0x1F & ~f.MFD_EXEC, "6.18.0", LETS_THROUGH),
        (0x20, "6.18.0", FLAGS),
        (f.MFD_HUGETLB | 21 << f.HUGE_SHIFT, "6.18.0", LETS_THROUGH),
        (21 << f.HUGE_SHIFT, "6.18.0", FLAGS),
        (f.MFD_EXEC, "6.3.0", LETS_THROUGH),
        (f.MFD_EXEC, "6.2.9", FLAGS + ":old"),
        (f.MFD_NOEXEC_SEAL, "6.2.9", FLAGS + ":old"),
        (f.MFD_EXEC, "", "? " + FLAGS),
        (1, "", LETS_THROUGH),
        (f.MFD_EXEC | f.MFD_NOEXEC_SEAL, "6.18.0", FLAGS + ":both"),
    ],
)
def test_flags(asked_for: int, kernel: str, said: str) -> None:
    assert asked(flags, ("memfd_create", 0x1000, asked_for), host=replace(HOST, kernel=kernel)) == said


def test_the_name_is_not_read() -> None:
    given = answer(name, ("memfd_create", 0x1000, 0))
    assert given.by_exclusion and given.case == "name"


SYSCTL = "EACCES memfd.noexec-sysctl"


def level(text: Optional[str], same: bool = True) -> Probe:
    sysctl = {} if text is None else {"vm.memfd_noexec": text}
    return replace(PROBE, sysctl=sysctl, same_namespaces=same)


@pytest.mark.parametrize(
    "asked_for, probe, kernel, said",
    [
        (f.MFD_EXEC, level("2"), "6.18.0", SYSCTL),
        (f.MFD_EXEC, level("1"), "6.18.0", LETS_THROUGH),
        (f.MFD_EXEC, level("1", same=False), "6.18.0", "? " + SYSCTL),
        (f.MFD_EXEC, level(None), "6.18.0", "? " + SYSCTL),
        (f.MFD_EXEC, level(None), "6.2.0", LETS_THROUGH),
        (f.MFD_NOEXEC_SEAL, level("2"), "6.18.0", LETS_THROUGH),
        (0, level("2"), "6.6.0", LETS_THROUGH),
        (0, level("2"), "6.5.0", SYSCTL),
        (f.MFD_NOEXEC_SEAL, level("2"), "6.5.0", LETS_THROUGH),
    ],
)
def test_the_setting_of_the_namespace(asked_for: int, probe: Probe, kernel: str, said: str) -> None:
    assert asked(noexec_sysctl, ("memfd_create", 0x1000, asked_for), probe, replace(HOST, kernel=kernel)) == said


SEALED = "EPERM memfd.write-seal"
WRITE, FUTURE, SHRINK = 8, 16, 2


@pytest.mark.parametrize(
    "prot, sharing, seals, said",
    [
        (RW, SHARED, WRITE, SEALED),
        (RW, 3, FUTURE, SEALED),
        (RW, SHARED, SHRINK, LETS_THROUGH),
        (RW, PRIVATE, WRITE, LETS_THROUGH),
        (R, SHARED, WRITE, LETS_THROUGH),
    ],
)
def test_a_seal_against_writing(prot: int, sharing: int, seals: int, said: str) -> None:
    probe = replace(PROBE, descriptor=Descriptor("/memfd:x (deleted)", 2, "regular file", None, seals))
    assert asked(write_seal, ("mmap", 0, PAGE, prot, sharing, 3, 0), probe) == said


@pytest.mark.parametrize(
    "kernel, seals, mode, said",
    [
        ("6.6.0", WRITE, 2, "? " + SEALED),
        ("6.7.0", WRITE, 2, LETS_THROUGH),
        ("6.6.0", FUTURE, 2, LETS_THROUGH),
        ("6.6.0", WRITE, 0, LETS_THROUGH),
    ],
)
def test_before_6_7_a_seal_refused_readers_as_well(kernel: str, seals: int, mode: int, said: str) -> None:
    probe = replace(PROBE, descriptor=Descriptor("/memfd:x (deleted)", mode, "regular file", None, seals))
    assert asked(write_seal, ("mmap", 0, PAGE, R, SHARED, 3, 0), probe, replace(HOST, kernel=kernel)) == said


@pytest.mark.parametrize(
    "descriptor, said",
    [
        (None, "? " + SEALED),
        (Descriptor("/memfd:x (deleted)", 2), "? " + SEALED),
        (Descriptor("/srv/a", 2), LETS_THROUGH),
    ],
)
def test_seals_that_were_not_read(descriptor: Any, said: str) -> None:
    call: Tuple[Any, ...] = ("mmap", 0, PAGE, RW, SHARED, 3, 0)
    assert asked(write_seal, call, replace(PROBE, descriptor=descriptor)) == said
