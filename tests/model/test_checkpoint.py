"""Checkpoints: a story taken up again goes on as the first one did, and holds nothing twice."""

from __future__ import annotations

from typing import Any, List

from stories import ANON_AT, MAPS, PAGE, RW, RX, R, Told, vma

from wxtrace.model.checkpoint import Checkpoints, restore
from wxtrace.model.facts import Probe
from wxtrace.model.region import Piece, Region
from wxtrace.model.replay import Replay
from wxtrace.model.space import AddressSpace


def busy() -> Told:
    """Two processes, a thread, a refused call that is still open, and evidence that waits for its call."""
    told = Told()
    told.start(101, pid=100)
    told.start(200, space=2, how="fork", parent=100)
    told.refuse()
    told.call("mprotect", ANON_AT, PAGE, RX, tid=200)
    told.feed(Probe(200, vmas=[vma(MAPS[1])]))
    return told


def rest(replay: Replay) -> List[Any]:
    """What both are fed from there on, and what they tell."""
    other = Told()
    other.replay = replay
    other.regions.clear()
    other.call("mprotect", ANON_AT + PAGE, PAGE, RX, result=-13, tid=200)
    other.call("munmap", ANON_AT, PAGE, tid=101)
    other.call("mmap", 0, PAGE, RW, 0x22, (1 << 64) - 1, 0, result=0x7F5000000000, tid=200)
    other.exit(200, signal=11)
    other.exit(100, code=1)
    other.finish()
    return other.shown[1:]


def test_a_story_goes_on_as_it_would_have() -> None:
    told = busy()
    again = restore(Checkpoints().take(told.replay))

    assert rest(again) == rest(told.replay)


def test_what_goes_on_changes_nothing_that_was_put_aside() -> None:
    told = busy()
    checkpoint = Checkpoints().take(told.replay)
    first = rest(restore(checkpoint))

    assert rest(restore(checkpoint)) == first


def test_a_replay_tells_nobody_of_its_regions() -> None:
    told = busy()
    checkpoint = Checkpoints().take(told.replay)
    before = len(told.regions)

    rest(restore(checkpoint))

    assert len(told.regions) == before


class Holder:
    """Anything that has a space."""

    def __init__(self) -> None:
        self.space = AddressSpace(1, None)  # type: ignore[arg-type]
        region = Region(1, 1, 0, 1 << 40, "anon", None, None, False, False)
        for i in range(5000):
            self.space.put(Piece(i * 2 * PAGE, i * 2 * PAGE + PAGE, region, i % 7))


def test_checkpoints_share_the_parts_of_a_map_that_did_not_change() -> None:
    holder = Holder()
    checkpoints = Checkpoints()
    first = checkpoints.take(holder)
    holder.space.remove(0x1000 * 2000, 0x1000 * 2001)
    holder.space.put(Piece(PAGE, 2 * PAGE, holder.space.pieces()[0].region, 1))
    second = checkpoints.take(holder)

    one, other = ({id(chunk) for chunk in checkpoint.held[0]} for checkpoint in (first, second))
    assert len(other - one) <= 2
    assert restore(second).space.pieces() == holder.space.pieces()
    assert restore(first).space.pieces() != holder.space.pieces()


def forked(times: int) -> Told:
    """So many children, one after the other."""
    told = Told()
    for tid in range(1000, 1000 + times):
        told.start(tid, space=tid, how="fork", parent=100)
        told.call("mprotect", ANON_AT, PAGE, R, tid=tid)
        told.exit(tid, code=tid % 3)
    return told


def test_who_is_gone_is_held_and_not_copied() -> None:
    told = forked(300)
    again = restore(Checkpoints().take(told.replay))

    copied = [process.pid for process, its in zip(told.replay.processes, again.processes) if process is not its]
    assert copied == [100]
    assert sum(state is not its for state, its in zip(told.replay.spaces, again.spaces)) == 1


def test_who_is_gone_is_there_in_a_replay() -> None:
    told = forked(700)
    checkpoints = Checkpoints()
    checkpoints.take(told.replay)
    told.start(200, space=2, how="fork", parent=100)
    again = restore(checkpoints.take(told.replay))

    assert [(p.id, p.pid, p.exit_code) for p in again.processes] == [
        (p.id, p.pid, p.exit_code) for p in told.replay.processes
    ]
    assert [state.space.id for state in again.spaces] == [state.space.id for state in told.replay.spaces]
    assert rest(again) == rest(told.replay)
