"""Memory that may not change any more, in the real kernel: MDWE and mseal."""

from __future__ import annotations

from typing import Callable, Optional

import pytest
from cases import SMAPS, Case, Family, check, facts_from

pytestmark = pytest.mark.trace

Families = Callable[[str], Family]
BEFORE = "the map before the call"


def mdwe(name: str, call: str, fact: str, source: str = BEFORE) -> Case:
    return Case(name, call, "EACCES", "mdwe", source, fact, first=call in ("mmap", "shmat"))


MDWE = [
    mdwe("written-then-executable", "mprotect", "from rw- to r-x"),
    mdwe("read-only-to-executable", "mprotect", "from r-- to r-x"),
    mdwe("nothing-to-executable", "mprotect", "from --- to --x"),
    mdwe("executable-to-all", "mprotect", "from r-x to rwx"),
    mdwe("all-to-all", "mprotect", "from rwx to rwx"),
    mdwe("with-key", "pkey_mprotect", "from rw- to r-x"),
    mdwe("all-at-once", "mmap", "PR_MDWE_REFUSE_EXEC_GAIN", "asked in the stopped thread"),
    mdwe("all-at-once-of-a-file", "mmap", "PR_SET_MDWE was called", "the prctl call"),
    mdwe("implied", "mmap", "adds PROT_EXEC to every PROT_READ", "/proc/PID/personality"),
    mdwe("shared-segment", "shmat", "PR_MDWE_REFUSE_EXEC_GAIN", "asked in the stopped thread"),
]


@pytest.mark.parametrize("case", MDWE, ids=lambda case: case.name)
def test_mdwe(family: Families, case: Case) -> None:
    event = check(family("cause_mdwe"), case)
    # It set the rule itself.
    assert {fix["for"] for fix in event["diagnosis"]["fixes"]} == {"developer"}
    assert "before the program calls PR_SET_MDWE" in event["diagnosis"]["fixes"][-1]["text"]


def test_mdwe_is_inherited_by_a_child(family: Families) -> None:
    """The child of the case's own process was refused."""
    taken = family("cause_mdwe")
    known = {pid for pid, _ in taken.cases.values()}
    [event] = [event for event in taken.run.refused("mprotect") if event["pid"] not in known]
    assert (event["diagnosis"]["cause"], event["diagnosis"]["confidence"]) == ("mdwe", "proved")


def seal(name: str, call: str, errno: Optional[str] = "EPERM") -> Case:
    # mprotect asks security modules before it looks at seals.
    return Case(name, call, errno, "mseal", SMAPS, "is sealed (`sl`)", first=call.endswith("mprotect"))


SEALED = [
    seal("munmap", "munmap"),
    seal("mmap", "mmap"),
    seal("mprotect", "mprotect"),
    seal("mprotect-same", "mprotect"),
    seal("pkey-mprotect", "pkey_mprotect"),
    seal("shrink", "mremap"),
    seal("grow", "mremap"),
    seal("same-size", "mremap"),
    seal("move-away", "mremap"),
    seal("move-onto", "mremap"),
    seal("shmat", "shmat"),
    seal("remap-file-pages", "remap_file_pages"),
    seal("brk", "brk", None),
    seal("shmdt", "shmdt", None),
    seal("discard", "madvise"),
    seal("discard-lazily", "madvise"),
    seal("discard-locked", "madvise"),
    seal("hide-from-children", "madvise"),
    seal("wipe-for-children", "madvise"),
    seal("install-guards", "madvise"),
]


@pytest.mark.parametrize("case", SEALED, ids=lambda case: case.name)
def test_mseal_names_the_seal(family: Families, case: Case) -> None:
    taken = family("cause_seal")
    event = check(taken, case)
    diagnosis = event["diagnosis"]
    [sealing] = [e for e in taken.run.events("mseal") if e["pid"] == event["pid"]]
    assert diagnosis["related"] == [sealing["n"]]
    assert facts_from(event, "the mseal call") == "it was sealed at event %d" % sealing["n"]
    assert sealing["n"] in [part["sealed_by"] for part in event["touched"]]
    assert diagnosis["partial"] is None


def test_shmdt_that_leaves_sealed_memory_says_so_although_it_gave_0(family: Families) -> None:
    event = family("cause_seal").event("shmdt", "shmdt")
    assert (event["result"], event["errno"], event["outcome"]) == (0, None, "refused")
    assert "reported success" in event["diagnosis"]["summary"]
    assert [(part["before"], part["after"], part["provenance"]) for part in event["touched"]] == [
        ("rw-s", "rw-s", "shm")
    ]


def test_shmdt_unmaps_what_is_not_sealed(family: Families) -> None:
    event = family("cause_seal").event("shmdt-half", "shmdt")
    assert [part["after"] for part in event["touched"]] == [None, "rw-s"]
    assert event["diagnosis"]["partial"] == {"changed_pages": 1, "pages": 2}


def test_advice_is_taken_for_what_lies_before_the_seal(family: Families) -> None:
    event = family("cause_seal").event("discard-in-part", "madvise")
    start = event["touched"][0]["start"]
    assert "the advice was taken for %s" % start in facts_from(event, "the order of mm/madvise.c:madvise_walk_vmas")


def test_what_a_seal_allows_is_no_alarm(family: Families) -> None:
    assert family("cause_seal").of("allowed") == []
