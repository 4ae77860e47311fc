"""What the edges saw, as plain records: the only thing the model is ever told, and all that a journal holds.

A tracer writes them, but a test, an strace log or an audit log can as well. Times are nanoseconds since the
start of the run, addresses and sizes bytes. Facts that belong to one call stand *before* the Call they explain.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.frozen import Frozen
from wxtrace.model.frames import Frame
from wxtrace.model.objects import Descriptor, Library, MountFact, Segment
from wxtrace.model.restrictions import Ancestor, Listener, ModuleState, SelinuxState

__all__ = [
    "BY_FILTER",
    "BY_KERNEL",
    "LIBRARY",
    "MAP",
    "MODULES",
    "OPEN_FILE",
    "STACK",
    "UNDECIDED",
    "Call",
    "Dropped",
    "Fact",
    "FilterCode",
    "FilterInstalled",
    "FiltersSeen",
    "Host",
    "Image",
    "Lost",
    "Mapped",
    "Mismatch",
    "ModeChanged",
    "Named",
    "Note",
    "Probe",
    "Resynced",
    "RunEnded",
    "RunStarted",
    "Seeded",
    "SignalStop",
    "StackRead",
    "StackSampled",
    "TaskExited",
    "TaskStarted",
    "Unloading",
    "Verified",
]

UNDECIDED, BY_KERNEL, BY_FILTER = 0, 1, 2
"""Who answered a call: not observable; the kernel's own code; a seccomp filter that is not ours."""


MAP, OPEN_FILE, MODULES, LIBRARY, STACK = "map", "open file", "security modules", "library", "stack"
"""What a look at a failed call may not get in time, because the target itself, or a process of its, has to answer."""


class Call(NamedTuple):
    """One traced call. `result` is negative for -errno, None when the call never returned."""

    tid: int
    t_ns: int
    abi: int
    number: int
    args: Tuple[int, int, int, int, int, int]
    result: Optional[int]
    decided: int = UNDECIDED


class Host(Frozen):
    """The machine, read once at the start. `mdwe` is PR_GET_MDWE of the tracer, which the target inherits.

    `lsm_known`: False where the list of modules could not be read. `inherited_answers`: what the inherited filters
    answered to calls tried in a child, by call and protection. `address_bits`: of a 64-bit program, 56 with 5-level
    paging.
    """

    kernel: str
    machine: str
    page_size: int
    lsm: List[str] = []
    selinux_enforcing: Optional[bool] = None
    selinux_booleans: Dict[str, bool] = {}
    sysctl: Dict[str, str] = {}
    mdwe: Optional[int] = None
    seccomp_filters: int = 0
    inherited_answers: Dict[str, str] = {}
    lsm_known: bool = True
    address_bits: int = 47


class RunStarted(Frozen):
    """The first fact of every run. `started` is RFC 3339."""

    tool_version: str
    host: Host
    argv: List[str]
    cwd: str
    started: str
    mode: str
    verify: bool
    attached: Optional[int] = None


class TaskStarted(Frozen):
    """A thread or process entered the trace. `space` is its address space; `how`: launch attach fork vfork clone."""

    tid: int
    t_ns: int
    pid: int
    space: int
    how: str
    parent: Optional[int] = None
    flags: int = 0
    stack: Optional[int] = None


class Image(Frozen):
    """What a process runs, read at exec or attach."""

    exe: str
    argv: List[str]
    comm: str
    abi: str


class Seeded(Frozen):
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


class Named(Frozen):
    """A thread gave itself a name (PR_SET_NAME); Wine names its processes in this way only."""

    tid: int
    comm: str


class Mapped(Frozen):
    """The mapping the kernel made for the next call of `tid`, read where arguments do not tell it.

    `writable`: an executable mapping of a descriptor that is open for writing.
    """

    tid: int
    lines: List[MapLine]
    writable: bool = False


class Resynced(Frozen):
    """[start, end) of a space read again, because no argument tells what the kernel did there."""

    tid: int
    space: int
    start: int
    end: int
    lines: List[MapLine]
    why: str


class Unloading(Frozen):
    """The next call of `tid` unmaps the library that was mapped last, and that wants an executable stack.

    `loader`: the version of the glibc whose loader is mapped ("2.41"), "other" for another loader, "" when unknown.
    """

    tid: int
    library: Library
    loader: str = ""


