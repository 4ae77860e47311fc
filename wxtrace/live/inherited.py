"""Does a seccomp filter that was inherited (a container's, a service's) touch our calls?

Some twenty canonical calls are tried in a child under our own filter. If each reaches its seccomp stop, no foreign
filter decides any of them and the target may be traced in accelerated mode. What they answer else is evidence.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from typing import Dict, Mapping, Set, Tuple

from wxtrace.live import ptrace, seccomp
from wxtrace.live.arch import NATIVE, PAGE_SIZE
from wxtrace.model.filters import Asked
from wxtrace.model.flags import errno_name
from wxtrace.model.syscalls.table import NUMBERS

__all__ = ["inherited_answers", "matters"]

PATIENCE = 1.0
"""Seconds for all calls together; they take a few milliseconds."""

_Call = Tuple[int, Tuple[int, ...]]
_SAID = struct.Struct("<qq")

_ANYWHERE, _PAGE = 0, PAGE_SIZE
_ANON = 0x22
_CANONICAL: Tuple[Tuple[str, Tuple[int, ...]], ...] = (
    ("mmap", (_ANYWHERE, _PAGE, 3, _ANON)),
    ("mmap", (_ANYWHERE, _PAGE, 5, _ANON)),
    ("mmap", (_ANYWHERE, _PAGE, 7, _ANON)),
    ("mprotect", (1, _PAGE, 1)),
    ("mprotect", (1, _PAGE, 3)),
    ("mprotect", (1, _PAGE, 4)),
    ("mprotect", (1, _PAGE, 5)),
    ("mprotect", (1, _PAGE, 7)),
    ("pkey_mprotect", (1, _PAGE, 5, (1 << 64) - 1)),
    ("munmap", (1, _PAGE)),
    ("mremap", (1, _PAGE, _PAGE, 0)),
    ("brk", (0,)),
    ("madvise", (1, _PAGE, 4)),
    ("shmat", ((1 << 64) - 1, 0, 0)),
    ("shmat", ((1 << 64) - 1, 0, 0o100000)),
    ("shmdt", (1,)),
    ("memfd_create", (0, 0)),
    ("mseal", (1, _PAGE, 0)),
    ("personality", (0xFFFFFFFF,)),
    ("personality", (0x6,)),
    ("personality", (0x8,)),
    ("personality", (0x20000,)),
    ("personality", (0x400000,)),
    ("personality", (0x0,)),
    ("remap_file_pages", (1, _PAGE, 0, 0, 0)),
    ("pkey_alloc", (1, 0)),
)


def inherited_answers() -> Dict[str, str]:
    """What inherited filters answer, by wxtrace.model.causes.seccomp.evidence.trial_key: ALLOW, or the errno's name.

    "0" for a call that was reported as done, and no entry for those that could not be tried any more.
    """
    # The names of the calls in an answer are those that rules look for; only filtered targets pay for the import.
    from wxtrace.model.causes.seccomp.evidence import trial_key

    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _try_all(go_read, said_write)
    os.close(go_read)
    os.close(said_write)
    arrived: Set[_Call] = set()
    try:
        ptrace.request(ptrace.PTRACE_SEIZE, pid, 0, ptrace.OPTIONS | ptrace.O_TRACESECCOMP | ptrace.O_EXITKILL)
        os.write(go_write, b"x")
        arrived = _arrivals(pid)
        said = os.read(said_read, _SAID.size * len(_CANONICAL))
    except (OSError, ptrace.TaskGone):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, ptrace.WALL)
        return {}
    finally:
        os.close(go_write)
        os.close(said_read)
    answers = {}
    for (name, args), (result, number) in zip(_CANONICAL, _SAID.iter_unpack(said[: len(said) // 16 * 16])):
        call = (NUMBERS[NATIVE][name], args)
        here = any(other == call[0] and words[: len(args)] == args for other, words in arrived)
        answer = "ALLOW" if here else errno_name(number) if result == -1 else "0"
        answers[trial_key(Asked(NATIVE, call[0], (*args, 0, 0, 0, 0, 0, 0)[:6]))] = answer
    return answers


def matters(answers: Mapping[str, str]) -> bool:
    """True when any canonical call does not reach the kernel's own code, or nothing can be told."""
    return len(answers) < len(_CANONICAL) or any(answer != "ALLOW" for answer in answers.values())


def _try_all(go: int, said: int) -> None:
    try:
        # A filter may hand a call to a listener that never answers (seccomp_unotify(2)).
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        libc = ctypes.PyDLL(None, use_errno=True)
        libc.syscall.restype = ctypes.c_long
        os.read(go, 1)
        seccomp.install()
        for name, args in _CANONICAL:
            ctypes.set_errno(0)
            result = libc.syscall(NUMBERS[NATIVE][name], *(ctypes.c_ulong(value) for value in args))
            os.write(said, _SAID.pack(result, ctypes.get_errno()))
    finally:
        os._exit(0)


def _arrivals(pid: int) -> Set[_Call]:
    """Number and arguments of every call that reached its seccomp stop."""
    arrived: Set[_Call] = set()
    while True:
        _, status = os.waitpid(pid, ptrace.WALL)
        if not os.WIFSTOPPED(status):
            return arrived
        number = 0
        if status == ptrace.SECCOMP_STOP:
            info = ptrace.syscall_info(pid)
            arrived.add((info.number, info.args))
        elif status >> 16 == 0:
            number = os.WSTOPSIG(status)
        ptrace.request(ptrace.PTRACE_CONT, pid, 0, number)
