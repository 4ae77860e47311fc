"""Stories told from hand-written facts: what the tests of the pure model share."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Amendment, Event
from wxtrace.model.facts import (
    BY_KERNEL,
    Call,
    Host,
    Image,
    Probe,
    Resynced,
    RunStarted,
    Seeded,
    SignalStop,
    TaskExited,
    TaskStarted,
)
from wxtrace.model.region import Region
from wxtrace.model.replay import Replay
from wxtrace.model.space import AddressSpace
from wxtrace.model.syscalls.table import NUMBERS

PAGE = 0x1000
HOST = Host("6.18.4", "x86_64", PAGE)
R, RW, RX, RWX = 1, 3, 5, 7
ANON = 0x22
HEAP, ANON_AT, FILE_AT, STACK = 0x555500000000, 0x7F0000000000, 0x7F1000000000, 0x7FFE00000000
START_STACK = STACK + 0x20F00

MAYS = ("rd", "wr", "mr", "mw", "me", "ac")


def line(
    start: int, pages: int = 1, perms: str = "rw-p", path: str = "", inode: int = 0, dev: str = "00:00"
) -> MapLine:
    return MapLine(start, start + pages * PAGE, perms, 0, dev, inode, path)


def file_line(start: int, pages: int = 1, perms: str = "r--p", path: str = "/srv/data", inode: int = 42) -> MapLine:
    return line(start, pages, perms, path, inode, "08:01")


def vma(mapped: MapLine, *flags: str, anonymous: int = 0, swap: int = 0) -> Vma:
    """A smaps entry; every VM_MAY* bit is there unless flags are given."""
    return Vma(mapped, flags or MAYS, anonymous, swap, 0)


MAPS = [
    line(HEAP, 4, "rw-p", "[heap]"),
    line(ANON_AT, 4),
    file_line(FILE_AT, 2),
    line(STACK, 0x21, "rw-p", "[stack]"),
]


class Told:
    """A story with what it has shown so far. Task 100 runs ./jit in space 1, over MAPS, from the start."""

    def __init__(self, host: Host = HOST, maps: Sequence[MapLine] = MAPS) -> None:
        self.regions: List[Region] = []
        self.replay = Replay(self.regions.append)
        self.shown: List[Any] = []
        self.t_ns = 0
        self.feed(RunStarted("0", host, ["./jit"], "/", "2024-01-01T00:00:00Z", "accelerated", False))
        self.start(100)
        self.exec(100, 1, maps)

    def feed(self, *facts: Any) -> None:
        for fact in facts:
            self.shown += list(self.replay.feed(fact))

    def now(self) -> int:
        self.t_ns += 1
        return self.t_ns

    def start(
        self, tid: int, pid: Optional[int] = None, space: int = 1, how: str = "launch", parent: Optional[int] = None
    ) -> None:
        """A thread of `pid`, or a process of its own."""
        self.feed(TaskStarted(tid, self.now(), pid or tid, space, how, parent))

    def exec(
        self, tid: int, space: int, maps: Sequence[MapLine] = MAPS, comm: str = "jit", former: Optional[int] = None
    ) -> None:
        image = Image("/srv/" + comm, ["./" + comm], comm, "x86_64")
        self.feed(Seeded(tid, self.now(), tid, space, "exec", image, list(maps), HEAP, START_STACK, 0, former))

    def call(
        self,
        name: str,
        *args: int,
        result: Optional[int] = 0,
        tid: int = 100,
        decided: int = BY_KERNEL,
        probe: Optional[Probe] = None,
        now: Optional[Sequence[MapLine]] = None,
    ) -> None:
        """One call, with its probe; `now`: the lines of its range as they are after it failed."""
        if now is not None:
            self.feed(Resynced(tid, self._space(tid).id, args[0], args[0] + args[1], list(now), "the call failed"))
        if probe is not None:
            self.feed(probe)
        padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
        self.feed(Call(tid, self.now(), Abi.X86_64, NUMBERS[Abi.X86_64][name], padded, result, decided))

    def refuse(self, probe: Optional[Probe] = None, tid: int = 100, errno: int = 13) -> Event:
        """mprotect(R|X) of the first anonymous page fails, and this is how it was told."""
        probe = probe or Probe(tid, vmas=[vma(MAPS[1])], status={"Seccomp": "0"})
        self.call("mprotect", ANON_AT, PAGE, RX, result=-errno, tid=tid, probe=probe)
        return self.last

    def signal(self, signo: int, addr: Optional[int], tid: int = 100, code: int = 2, ip: int = 0x400000) -> None:
        self.feed(SignalStop(tid, self.now(), signo, code, addr, None, ip, STACK + 0x20000))

    def exit(self, tid: int = 100, code: Optional[int] = None, signal: Optional[int] = None) -> None:
        self.feed(TaskExited(tid, self.now(), code, signal))

    def finish(self) -> None:
        self.shown += list(self.replay.finish())

    @property
    def events(self) -> List[Event]:
        return [shown for shown in self.shown if isinstance(shown, Event)]

    @property
    def last(self) -> Event:
        return self.events[-1]

    def named(self, name: str) -> List[Event]:
        return [event for event in self.events if event.name == name]

    def amendment(self, event: Event) -> Amendment:
        [found] = [shown for shown in self.shown if isinstance(shown, Amendment) and shown.n == event.n]
        return found

    def _space(self, tid: int) -> AddressSpace:
        space = self.replay.space_of(tid)
        assert space is not None
        return space

    def perms(self, tid: int, address: int) -> Optional[str]:
        """The protection at an address in the space of this task; None where nothing is mapped."""
        piece = self._space(tid).at(address)
        return None if piece is None else piece.perms


def cause_of(event: Event) -> Tuple[str, str]:
    assert event.diagnosis is not None
    return event.diagnosis.cause, event.diagnosis.confidence


def facts_of(event: Event) -> str:
    assert event.diagnosis is not None
    return " / ".join(evidence.fact for evidence in event.diagnosis.evidence)
