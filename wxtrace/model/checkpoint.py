"""A story put aside, and taken up again: any moment of a long run is a short replay away.

Whatever holds address spaces can be put aside in this way.

A checkpoint holds the state of a story at one moment. What never changes (regions, pieces, facts, events, processes
that have ended) is kept by reference; what may be large (the maps, everybody who ever took part) is cut into chunks
that checkpoints share where nothing changed.
"""

from __future__ import annotations

import io
import pickle
from bisect import bisect_left
from itertools import chain
from types import FunctionType, MethodType
from typing import Any, Dict, List, NamedTuple, Set, Tuple

from wxtrace.frozen import Frozen
from wxtrace.model.processes import Process, Roll, SpaceState
from wxtrace.model.region import Piece
from wxtrace.model.space import AddressSpace
from wxtrace.model.trace_state import TraceState

__all__ = ["Checkpoint", "Checkpoints", "restore"]

_CHUNK = 256
"""Pieces. A chunk is what one changed piece costs a checkpoint, eight bytes each."""


class _Chunk(NamedTuple):
    starts: Tuple[int, ...]
    pieces: Tuple[Piece, ...]


Chunks = Tuple[_Chunk, ...]


class _Gone(NamedTuple):
    members: Tuple[Any, ...]


class Checkpoint(NamedTuple):
    """The state of a story, in memory only: `held` is what `state` refers to. `pieces`: of all its maps together."""

    state: bytes
    held: List[Any]
    pieces: int


class Checkpoints:
    """Takes checkpoints of one story as it goes on."""

    def __init__(self) -> None:
        self._chunks: Dict[int, Chunks] = {}
        self._gone: Dict[Tuple[int, int], _Gone] = {}

    def take(self, replay: Any) -> Checkpoint:
        """Its state now. Costs a microsecond for each twenty pieces of its maps, and ten for each process that runs."""
        out = io.BytesIO()
        pickler = _Pickler(out, self._chunks, self._gone)
        pickler.dump(replay)
        self._chunks = pickler.chunks
        return Checkpoint(out.getvalue(), pickler.held, pickler.pieces)


def restore(checkpoint: Checkpoint) -> Any:
    """A story of its own that goes on from there; it tells nobody of new regions."""
    return _Unpickler(io.BytesIO(checkpoint.state), checkpoint.held).load()


class _Pickler(pickle.Pickler):
    def __init__(self, out: io.BytesIO, before: Dict[int, Chunks], gone: Dict[Tuple[int, int], _Gone]) -> None:
        super().__init__(out, pickle.HIGHEST_PROTOCOL)
        self.held: List[Any] = []
        self.chunks: Dict[int, Chunks] = {}
        self.pieces = 0
        self._before = before
        self._gone = gone
        self._at_work: Set[int] = set()

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is AddressSpace:
            return self._space(value)
        if kind is Roll:
            return self._roll(value)
        if kind is TraceState:
            # Those that a task can still change.
            self._at_work = {id(taking) for task in value.tasks.values() for taking in (task.process, task.state)}
            return NotImplemented
        if (kind is Process or kind is SpaceState) and self._is_gone(value):
            return self._hold(value)
        if any(value is own for own in _OWN) or (kind is MethodType and isinstance(value.__self__, TraceState)):
            return NotImplemented
        if kind is FunctionType or kind is MethodType:
            # Whoever listens to the story as it goes on hears nothing of replays.
            return self._hold(None)
        if isinstance(value, tuple) or issubclass(kind, Frozen):
            return self._hold(value)
        return NotImplemented

    def _hold(self, value: Any) -> Tuple[Any, Tuple[int]]:
        self.held.append(value)
        return _held, (len(self.held) - 1,)

    def _is_gone(self, member: Any) -> bool:
        over = member.ended if type(member) is Process else member.users <= 0
        return over and id(member) not in self._at_work

    def _roll(self, roll: Roll[Any]) -> Any:
        """A stretch of which all are gone is held as one, and found again the next time."""
        parts: List[Any] = []
        for at in range(0, len(roll), _CHUNK):
            key = id(roll), at
            gone = self._gone.get(key)
            if gone is None:
                part = roll[at : at + _CHUNK]
                if len(part) == _CHUNK and all(map(self._is_gone, part)):
                    gone = self._gone[key] = _Gone(tuple(part))
            parts.append(part if gone is None else gone)
        return _rolled, (parts,)

    def _space(self, space: AddressSpace) -> Any:
        rest = dict(space.__dict__)
        del rest["_pieces"], rest["_starts"]
        self.pieces += len(space)
        chunks = _chunked(space.pieces(), space._starts, self._before.get(space.id, ()))
        self.chunks[space.id] = chunks
        self.held.append(chunks)
        return _space_of, (len(self.held) - 1,), rest


class _Unpickler(pickle.Unpickler):
    def __init__(self, state: io.BytesIO, held: List[Any]) -> None:
        super().__init__(state)
        self._values = held

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__:
            return {"_held": self._values.__getitem__, "_space_of": self._space_of, "_rolled": _rolled}[name]
        return super().find_class(module, name)

    def _space_of(self, index: int) -> AddressSpace:
        space = AddressSpace.__new__(AddressSpace)
        chunks: Chunks = self._values[index]
        space._starts = list(chain.from_iterable(chunk.starts for chunk in chunks))
        space._pieces = dict(zip(space._starts, chain.from_iterable(chunk.pieces for chunk in chunks)))
        return space


def _held(index: int) -> Any:
    """What stands in a checkpoint's state for something that is held; read by _Unpickler."""
    raise AssertionError(index)


def _space_of(index: int) -> AddressSpace:
    """What stands there for an address space."""
    raise AssertionError(index)


def _rolled(parts: List[Any]) -> Roll[Any]:
    return Roll(chain.from_iterable(part.members if type(part) is _Gone else part for part in parts))


_OWN = (_held, _space_of, _rolled)


def _chunked(pieces: List[Piece], starts: List[int], before: Chunks) -> Chunks:
    """Cut where the chunks of before began, so that what did not change is found again."""
    cuts = [bisect_left(starts, old.starts[0]) for old in before[1:]] + [len(pieces)]
    chunks: List[_Chunk] = []
    at = 0
    for i, end in enumerate(cuts):
        old = before[i] if before else None
        while at < end:
            # One that has grown too long is cut anew.
            upto = end if end - at <= 2 * _CHUNK else at + _CHUNK
            fresh = tuple(pieces[at:upto])
            if old is not None and fresh == old.pieces:
                chunks.append(old)
            else:
                firsts = tuple(starts[at:upto])
                chunks.append(_Chunk(old.starts if old is not None and firsts == old.starts else firsts, fresh))
            at = upto
    return tuple(chunks)
