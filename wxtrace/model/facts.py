"""What the edges saw, as plain records: the only thing the model is ever told, and all that a journal holds.

A tracer writes them, but a test, an strace log or an audit log can as well. Times are nanoseconds since the
start of the run, addresses and sizes bytes. Facts that belong to one call stand *before* the Call they explain.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from wxtrace.decoders.procmaps import MapLine, Vma

__all__ = [
    "BY_FILTER",
    "BY_KERNEL",
    "UNDECIDED",
    "Call",
    "Descriptor",
    "Dropped",
    "Fact",
    "Host",
    "Image",
    "Lost",
    "Mapped",
    "Mismatch",
    "ModeChanged",
    "MountFact",
    "Named",
    "Note",
    "Probe",
    "Resynced",
    "RunEnded",
    "RunStarted",
    "Seeded",
    "SignalStop",
    "TaskExited",
    "TaskStarted",
    "Verified",
]

UNDECIDED, BY_KERNEL, BY_FILTER = 0, 1, 2
"""Who answered a call: not observable; the kernel's own code; a seccomp filter that is not ours."""


class Call(NamedTuple):
    """One traced call. `result` is negative for -errno, None when the call never returned."""

    tid: int
    t_ns: int
    abi: int
    number: int
    args: Tuple[int, int, int, int, int, int]
    result: Optional[int]
    decided: int = UNDECIDED


@dataclass(frozen=True)
class Host:
    """The machine, read once at the start. `mdwe` is PR_GET_MDWE of the tracer, which the target inherits."""

    kernel: str
    machine: str
    page_size: int
    lsm: List[str] = field(default_factory=list)
    selinux_enforcing: Optional[bool] = None
    selinux_booleans: Dict[str, bool] = field(default_factory=dict)
    sysctl: Dict[str, str] = field(default_factory=dict)
    mdwe: Optional[int] = None
    seccomp_filters: int = 0


@dataclass(frozen=True)
class RunStarted:
    """The first fact of every run. `started` is RFC 3339."""

    tool_version: str
    host: Host
    argv: List[str]
    cwd: str
    started: str
    mode: str
    verify: bool
    attached: Optional[int] = None


@dataclass(frozen=True)
class TaskStarted:
    """A thread or process entered the trace. `space` is its address space; `how`: launch attach fork vfork clone."""

    tid: int
    t_ns: int
    pid: int
    space: int
    how: str
    parent: Optional[int] = None
    flags: int = 0
    stack: Optional[int] = None


@dataclass(frozen=True)
class Image:
    """What a process runs, read at exec or attach."""

    exe: str
    argv: List[str]
    comm: str
    abi: str


@dataclass(frozen=True)
class Seeded:
    """An address space as /proc showed it at exec or attach."""

    tid: int
    t_ns: int
    pid: int
    space: int
    why: str
    image: Image
    maps: List[MapLine]
    start_brk: int
    start_stack: int
    personality: int
    former_tid: Optional[int] = None


@dataclass(frozen=True)
class Named:
    """A thread gave itself a name (PR_SET_NAME); Wine names its processes in this way only."""

    tid: int
    comm: str


@dataclass(frozen=True)
class Mapped:
    """The mapping the kernel made for the next call of `tid`, read where arguments do not tell it."""

    tid: int
    lines: List[MapLine]


@dataclass(frozen=True)
class Resynced:
    """[start, end) of a space read again, because no argument tells what the kernel did there."""

    tid: int
    space: int
    start: int
    end: int
    lines: List[MapLine]
    why: str


@dataclass(frozen=True)
class MountFact:
    """The mount a file lies on, in the target's own mount namespace."""

    point: str
    options: str
    fstype: str
    super_options: str


@dataclass(frozen=True)
class Descriptor:
    """A descriptor named by a refused call. `flags` as open(2) set them; `seals` as F_GET_SEALS answers."""

    link: str
    flags: Optional[int] = None
    kind: Optional[str] = None
    mount: Optional[MountFact] = None
    seals: Optional[int] = None
    append_only: Optional[bool] = None


@dataclass(frozen=True)
class Probe:
    """What was volatile when the next call of `tid` failed, taken while the thread stood still.

    `short`: the same kind of call fails all the time, and only the first fields were read.
    """

    tid: int
    comm: str = ""
    ip: int = 0
    sp: int = 0
    vmas: List[Vma] = field(default_factory=list)
    vmas_complete: bool = True
    short: bool = False
    status: Dict[str, str] = field(default_factory=dict)
    limits: Dict[str, Optional[int]] = field(default_factory=dict)
    map_count: Optional[int] = None
    sysctl: Dict[str, str] = field(default_factory=dict)
    meminfo: Dict[str, int] = field(default_factory=dict)
    descriptor: Optional[Descriptor] = None
    mounts: Dict[str, MountFact] = field(default_factory=dict)
    mdwe: Optional[int] = None
    filters_ours: int = 0
    lsm_label: Optional[str] = None
    personality: Optional[int] = None
    start_brk: int = 0
    start_stack: int = 0
    brk: Optional[int] = None
    open_fds: Optional[int] = None


@dataclass(frozen=True)
class SignalStop:
    """A fault signal about to be delivered. `line` is the mapping at `addr`, when there is one."""

    tid: int
    t_ns: int
    signo: int
    code: int
    addr: Optional[int]
    sender: Optional[int]
    ip: int
    sp: int
    syscall: Optional[int] = None
    line: Optional[MapLine] = None


@dataclass(frozen=True)
class TaskExited:
    """A task is gone: exactly one of `code` and `signal` is set, or none when it was let go (detach)."""

    tid: int
    t_ns: int
    code: Optional[int] = None
    signal: Optional[int] = None


@dataclass(frozen=True)
class ModeChanged:
    """From here on this task is traced in `mode` (accelerated or full)."""

    tid: int
    mode: str
    why: str


@dataclass(frozen=True)
class Verified:
    """How many times the map was compared with /proc/PID/maps so far."""

    checked: int


@dataclass(frozen=True)
class Mismatch:
    """The map and /proc/PID/maps differed after a call of `tid`; both sides as normal-form lines."""

    tid: int
    t_ns: int
    call: str
    expected: List[str]
    found: List[str]


@dataclass(frozen=True)
class Note:
    """Something the user should know about the tracing itself."""

    kind: str
    text: str
    tid: Optional[int] = None


@dataclass(frozen=True)
class Dropped:
    """`calls` ordinary calls were not kept, because the journal had reached its limit."""

    calls: int


@dataclass(frozen=True)
class Lost:
    """The journal ends here although the run did not (it was cut, or its disk was full)."""

    why: str


@dataclass(frozen=True)
class RunEnded:
    """Nothing is traced any more."""

    t_ns: int


Fact = Union[
    Call,
    Dropped,
    Lost,
    Mapped,
    Mismatch,
    ModeChanged,
    Named,
    Note,
    Probe,
    Resynced,
    RunEnded,
    RunStarted,
    Seeded,
    SignalStop,
    TaskExited,
    TaskStarted,
    Verified,
]
