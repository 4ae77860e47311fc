"""The security modules beside SELinux, asked forwards: which may have refused, and with which errno."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pytest
from asking import AT, HOST, LETS_THROUGH, PAGE, PROBE, answer, asked, context, mapped, over

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes import lsm
from wxtrace.model.causes.answer import Rule, VmaRule
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.order import EachModule, evaluate
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.facts import Host, Probe
from wxtrace.model.objects import Descriptor
from wxtrace.model.restrictions import ModuleState

NONE, R, RW, X, RX, RWX = 0, 1, 3, 4, 5, 7
PRIVATE, SHARED, ANON = f.MAP_PRIVATE, f.MAP_SHARED, f.MAP_PRIVATE | f.MAP_ANONYMOUS
FILE = mapped(AT, 2, perms="r--p", path="/srv/a b.so", inode=7)
CONFINED = ModuleState(apparmor="jit (enforce)")
TRUSTED = ModuleState(ipe_enforces=True, ipe_policy="boot")
APPRAISED = ModuleState(ima_rules=["appraise func=MMAP_CHECK"])
POSSIBLE_APPARMOR, UNKNOWN = "? EACCES apparmor", "? EACCES/EPERM lsm.unknown"
ANY = "?  bpf-lsm"


def host(*modules: str) -> Host:
    return replace(HOST, lsm=["capability", *modules])


def at_mmap(
    rule: Rule, name: str, state: Optional[ModuleState], prot: int, flags: int = PRIVATE, probe: Probe = PROBE
) -> str:
    file = None if flags & f.MAP_ANONYMOUS else Descriptor("/srv/a b.so", 0, "regular file")
    return asked(rule, ("mmap", 0, PAGE, prot, flags, 3, 0), replace(probe, modules=state, descriptor=file), host(name))


def at_mprotect(rule: VmaRule, name: str, state: Optional[ModuleState], prot: int, vma: Any = FILE) -> str:
    return asked(rule, ("mprotect", AT, PAGE, prot), over(vma, modules=state), host(name))


@pytest.mark.parametrize(
    "state, prot, flags, said",
    [
        (CONFINED, R, PRIVATE, POSSIBLE_APPARMOR),
        (CONFINED, X, PRIVATE, POSSIBLE_APPARMOR),
        (CONFINED, NONE, PRIVATE, LETS_THROUGH),
        (CONFINED, 2, PRIVATE, LETS_THROUGH),
        (CONFINED, 2, SHARED, POSSIBLE_APPARMOR),
        (CONFINED, 2, f.MAP_SHARED_VALIDATE, POSSIBLE_APPARMOR),
        (CONFINED, RWX, ANON, LETS_THROUGH),
        (ModuleState(apparmor="unconfined"), X, PRIVATE, LETS_THROUGH),
        (ModuleState(apparmor="jit (complain)"), X, PRIVATE, LETS_THROUGH),
        (ModuleState(), X, PRIVATE, "? EACCES lsm.unknown"),
        (None, X, PRIVATE, "? EACCES lsm.unknown"),
    ],
)
def test_apparmor_at_mmap(state: Optional[ModuleState], prot: int, flags: int, said: str) -> None:
    assert at_mmap(lsm.apparmor_at_mmap, "apparmor", state, prot, flags) == said
    assert at_mmap(lsm.apparmor_at_mmap, "yama", state, prot, flags) == LETS_THROUGH


def test_apparmor_at_mprotect_looks_at_files_only() -> None:
    assert at_mprotect(lsm.apparmor_at_mprotect, "apparmor", CONFINED, X) == POSSIBLE_APPARMOR
    assert at_mprotect(lsm.apparmor_at_mprotect, "apparmor", CONFINED, X, mapped(AT, 2)) == LETS_THROUGH
    assert at_mprotect(lsm.apparmor_at_mprotect, "apparmor", CONFINED, 2) == LETS_THROUGH
    shared = mapped(AT, 2, perms="r--s", path="/srv/a", inode=7)
    assert at_mprotect(lsm.apparmor_at_mprotect, "apparmor", CONFINED, 2, shared) == POSSIBLE_APPARMOR


@pytest.mark.parametrize("flags, wanted", [(PRIVATE, "mr"), (SHARED, "mrw")])
def test_the_rights_that_a_profile_has_to_give(flags: int, wanted: str) -> None:
    probe = replace(PROBE, modules=CONFINED, descriptor=Descriptor("/srv/a b.so", 2, "regular file"))
    told = answer(lsm.apparmor_at_mmap, ("mmap", 0, PAGE, RWX, flags, 3, 0), probe, host("apparmor"))
    assert (told.words["wanted"], told.words["label"]) == (wanted, "jit")
    assert told.words["line"] == '"/srv/a b.so" %s,' % wanted
    assert told.at_most is Confidence.CONSISTENT


@pytest.mark.parametrize(
    "state, prot, said",
    [
        (TRUSTED, X, "? EACCES ipe"),
        (TRUSTED, RW, LETS_THROUGH),
        (ModuleState(ipe_enforces=False, ipe_policy="boot"), X, LETS_THROUGH),
        (ModuleState(ipe_enforces=True, ipe_policy=""), X, LETS_THROUGH),
        (ModuleState(), X, "? EACCES lsm.unknown"),
    ],
)
def test_ipe(state: ModuleState, prot: int, said: str) -> None:
    assert at_mmap(lsm.ipe_at_mmap, "ipe", state, prot) == said
    assert at_mprotect(lsm.ipe_at_mprotect, "ipe", state, prot) == said


def test_ipe_looks_at_memory_without_a_file_and_at_nothing_that_runs_already() -> None:
    assert at_mmap(lsm.ipe_at_mmap, "ipe", TRUSTED, X, ANON) == "? EACCES ipe:no-file"
    assert at_mprotect(lsm.ipe_at_mprotect, "ipe", TRUSTED, X, mapped(AT, 2)) == "? EACCES ipe:no-file"
    assert at_mprotect(lsm.ipe_at_mprotect, "ipe", TRUSTED, X, mapped(AT, 2, perms="r-xp")) == LETS_THROUGH


def test_ima_gives_another_errno_at_mprotect() -> None:
    assert at_mmap(lsm.ima_at_mmap, "ima", APPRAISED, X) == "? EACCES ima"
    assert at_mprotect(lsm.ima_at_mprotect, "ima", APPRAISED, X) == "? EPERM ima:later"
    assert at_mprotect(lsm.ima_at_mprotect, "ima", None, X) == "? EPERM lsm.unknown"
    for state, prot, vma in ((APPRAISED, R, FILE), (APPRAISED, X, mapped(AT, 2)), (ModuleState(ima_rules=[]), X, FILE)):
        assert at_mprotect(lsm.ima_at_mprotect, "ima", state, prot, vma) == LETS_THROUGH
    assert at_mmap(lsm.ima_at_mmap, "ima", APPRAISED, X, ANON) == LETS_THROUGH


def test_smack_looks_at_files_at_mmap() -> None:
    labelled = ModuleState(smack="User", smack_mmap="Lib")
    assert at_mmap(lsm.smack_at_mmap, "smack", labelled, R) == "? EACCES smack"
    assert at_mmap(lsm.smack_at_mmap, "smack", ModuleState(), R) == "? EACCES lsm.unknown"
    assert at_mmap(lsm.smack_at_mmap, "smack", labelled, R, ANON) == LETS_THROUGH


def bpf(programs: Optional[Any]) -> ModuleState:
    return ModuleState(bpf_programs=programs)


@pytest.mark.parametrize(
    "hook, mmap, mprotect, mremap",
    [
        ("mmap_file", ANY, LETS_THROUGH, LETS_THROUGH),
        ("file_mprotect", LETS_THROUGH, ANY, LETS_THROUGH),
        ("mmap_addr", ANY, LETS_THROUGH, ANY),
        ("shm_shmat", LETS_THROUGH, LETS_THROUGH, LETS_THROUGH),
        ("file_open", LETS_THROUGH, LETS_THROUGH, LETS_THROUGH),
        ("?", ANY, ANY, ANY),
    ],
)
def test_bpf_by_the_hook_that_a_program_is_attached_to(hook: str, mmap: str, mprotect: str, mremap: str) -> None:
    state = bpf({"17": hook + " deny"})
    assert at_mmap(lsm.bpf_at_mmap, "bpf", state, RW, ANON) == mmap
    assert at_mprotect(lsm.bpf_at_mprotect, "bpf", state, RW) == mprotect
    move = ("mremap", AT, PAGE, PAGE, f.MREMAP_FIXED | 1, AT + (1 << 30))
    probe = over(FILE, modules=state)
    assert asked(lsm.bpf_at_address, move, probe, host("bpf")) == mremap
    assert asked(lsm.bpf_at_address, ("mremap", AT, PAGE, PAGE, 1, 0), probe, host("bpf")) == LETS_THROUGH


def test_a_program_may_answer_with_any_errno() -> None:
    probe = replace(PROBE, modules=bpf({"17": "mmap_file deny"}))
    told = answer(lsm.bpf_at_mmap, ("mmap", 0, PAGE, RW, ANON, -1, 0), probe, host("bpf"))
    assert told.fits(Errno.EXDEV) and told.fits(Errno.ENOMEM) and not told.fits(Errno.NONE)
    assert (told.words["program"], told.words["hook"]) == ("17", "mmap_file")
    two = replace(PROBE, modules=bpf({"17": "mmap_file a", "18": "mmap_addr b"}))
    told = answer(lsm.bpf_at_mmap, ("mmap", 0, PAGE, RW, ANON, -1, 0), two, host("bpf"))
    assert (told.words["program"], told.words["hook"]) == (None, "mmap_addr or mmap_file")


def test_programs_that_cannot_be_listed_are_no_more_than_possible() -> None:
    call = ("mmap", 0, PAGE, RW, ANON, -1, 0)
    told = answer(lsm.bpf_at_mmap, call, replace(PROBE, modules=bpf(None)), host("bpf"))
    assert asked(lsm.bpf_at_mmap, call, replace(PROBE, modules=bpf(None)), host("bpf")) == UNKNOWN
    assert (told.at_most, told.missing[0]) == (Confidence.POSSIBLE, Need.BPF_PROGRAMS)
    assert asked(lsm.bpf_at_mmap, call, replace(PROBE, modules=bpf({})), host("bpf")) == LETS_THROUGH


def test_any_module_may_be_there_where_the_list_cannot_be_read() -> None:
    hidden = replace(HOST, lsm_known=False)
    for rule, call in (
        (lsm.unlisted_at_mmap, ("mmap", 0, PAGE, RW, ANON, -1, 0)),
        (lsm.unlisted_at_mprotect, ("mprotect", AT, PAGE, RW)),
    ):
        assert asked(rule, call, host=hidden) == UNKNOWN
        assert asked(rule, call) == LETS_THROUGH
        assert answer(rule, call, host=hidden).at_most is None


@pytest.mark.parametrize(
    "more, at_most",
    [
        ({}, Confidence.CONSISTENT),
        ({"descriptor": Descriptor("/dev/dri/card0", 2, "character device")}, Confidence.POSSIBLE),
        ({"descriptor": Descriptor("/dev/zero", 2, "character device")}, Confidence.CONSISTENT),
        ({"status": {"Seccomp": "2"}}, Confidence.CONSISTENT),
    ],
)
def test_how_sure_one_module_can_be(more: Any, at_most: Confidence) -> None:
    probe = replace(PROBE, modules=CONFINED, descriptor=Descriptor("/srv/a", 0, "regular file"))
    told = answer(lsm.apparmor_at_mmap, ("mmap", 0, PAGE, X, PRIVATE, 3, 0), replace(probe, **more), host("apparmor"))
    assert told.at_most is at_most


def test_modules_are_asked_in_the_order_of_the_list() -> None:
    hook = EachModule(apparmor=lsm.apparmor_at_mmap, bpf=lsm.bpf_at_mmap, ima=lsm.ima_at_mmap)
    ctx = context(("mmap", 0, PAGE, X, PRIVATE, 3, 0), PROBE, host("bpf", "apparmor"))
    names = [step.rule.name for step in evaluate(ctx, (hook,))]
    assert names == ["bpf_at_mmap", "apparmor_at_mmap", "ima_at_mmap"]


def test_which_modules_are_excluded_and_why() -> None:
    probe = over(FILE, modules=ModuleState(apparmor="unconfined", bpf_programs={"3": "file_open fs"}))
    ctx = context(("mprotect", AT, PAGE, R), probe, host("lockdown", "apparmor", "bpf", "ima", "yama"))
    said = [line.fact for line in lsm.excluded(ctx, Errno.EACCES)]
    assert said == [
        "AppArmor's profile of the program is unconfined, which refuses nothing",
        "no BPF security program is attached to a hook of memory calls",
        "lockdown, yama: no part in memory calls",
    ]
    assert "IMA only looks at what becomes executable" in [line.fact for line in lsm.excluded(ctx, Errno.EPERM)]


def test_of_a_range_that_is_not_known_only_what_is_asked_excludes() -> None:
    blind = replace(PROBE, vmas=[], vmas_complete=False)
    only = "IPE only looks at what becomes executable"
    for prot, said in ((RX, []), (R, [only])):
        ctx = context(("mprotect", AT, PAGE, prot), blind, host("ipe"))
        assert [line.fact for line in lsm.excluded(ctx, Errno.EACCES)] == said


CALLS: Tuple[Tuple[Any, ...], ...] = (
    ("mmap", 0, PAGE, X, PRIVATE, 3, 0),
    ("mprotect", AT, PAGE, X),
    ("pkey_mprotect", AT, PAGE, X, -1),
)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call[0]))
def test_a_machine_without_modules_lets_everything_through(call: Tuple[Any, ...]) -> None:
    at = "mmap" if call[0] == "mmap" else "mprotect"
    rules = [rule for name, rule in vars(lsm).items() if name.endswith("_at_" + at)]
    assert len(rules) >= 5
    assert {asked(rule, call, over(FILE)) for rule in rules} == {LETS_THROUGH}
