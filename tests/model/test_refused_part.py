"""A call over several mappings: the one that refused is neither one that changed nor one that was not reached."""

from __future__ import annotations

from typing import List, Optional, Sequence

from stories import ANON_AT, HOST, PAGE, RX, R, Told, cause_of, facts_of, file_line, line, vma

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.frozen import replace
from wxtrace.model.event import Event
from wxtrace.model.facts import Host, Probe
from wxtrace.model.objects import MountFact
from wxtrace.model.restrictions import PolicyAnswer, SelinuxState

DOMAIN, LABEL = "user_u:user_r:user_t:s0", "user_u:object_r:user_home_t:s0"
SECOND_AT = ANON_AT + 4 * PAGE
FILE, ANON = file_line(ANON_AT, 4, "rw-p"), line(SECOND_AT, 4)
CHANGED = FILE._replace(perms="r-xp")
NEVER = ("rd", "mr", "mw")
EACCES, EPERM = -13, -1


def refused(
    before: Sequence[MapLine],
    after: List[Vma],
    host: Host,
    result: int = EACCES,
    selinux: Optional[SelinuxState] = None,
) -> Event:
    """mprotect(PROT_READ|PROT_EXEC) of eight pages fails; `before` and `after` are the map around it."""
    told = Told(host, before)
    mounts = {"08:01": MountFact("/srv", "rw,noexec", "ext4", "rw")}
    probe = Probe(100, vmas=after, status={"Seccomp": "0"}, mdwe=0, selinux=selinux, mounts=mounts)
    told.call("mprotect", ANON_AT, 8 * PAGE, RX, result=result, probe=probe, now=[one.line for one in after])
    return told.last


def enforcing(about: str) -> SelinuxState:
    answers = [
        PolicyAnswer("", "process", DOMAIN, [], ["execmem", "execheap", "execstack"]),
        PolicyAnswer(about, "file", LABEL, ["map", "read", "write", "execute"], ["execmod"]),
    ]
    return SelinuxState(True, DOMAIN, answers)


def test_selinux_did_not_refuse_the_mapping_that_changed() -> None:
    """A file that was never written becomes executable; the anonymous memory behind it does not."""
    host = replace(HOST, mdwe=0, lsm=["selinux"], selinux_enforcing=True)
    after = [vma(CHANGED, "rd", "ex", "mr", "mw", "me", "ac"), vma(ANON)]
    event = refused([FILE, ANON], after, host, selinux=enforcing("%#x" % ANON_AT))
    assert cause_of(event) == ("selinux.execmem", "proved")
    assert "execmod" not in facts_of(event)


def test_what_lies_behind_the_mapping_that_refused_was_not_looked_at() -> None:
    """Something that we do not know refused the first one: that the second lies on a noexec mount does not matter."""
    first, second = line(ANON_AT, 4), file_line(SECOND_AT, 4)
    event = refused([first, second], [vma(first), vma(second, *NEVER)], replace(HOST, mdwe=0))
    assert cause_of(event) == ("unknown", "possible")


def test_a_mapping_that_is_as_wanted_already_may_have_been_passed() -> None:
    first, second = line(ANON_AT, 4, "r-xp"), file_line(SECOND_AT, 4)
    event = refused([first, second], [vma(first), vma(second, *NEVER)], replace(HOST, mdwe=0))
    assert cause_of(event) == ("mount.noexec", "proved")


def test_a_seal_behind_the_mapping_that_refused_was_not_looked_at() -> None:
    first, second = line(ANON_AT, 4), file_line(SECOND_AT, 4)
    event = refused([first, second], [vma(first), vma(second, "rd", "mr", "sl")], replace(HOST, mdwe=0), EPERM)
    assert cause_of(event) == ("unknown", "possible")


def test_that_the_mapping_which_changed_was_executable_once_is_not_said_of_the_other() -> None:
    host = replace(HOST, mdwe=0, lsm=["selinux"], selinux_enforcing=True)
    once = FILE._replace(perms="r-xp")
    told = Told(host, [once, ANON])
    told.call("mprotect", ANON_AT, 4 * PAGE, R)
    probe = Probe(
        100,
        vmas=[vma(CHANGED), vma(ANON)],
        status={"Seccomp": "0"},
        mdwe=0,
        selinux=enforcing("%#x" % ANON_AT),
    )
    told.call("mprotect", ANON_AT, 8 * PAGE, RX, result=EACCES, probe=probe, now=[CHANGED, ANON])
    assert cause_of(told.last) == ("selinux.execmem", "proved")
    assert "had been executable" not in str(told.last.diagnosis)
