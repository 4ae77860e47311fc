"""Who takes part in a story: the run, its processes, tasks and spaces, and the numbers that are handed out."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

from wxtrace.model import facts
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Diagnosis, Event, Touched
from wxtrace.model.processes import Process, Roll, SpaceState, TaskState
from wxtrace.model.region import Backing, Region
from wxtrace.model.space import AddressSpace

__all__ = ["TraceState"]


class TraceState:
    """Everybody, now and before. `on_region` hears of each new region."""

    def __init__(self, on_region: Optional[Callable[[Region], None]]) -> None:
        self.run: Optional[facts.RunStarted] = None
        self.processes: List[Process] = Roll()
        self.spaces: List[SpaceState] = Roll()
        self.tasks: Dict[int, TaskState] = {}
        self.states: Dict[int, SpaceState] = {}
        # The call that is being applied: the regions it makes remember it.
        self.making: Optional[facts.Call] = None
        # Calls whose stack was copied, by thread and time: the event of each, once there is one.
        self.sampled: Dict[Tuple[int, int], Optional[int]] = {}
        self._on_region = on_region
        self._n = 0
        self._region_id = 0

    @property
    def last_n(self) -> int:
        """The number of the latest event."""
        return self._n

    @property
    def page_size(self) -> int:
        """Bytes."""
        return self.run.host.page_size if self.run is not None else 4096

    def process_for(self, fact: facts.TaskStarted, parent: Optional[TaskState]) -> Process:
        """The process a new task belongs to; made when it is its first."""
        leader = self.tasks.get(fact.pid)
        if fact.pid != fact.tid and leader is not None and leader.process.pid == fact.pid:
            return leader.process
        if parent is not None and parent.process.pid == fact.pid:
            return parent.process
        if fact.pid != fact.tid:
            same = next((p for p in reversed(self.processes) if p.pid == fact.pid and not p.ended), None)
            if same is not None:
                return same
        process = Process(len(self.processes) + 1, fact.pid, parent.process.id if parent is not None else None)
        if parent is not None:
            process.mode = parent.process.mode
        elif self.run is not None:
            process.mode = self.run.mode
        self.processes.append(process)
        return process

    def new_space(self, id: int, parent: Optional[TaskState], event: Optional[Event]) -> SpaceState:
        """The space of a first task, or the copy a fork makes at `event`."""
        if parent is None:
            state = SpaceState(AddressSpace(id, self.new_region), None, None)
            if self.run is not None and self.run.attached is None and not self.spaces:
                # Only of what was launched: a child whose parent could not tell of it may have got its own.
                state.mdwe = self.run.host.mdwe
        else:
            source = parent.state
            copy = source.space.copy(id, self.new_region)
            state = SpaceState(copy, source.space.id, event.n if event is not None else None)
            if source.mdwe is not None:
                # PR_MDWE_NO_INHERIT: the child of a fork has none (prctl(2)).
                state.mdwe = 0 if source.mdwe & 2 else source.mdwe
                state.mdwe_by = source.mdwe_by if state.mdwe else None
                state.mdwe_who = source.mdwe_who
                state.mdwe_own = source.mdwe_own
        self.states[id] = state
        self.spaces.append(state)
        return state

    def replace_space(self, task: TaskState, id: int) -> None:
        """What exec does: a fresh space, which keeps MDWE unless PR_MDWE_NO_INHERIT is set (prctl(2))."""
        before = task.state
        state = SpaceState(AddressSpace(id, self.new_region), None, None)
        if before.mdwe is not None:
            state.mdwe = 0 if before.mdwe & 2 else before.mdwe
            state.mdwe_by = before.mdwe_by if state.mdwe else None
            state.mdwe_who = before.mdwe_who
        self.states[id] = state
        self.spaces.append(state)
        state.users = 1
        task.state = state
        self.leave(before)

    def new_region(
        self,
        space: int,
        start: int,
        end: int,
        provenance: str,
        backing: Optional[Backing],
        created_by: Optional[int],
        inferred: bool,
        shared: bool,
        grows_down: bool = False,
        found_prot: Optional[int] = None,
    ) -> Region:
        """A region with the next id."""
        self._region_id += 1
        region = Region(
            self._region_id,
            space,
            start,
            end,
            provenance,
            backing,
            created_by,
            inferred,
            shared,
            grows_down,
            self.making if created_by == self._n + 1 else None,
            found_prot,
        )
        if self._on_region is not None:
            self._on_region(region)
        return region

    def leave(self, state: SpaceState) -> None:
        """One user less; the map of a space without users is dropped, its record stays."""
        state.users -= 1
        if state.users == 0:
            self.states.pop(state.space.id, None)
            state.space = AddressSpace(state.space.id, self.new_region)

    def event(
        self,
        task: TaskState,
        t_ns: int,
        name: str,
        outcome: Outcome,
        call: Optional[facts.Call] = None,
        details: Optional[Dict[str, Any]] = None,
        result: Optional[int] = None,
        errno: Optional[str] = None,
        touched: Optional[List[Touched]] = None,
        diagnosis: Optional[Diagnosis] = None,
    ) -> Event:
        """The next event, of this task."""
        self._n += 1
        sampled = call is not None and (call.tid, call.t_ns) in self.sampled
        if call is not None and sampled:
            self.sampled[call.tid, call.t_ns] = self._n
        process = task.process
        return Event(
            self._n,
            t_ns,
            process.id,
            process.pid,
            task.tid,
            task.state.space.id,
            name,
            outcome,
            call,
            details,
            result,
            errno,
            touched if touched is not None else [],
            diagnosis,
            sampled,
        )