class Probe(Frozen):
    """What was volatile when the next call of `tid` failed, taken while the thread stood still.

    `short`: the same kind of call fails all the time. What takes long was left out: mappings and their mounts, their
    number and gaps, MDWE, the answers of security modules, open descriptors, processor and library.
    """

    tid: int
    comm: str = ""
    ip: int = 0
    sp: int = 0
    vmas: List[Vma] = []
    vmas_complete: bool = True
    short: bool = False
    status: Dict[str, str] = {}
    limits: Dict[str, Optional[int]] = {}
    map_count: Optional[int] = None
    sysctl: Dict[str, str] = {}
    meminfo: Dict[str, int] = {}
    descriptor: Optional[Descriptor] = None
    mounts: Dict[str, MountFact] = {}
    mdwe: Optional[int] = None
    filters_ours: int = 0
    lsm_label: Optional[str] = None
    personality: Optional[int] = None
    start_brk: int = 0
    start_stack: int = 0
    brk: Optional[int] = None
    open_fds: Optional[int] = None
    # Whether pid and ipc namespace are the tracer's: only then /proc/sys/vm and /proc/sysvipc are those of the target.
    same_namespaces: bool = False
    cpu_features: Optional[List[str]] = None
    # The largest gaps between mappings: in the whole address space, and where MAP_32BIT looks.
    largest_gap: Optional[int] = None
    largest_low_gap: Optional[int] = None
    # Free huge pages by their size in bytes.
    huge_pages: Optional[Dict[str, int]] = None
    segment: Optional[Segment] = None
    # Only taken where a security module could have refused.
    selinux: Optional[SelinuxState] = None
    modules: Optional[ModuleState] = None
    # The path in /proc/PID/cgroup.
    cgroup: Optional[str] = None
    # The file behind a refusal of PROT_EXEC: the one to be made executable, or whose loading asks for the stack.
    library: Optional[Library] = None
    # Bytes of the program's own data (end_data - start_data), which RLIMIT_DATA counts with the heap.
    data_size: Optional[int] = None
    # What was looked for and did not come in time: MAP, OPEN_FILE, MODULES, LIBRARY, STACK.
    unanswered: List[str] = []


class FilterCode(Frozen):
    """A classic BPF program in hexadecimal; later facts name it by `id`."""

    id: int
    code: str


class FilterInstalled(Frozen):
    """The program that the next call of `tid` installed, as its memory held it when the call came back.

    `code` is None when it could not be read. Another thread may have changed the memory in between.
    """

    tid: int
    code: Optional[int] = None


class FiltersSeen(Frozen):
    """Where the foreign filters that bind `tid` come from, read when one of them first refused a call, or may have.

    `codes`: their programs, oldest first, as the kernel keeps them (PTRACE_SECCOMP_GET_FILTER); None where it
    does not say. `ancestors`: the nearest first. `cgroup`: the path in /proc/PID/cgroup.
    """

    tid: int
    codes: Optional[List[int]] = None
    why_not: str = ""
    ancestors: List[Ancestor] = []
    cgroup: Optional[str] = None
    listeners: List[Listener] = []


class StackSampled(Frozen):
    """The stack of the next call of `tid`, which comes back at `t_ns`, was copied; a StackRead is to follow."""

    tid: int
    t_ns: int


class StackRead(Frozen):
    """Who made the call of `tid` that came back at `t_ns`, innermost first. No frames: nobody can tell any more."""

    tid: int
    t_ns: int
    frames: List[Frame]


class SignalStop(Frozen):
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


class TaskExited(Frozen):
    """A task is gone: exactly one of `code` and `signal` is set, or none when it was let go (detach)."""

    tid: int
    t_ns: int
    code: Optional[int] = None
    signal: Optional[int] = None


class ModeChanged(Frozen):
    """From here on this task is traced in `mode` (accelerated or full)."""

    tid: int
    mode: str
    why: str


class Verified(Frozen):
    """How many times the map was compared with /proc/PID/maps so far."""

    checked: int


class Mismatch(Frozen):
    """The map and /proc/PID/maps differed after a call of `tid`; both sides as normal-form lines."""

    tid: int
    t_ns: int
    call: str
    expected: List[str]
    found: List[str]


class Note(Frozen):
    """Something the user should know about the tracing itself."""

    kind: str
    text: str
    tid: Optional[int] = None


class Dropped(Frozen):
    """`calls` ordinary calls were not kept, because the journal had reached its limit."""

    calls: int


class Lost(Frozen):
    """The journal ends here although the run did not (it was cut, or its disk was full)."""

    why: str


class RunEnded(Frozen):
    """Nothing is traced any more."""

    t_ns: int


Fact = Union[
    Call,
    Dropped,
    FilterCode,
    FilterInstalled,
    FiltersSeen,
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
    StackRead,
    StackSampled,
    TaskExited,
    TaskStarted,
    Unloading,
    Verified,
]
