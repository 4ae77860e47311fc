"""What binds the calls of a task from here on, and since which event: MDWE and seccomp filters with their programs."""

from __future__ import annotations

from typing import Dict, Optional, Union

from wxtrace.model import facts, flags
from wxtrace.model.causes.context import Installed
from wxtrace.model.event import Event
from wxtrace.model.filters import Program, SeenFilters, program_of
from wxtrace.model.processes import TaskState
from wxtrace.model.syscalls.prctl import Prctl
from wxtrace.model.syscalls.seccomp import Seccomp
from wxtrace.model.trace_state import TraceState

__all__ = ["Policies"]


class Policies:
    """Follows prctl and seccomp calls, and what was read of filters."""

    def __init__(self, trace: TraceState) -> None:
        self._trace = trace
        self._programs: Dict[int, Program] = {}
        # By thread: the program that its next call installs.
        self._installing: Dict[int, Optional[int]] = {}

    def code(self, fact: facts.FilterCode) -> None:
        """A program that later facts name."""
        program = program_of(fact.code)
        if program is not None:
            self._programs[fact.id] = program

    def installing(self, fact: facts.FilterInstalled) -> None:
        """What the next call of a thread installs."""
        self._installing[fact.tid] = fact.code

    def seen(self, fact: facts.FiltersSeen) -> None:
        """What the kernel said about a thread's filters."""
        task = self._trace.tasks.get(fact.tid)
        if task is None:
            return
        programs = [self._programs.get(code) for code in reversed(fact.codes or ())]
        known = tuple(program for program in programs if program is not None)
        all_known = fact.codes is not None and len(known) == len(programs)
        task.seen_filters = SeenFilters(fact, known if all_known else None)

    def called(self, task: TaskState, call: facts.Call, request: Union[Prctl, Seccomp], event: Event) -> None:
        """A prctl or seccomp call came back without an error."""
        program = self._programs.get(self._installing.pop(call.tid, None) or 0)
        by_seccomp = isinstance(request, Seccomp) and request.operation <= flags.SECCOMP_SET_MODE_FILTER
        listens = isinstance(request, Seccomp) and bool(request.flags & flags.SECCOMP_FILTER_FLAG_NEW_LISTENER)
        if call.result != 0 and not listens:
            # seccomp with TSYNC gives the number of a thread that stood in the way (seccomp(2)).
            return
        option = request.option if isinstance(request, Prctl) else None
        if isinstance(request, Prctl) and option == flags.PR_SET_MDWE:
            task.state.mdwe, task.state.mdwe_by = request.arg2, event.n
            task.state.mdwe_who = "%s[%d]" % (task.process.title, task.process.pid)
            task.state.mdwe_own = True
        if by_seccomp or option == flags.PR_SET_SECCOMP:
            filter = Installed(event.n, task.process.pid, task.process.title, program, listens)
            bound = [task]
            if isinstance(request, Seccomp) and request.operation and request.flags & flags.SECCOMP_FILTER_FLAG_TSYNC:
                bound = [other for other in self._trace.tasks.values() if other.process is task.process]
            for other in bound:
                other.filters = (*other.filters, filter)
