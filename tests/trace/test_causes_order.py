"""Two reasons in one call, in the real kernel: the one it meets first is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional

import pytest
from cases import Family

pytestmark = pytest.mark.trace

Families = Callable[[str], Family]


@dataclass(frozen=True)
class Pair:
    """`partial`: changed pages and pages of the range, where the call was half done."""

    name: str
    call: str
    errno: str
    cause: str
    partial: Optional[Dict[str, int]] = None
    first: bool = False


PAIRS = [
    Pair("read-only-behind-anon", "mprotect", "EACCES", "fd.write-mode", {"changed_pages": 1, "pages": 2}),
    Pair("sealed-behind-anon", "mprotect", "EPERM", "mseal", {"changed_pages": 1, "pages": 3}, first=True),
    Pair("hole-behind-read-only", "mprotect", "EACCES", "fd.write-mode"),
    Pair("read-only-behind-hole", "mprotect", "ENOMEM", "address.unmapped", {"changed_pages": 1, "pages": 3}),
    Pair("hole-behind-limit", "mprotect", "ENOMEM", "limit.data"),
    Pair("mdwe-on-read-only", "mprotect", "EACCES", "fd.write-mode"),
    Pair("read-only-behind-mdwe", "mprotect", "EACCES", "mdwe"),
    Pair("mdwe-on-sealed", "mprotect", "EACCES", "mdwe"),
    Pair("unaligned-on-sealed", "mprotect", "EINVAL", "argument.alignment"),
    Pair("sealed-under-noreplace", "mmap", "EEXIST", "address.occupied"),
    Pair("mdwe-under-noreplace", "mmap", "EEXIST", "address.occupied"),
    Pair("mdwe-over-sealed", "mmap", "EACCES", "mdwe", first=True),
    Pair("mdwe-of-read-only-file", "mmap", "EACCES", "fd.write-mode", first=True),
    Pair("limit-over-sealed", "mmap", "EPERM", "mseal"),
    Pair("sealed-and-never-executable", "mprotect", "EACCES", "superblock.noexec"),
    Pair("mdwe-and-never-executable", "mprotect", "EACCES", "superblock.noexec"),
    Pair("sealed-beyond-the-limit", "mprotect", "EPERM", "mseal", first=True),
    Pair("sealed-behind-hole", "madvise", "EPERM", "mseal"),
    Pair("sealed-and-across", "mremap", "EPERM", "mseal"),
    Pair("mdwe-of-sealed-memfd", "mmap", "EPERM", "memfd.write-seal"),
    Pair("unaligned-of-closed", "mmap", "EINVAL", "argument.alignment"),
    Pair("nothing-of-closed", "mmap", "EBADF", "fd.bad"),
    Pair("code-of-directory", "mmap", "EPERM", "superblock.noexec"),
    Pair("unknown-of-read-only", "mmap", "EOPNOTSUPP", "argument.flags"),
    Pair("wrapping-with-unknown", "mprotect", "ENOMEM", "argument.length"),
    Pair("key-of-hole", "pkey_mprotect", "EINVAL", "pkey"),
    Pair("unaligned-of-no-segment", "shmat", "EINVAL", "argument.alignment"),
    Pair("unknown-advice-unaligned", "madvise", "EINVAL", "argument.advice"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_the_first_reason_is_named(family: Families, pair: Pair) -> None:
    taken = family("cause_order")
    event = taken.event(pair.name, pair.call)
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"]) == (pair.errno, pair.cause)
    assert diagnosis["confidence"] in {"proved", taken.run.sure_at_mmap if pair.first else "proved"}
    assert diagnosis["partial"] == pair.partial


def test_partial_pages_are_those_that_changed(family: Families) -> None:
    event = family("cause_order").event("sealed-behind-anon", "mprotect")
    changed = [part for part in event["touched"] if part["before"] != part["after"]]
    assert [(part["before"], part["asked"], part["after"]) for part in changed] == [("r--p", "rw-", "rw-p")]
    assert int(changed[0]["end"], 16) - int(changed[0]["start"], 16) == 4096
