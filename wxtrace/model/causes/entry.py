"""What one entry of the table of causes holds.

Sentences, fixes and commands are templates of `str.format`: the words in braces are what a rule found. Values are put
in last and never read as templates, so they may come from the target.
"""

from __future__ import annotations

from enum import Enum
from string import Formatter
from typing import Dict, Mapping, Optional, Tuple, Union

from wxtrace.frozen import Frozen
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.event import Fix

__all__ = ["ANY_CALL", "ANY_ERRNO", "IF_DENIED", "Case", "Cause", "Gives", "Need", "admin", "developer"]

Gives = Tuple[Union[Errno, str], ...]
"""What a call gives: errnos, or the names of signals. Empty: any errno."""
ANY_ERRNO: Gives = ()
ANY_CALL = "any"
IF_DENIED: Mapping[Union[str, Errno], Outcome] = {Errno.EACCES: Outcome.REFUSED, Errno.EPERM: Outcome.REFUSED}
"""`outcomes` of a cause by which nothing was denied but with these errnos: others say that the call does not fit."""


class Need(Enum):
    """One kind of evidence that a cause is proved by: what it tells, and where it is read.

    At the stop, while the thread stands still, the probe takes what would be gone later; the rest it reads anyway, as
    cheaply. `wxtrace.model.causes.base` tells whether one refused call came with it.
    """

    ANSWERED = ("who answered: the kernel's own code, not a seccomp filter", "the ptrace stops, or Seccomp in status")
    ARGUMENTS = ("the arguments of the call", "the registers")
    MAPPINGS = ("every mapping of the range", "/proc/PID/smaps")
    VM_FLAGS = ("what each mapping of the range may become", "VmFlags in /proc/PID/smaps")
    BEFORE = ("the protection before the call", "wxtrace's own map")
    DESCRIPTOR = ("what the descriptor is, and how it was opened", "/proc/PID/fd and fdinfo")
    SEALS = ("the seals of the file", "F_GET_SEALS on a copy of the descriptor")
    ATTRIBUTES = ("the attributes of the file", "FS_IOC_GETFLAGS on a copy of the descriptor")
    MOUNT = ("the mount of the file, as the program sees it", "/proc/PID/mountinfo")
    KERNEL = ("the version of the kernel", "uname")
    MDWE = ("the answer to PR_GET_MDWE", "asked in the stopped thread, or followed from its calls")
    MODULES = ("which security modules are at work", "/sys/kernel/security/lsm")
    BPF_PROGRAMS = ("which BPF programs are loaded (as root, wxtrace can tell)", "bpf(BPF_PROG_GET_NEXT_ID)")
    POLICY = ("what the policy of the security module answers", "the module's own files")
    LIMITS = ("the limits of the process", "/proc/PID/limits")
    USE = ("how much memory the process has", "/proc/PID/status")
    MEMORY = ("how much memory the machine has", "/proc/meminfo")
    MAP_COUNT = ("the number of its mappings", "/proc/PID/maps")
    GAPS = ("the gaps between its mappings", "/proc/PID/maps")
    SYSCTL = ("the settings of the machine", "/proc/sys/vm")
    NAMESPACE = ("whose setting was read: that of the program's own namespace", "/proc/PID/ns")
    CAPABILITIES = ("the capabilities of the process", "CapEff in /proc/PID/status")
    SEGMENT = ("owner and mode of the shared memory segment", "/proc/sysvipc/shm")
    BREAK = ("where the heap starts and ends", "/proc/PID/stat, and the last brk call")
    CPU = ("what the processor can", "/proc/cpuinfo")
    OPEN_FILES = ("the number of open descriptors", "/proc/PID/fd")
    STOPS = ("which ptrace stops the call made", "the tracer")
    SIGINFO = ("the signal's own account", "siginfo")
    HELD = ("who traces the task in question: wxtrace itself", "the tracer")

    @property
    def words(self) -> str:
        """What it tells."""
        return self.value[0]

    @property
    def source(self) -> str:
        """Where it is read."""
        return self.value[1]


class Case(Frozen):
    """What to say in one situation; empty fields are those of the cause itself."""

    sentence: str = ""
    fixes: Tuple[Fix, ...] = ()
    outcome: Optional[Outcome] = None


class Cause(Frozen):
    """One reason why a memory call fails.

    `when` is its predicate in one plain sentence, `calls` says which call gives what for it; that also drives when its
    rules are tried. `source` where the kernel decides it, `example` a command line of examples/build that shows it.
    `outcome`: whether that is an alarm (refused), a call that could never work (failed), or what healthy programs do to
    find out what they may (probe); `outcomes` where a call or an errno makes it another.
    """

    id: str
    refused_by: Optional[str]
    when: str
    calls: Mapping[str, Gives]
    needs: Tuple[Need, ...]
    sentence: str
    fixes: Tuple[Fix, ...]
    source: str
    cases: Mapping[str, Case] = {}
    example: Optional[str] = None
    outcome: Outcome = Outcome.REFUSED
    outcomes: Mapping[Union[str, Errno], Outcome] = {}

    @property
    def family(self) -> str:
        """`selinux` for `selinux.execmem`."""
        return self.id.partition(".")[0]

    def gives(self, call: str) -> Optional[Gives]:
        """What a call gives for this cause; None for a call that it never refuses."""
        return self.calls.get(call, self.calls.get(ANY_CALL))

    def promises(self, call: str, errno: Errno) -> bool:
        """Whether a call can give this errno for this cause."""
        gives = self.gives(call)
        return gives is not None and (gives == ANY_ERRNO or errno in gives)

    def case(self, name: str) -> Case:
        """The words of one of its cases, "" for the usual one. Raises KeyError for a case it does not have."""
        if not name:
            return Case(self.sentence, self.fixes)
        case = self.cases[name]
        return Case(case.sentence or self.sentence, case.fixes or self.fixes, case.outcome)

    def in_words(self, case: str = "", **words: object) -> Tuple[str, Tuple[Fix, ...]]:
        """Sentence and fixes of one case.

        A command that lacks a word (None, or not given) is left out, and a fix that speaks of one that is None with it.
        """
        said, known = self.case(case), _Words(words)
        fixes = tuple(
            fix._replace(text=fix.text.format_map(known), command=_command(fix.command, words))
            for fix in said.fixes
            if all(words.get(word, "") is not None for _, word, _, _ in Formatter().parse(fix.text) if word)
        )
        return said.sentence.format_map(known), fixes


class _Words(Dict[str, object]):
    """A sentence with a gap is better than none."""

    def __missing__(self, word: str) -> str:
        return "…"


def _command(template: Optional[str], words: Dict[str, object]) -> Optional[str]:
    if template is None:
        return None
    try:
        return template.format_map({word: value for word, value in words.items() if value is not None})
    except KeyError:
        return None


def developer(text: str, command: Optional[str] = None) -> Fix:
    """What the author of the program can do."""
    return Fix("developer", text, command)


def admin(text: str, command: Optional[str] = None) -> Fix:
    """What whoever runs the machine can do."""
    return Fix("administrator", text, command)
