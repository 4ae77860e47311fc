"""Words for people: calls, memory, diagnoses. Nothing a target or a file chose reaches a terminal raw."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Optional, Sequence

from wxtrace.model.causes.evidence import size_text
from wxtrace.model.enumerations import Aftermath
from wxtrace.model.event import Amendment, Ending, Event, Fallback, Touched
from wxtrace.model.facts import Call
from wxtrace.model.flags import errno_name
from wxtrace.model.frames import ANONYMOUS, Frame, callers
from wxtrace.model.syscalls.mmap import has_unreadable_block
from wxtrace.model.syscalls.table import call_name, returns_address, symbolic_args
from wxtrace.printable import printable

__all__ = [
    "ENDINGS",
    "Endings",
    "arguments_text",
    "by_whom",
    "call_text",
    "caller_texts",
    "disturbed_text",
    "ending_text",
    "fallback_text",
    "memory_text",
    "new_memory_text",
    "ordinal",
    "plural",
    "result_text",
]

_ERRNO_WORDS: Dict[str, str] = {}


ENDINGS = {
    Aftermath.RECOVERED: "the program got what it wanted another way",
    Aftermath.CONTINUED: "the program went on",
    Aftermath.EXITED: "the program exited with an error",
    Aftermath.ABORTED: "the program aborted",
    Aftermath.CRASHED: "the program crashed",
    Aftermath.RUNNING: "the program was still running",
    Aftermath.UNKNOWN: "",
}
"""What an aftermath means, in words."""


_COMMON_NOUNS = frozenset({"kernel", "seccomp filter", "BPF program", "dynamic loader"})
"""Those who refuse and are no proper name; SELinux has no article."""


_TOLD_BY_ITS_ENDING = frozenset({Aftermath.EXITED, Aftermath.ABORTED, Aftermath.UNKNOWN})
"""What an exit status, or the signal that killed the program, says by itself."""


def ending_text(aftermath: Aftermath, ending: Optional[Ending]) -> str:
    """What is known of the time after a refused call: `exit status 1, 41 traced calls later`; "" for nothing."""
    words = ENDINGS[aftermath]
    if ending is None:
        return words
    how = "exit status %s" % ending.code if ending.signal is None else "killed by %s" % printable(ending.signal, 40)
    later = plural(ending.later_calls, "traced call") + " later" if ending.later_calls else "no traced call in between"
    ended = "%s, %s" % (how, later)
    if aftermath in _TOLD_BY_ITS_ENDING or (aftermath is Aftermath.CRASHED and ending.signal is not None):
        return ended
    return "%s; %s" % (words, ended)


class Endings:
    """What came of refused calls of one kind, by one process; how it ended is told from the last of them on."""

    def __init__(self) -> None:
        self._known: Dict[Aftermath, Optional[Ending]] = {}

    def take(self, amendment: Amendment) -> None:
        """One of these calls; they come in their order."""
        self._known[amendment.aftermath] = amendment.ending

    def words(self) -> List[str]:
        """That the program went on is said only where nothing else is known."""
        texts = [
            ending_text(aftermath, ending)
            for aftermath, ending in self._known.items()
            if aftermath is not Aftermath.CONTINUED or ending is not None or len(self._known) == 1
        ]
        return [text for text in texts if text]


def by_whom(refused_by: str) -> str:
    """`the kernel`, `SELinux`: who refused, as it stands in a sentence."""
    return "the " + refused_by if refused_by in _COMMON_NOUNS else printable(refused_by)


def plural(count: int, noun: str, many: Optional[str] = None) -> str:
    """`1 call`, `2 calls`, `2 processes`."""
    return "%d %s" % (count, noun if count == 1 else many or noun + "s")


def errno_words(name: str) -> str:
    """`Permission denied` for EACCES."""
    if not _ERRNO_WORDS:
        import errno

        for number in errno.errorcode:
            _ERRNO_WORDS[errno_name(number)] = os.strerror(number)
    return _ERRNO_WORDS.get(name, "")


def call_text(event: Event) -> str:
    """`mprotect(0x7f…, 4096, PROT_READ|PROT_EXEC)`; other events by their details."""
    if event.call is None:
        return "%s(%s)" % (event.name, _details(event.details or {}))
    return arguments_text(event.call)


def arguments_text(call: Call) -> str:
    """`mmap(NULL, 4096, PROT_READ|PROT_WRITE, …)`."""
    unreadable = has_unreadable_block(call.abi, call.number, call.result, call.decided)
    args = symbolic_args(call.abi, call.number, call.args, unreadable)
    return "%s(%s)" % (call_name(call.abi, call.number), ", ".join(str(value) for value in args.values()))


def _details(details: Dict[str, Any]) -> str:
    parts = []
    for key, value in details.items():
        text = " ".join(value) if isinstance(value, list) else str(value)
        parts.append("%s=%s" % (key, printable(text, 80)))
    return ", ".join(parts)


def result_text(event: Event) -> str:
    """`-1 EACCES (Permission denied)`, an address, a number, or `?` for a call that never returned."""
    if event.errno is not None:
        words = errno_words(event.errno)
        return "-1 %s%s" % (event.errno, " (%s)" % words if words else "")
    if event.result is None:
        return "?" if event.call is not None else ""
    return hex(event.result) if returns_address(event.name) else str(event.result)


_MOST_CALLERS = 4
_MOST_NAME = 120


def caller_texts(frames: Sequence[Frame], most: int = _MOST_CALLERS) -> List[str]:
    """The first functions that led to a call, a line each."""
    return [frame_text(frame) for frame in callers(frames)[:most]]


def frame_text(frame: Frame) -> str:
    """`jit_compile in /usr/lib/libjit.so (+0x11f0)`."""
    if frame.module == ANONYMOUS:
        return "code in anonymous memory (compiled at run time?), %#x bytes behind its start" % frame.offset
    place = "%s (+%#x)" % (printable(frame.module), frame.offset)
    return "%s in %s" % (printable(frame.symbol, _MOST_NAME), place) if frame.symbol else place


_KINDS = {
    "heap": "heap (brk)",
    "anon": "anonymous memory",
    "anon-shared": "shared anonymous memory",
    "file": "private file mapping",
    "file-cow": "private file mapping, written to",
    "file-shared": "shared file mapping",
    "dev-zero": "private mapping of /dev/zero",
    "memfd": "memfd",
    "memfd-private": "private memfd mapping",
    "memfd-cow": "private memfd mapping, written to",
    "shm": "SysV shared memory",
    "hugetlb": "huge pages",
    "secretmem": "secret memory",
    "aio": "aio ring",
    "device": "device mapping",
    "stack": "main stack",
    "thread-stack": "thread stack",
    "shadow-stack": "shadow stack",
    "vdso": "vdso",
    "special": "kernel's own mapping",
}


def kind_text(provenance: Optional[str]) -> str:
    """What a provenance means, in words."""
    return _KINDS.get(provenance or "", provenance or "unknown memory")


def fallback_text(fallback: Fallback) -> str:
    """`tried 2 ways to get executable memory; the 2nd worked: a memfd mapped twice, …`."""
    ways = len(fallback.attempts)
    if fallback.worked is None:
        return "tried %d ways to get executable memory; none worked" % ways
    return "tried %d ways to get executable memory; the %s worked: %s" % (
        ways,
        ordinal(ways),
        printable(fallback.worked.way, 200),
    )


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return "%d%s" % (number, ending)


def memory_text(part: Touched, path: str) -> str:
    """`0x7f…-0x7f… rw-p, 4 KiB of anonymous memory`, as it was before the call."""
    if part.region is None:
        place = "new memory" if part.start == part.end else "%#x-%#x" % (part.start, part.end)
        return "%s %s: %s" % (place, part.asked or "", kind_text(part.provenance))
    return ", ".join([_place_text(part, part.before), *([printable(path)] if path else [])])


def new_memory_text(part: Touched, path: str) -> str:
    """`0x7f…-0x7f… rw-p, 4 KiB of anonymous memory, new`."""
    return ", ".join([_place_text(part, part.after), "new", *([printable(path)] if path else [])])


def _place_text(part: Touched, perms: Optional[str]) -> str:
    size = size_text(part.end - part.start)
    return "%#x-%#x %s, %s of %s" % (part.start, part.end, perms or "", size, kind_text(part.provenance))


def disturbed_text(programs: Iterable[str]) -> str:
    """Programs that were refused something only because they are traced."""
    names = ", ".join(printable(name, 40) for name in programs)
    return "wxtrace was in the way of %s: result and output are not the program's own" % names
