"""What a mapping may become, asked forwards: the missing bit, and what took it away."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from asking import AT, LETS_THROUGH, PAGE, answer, asked, mapped, over

from wxtrace.decoders.procmaps import Vma
from wxtrace.model import flags as f
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.vm_may import may_not_become
from wxtrace.model.objects import MountFact

R, W, RW, X, RX = 1, 2, 3, 4, 5
NOEXEC = {"08:01": MountFact("/srv/my data", "rw,noexec", "ext4", "rw")}
PROC = {"08:01": MountFact("/proc", "rw", "proc", "rw")}


def a_file(*flags: str, path: str = "/srv/a", perms: str = "r--p") -> Vma:
    return mapped(AT, 4, *flags, perms=perms, path=path, inode=7)


def said_of(vma: Vma, prot: int, **more: Any) -> str:
    return asked(may_not_become, ("mprotect", AT, PAGE, prot), over(vma, cpu_features=[], **more))


@pytest.mark.parametrize(
    "vma, prot, mounts, said",
    [
        (a_file("mr", "me", "ms"), RW, {}, "EACCES fd.write-mode:later"),
        (a_file("mr", "me", "ms"), RX, {}, LETS_THROUGH),
        (a_file("mr", "me", "ms", path="/SYSV00000000 (deleted)"), W, {}, "EACCES fd.write-mode:segment"),
        (a_file("mr", "me", "ms", "sh", path="/memfd:x"), W, {}, "EACCES memfd.write-seal:later"),
        (a_file("mr", "me", "ms", "sh", path="/srv/a"), W, {}, "EACCES fd.driver:later"),
        (a_file("mr", "me", path="/srv/a"), W, {}, "EACCES fd.driver:later"),
        (a_file("mr", "mw"), X, NOEXEC, "EACCES mount.noexec:later"),
        (a_file("mr", "mw"), X, {}, "EACCES mount.noexec:unseen"),
        (a_file("mr", "mw"), RW, NOEXEC, LETS_THROUGH),
        (a_file("mr", "mw"), X, PROC, "EACCES superblock.noexec:later"),
        (a_file("mr", "mw", path="/secretmem (deleted)"), X, {}, "EACCES superblock.noexec:later"),
        (a_file("mr", "mw", path="/dev/dri/card0"), X, {}, "? EACCES fd.driver:later"),
        (a_file("mr", "mw", path="/dev/shm/a"), X, {}, "EACCES mount.noexec:unseen"),
        (a_file("mw", "me", path="/srv/a"), R, {}, "EACCES fd.driver:later"),
        (mapped(AT, 4, "rd", "mr", path="[vvar]", perms="r--p"), W, {}, "EACCES address.special-mapping"),
        (mapped(AT, 4, "mr", "mw", "me", path="[vdso]", perms="r-xp"), W, {}, LETS_THROUGH),
        (mapped(AT, 4, "rd", "wr", "mr", "mw", "ss"), X, {}, "EACCES shadow-stack:memory"),
        (mapped(AT, 4, "mr", "mw", "me"), 7, {}, LETS_THROUGH),
        (mapped(AT, 4, "ac"), 0, {}, LETS_THROUGH),
    ],
)
def test_the_bit_that_is_missing(vma: Vma, prot: int, mounts: Dict[str, MountFact], said: str) -> None:
    assert said_of(vma, prot, mounts=mounts) == said


def test_the_words() -> None:
    told = answer(may_not_become, ("mprotect", AT, PAGE, X), over(a_file("mr", "mw"), mounts=NOEXEC))
    assert (told.words["mount"], told.words["quoted_mount"]) == ("/srv/my data", "'/srv/my data'")
    assert told.evidence[0].fact.endswith("/srv/a can never become executable: VM_MAYEXEC is missing (no `me`)")
    device = a_file("mr", "mw", path="/dev/dri/card0")
    assert answer(may_not_become, ("mprotect", AT, PAGE, X), over(device)).words["path"] == "/dev/dri/card0"


def test_the_first_bit_is_the_one_that_is_named() -> None:
    told = answer(may_not_become, ("mprotect", AT, PAGE, RW), over(a_file("me")))
    assert "readable: VM_MAYREAD" in told.evidence[0].fact


def test_without_vm_flags_only_what_is_gained_is_in_doubt() -> None:
    blind = a_file()._replace(flags=())
    assert said_of(blind, RX) == "? EACCES mount.noexec"
    assert said_of(blind, RW) == "? EACCES fd.write-mode"
    assert said_of(blind, R) == LETS_THROUGH
    assert said_of(blind._replace(line=blind.line._replace(perms="r-xp")), RX) == LETS_THROUGH
    assert answer(may_not_become, ("mprotect", AT, PAGE, RX), over(blind)).missing == (Need.VM_FLAGS,)


def test_private_anonymous_memory_may_become_anything() -> None:
    assert said_of(mapped(AT, 4)._replace(flags=()), 7) == LETS_THROUGH
    shared = mapped(AT, 4, perms="rw-s")._replace(flags=())
    assert said_of(shared, 7) == "? EACCES mount.noexec"
    special = mapped(AT, 4, perms="r--p", path="[vvar]")._replace(flags=())
    assert said_of(special, W) == "? EACCES fd.write-mode"


def test_read_implies_exec_is_not_applied_to_what_has_no_may_exec() -> None:
    assert said_of(a_file("mr", "mw"), R, personality=f.READ_IMPLIES_EXEC, mounts=NOEXEC) == LETS_THROUGH
