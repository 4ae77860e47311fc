"""Calls in a few words, as the event list shows them: `mprotect 7f31a0000000 4K r-x`."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

from wxtrace.model import flags as f
from wxtrace.model.facts import Call
from wxtrace.model.syscalls.madvise import Madvise
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.table import call_name, request_of, returns_address, symbolic_args
from wxtrace.printable import printable
from wxtrace.tui.columns import Kind

__all__ = ["call_words", "memory_words", "result_words", "seconds_text", "size_words", "told_words"]

_MOST = 200
"""Characters; longer text is cut."""


def size_words(size: int) -> str:
    """4096 is 4K; what is no whole number of the unit has one decimal."""
    for unit, letter in ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")):
        if size >= unit and (size % unit == 0 or size < unit << 10):
            return "%d%s" % (size // unit, letter) if size % unit == 0 else "%.1f%s" % (size / unit, letter)
    return "%d" % size


def seconds_text(t_ns: int) -> str:
    """Eight columns or more: microseconds below a hundred seconds, then milliseconds."""
    return "%.6f" % (t_ns / 1e9) if t_ns < 100 * 10**9 else "%.3f" % (t_ns / 1e9)


def call_words(call: Call) -> str:
    """A call's name and what matters of its arguments."""
    name = call_name(call.abi, call.number)
    words = _WORDS.get(name)
    return "%s %s" % (name, words(call)) if words is not None else "%s %s" % (name, _plain(call))


def told_words(name: str, details: Dict[str, Any]) -> str:
    """An event that is no call."""
    if name in ("exec", "attach"):
        argv = details.get("argv") or details.get("exe", "")
        # A timeline has the command in one string.
        return printable("%s %s" % (name, " ".join(map(str, argv)) if isinstance(argv, list) else argv), _MOST)
    if name in ("fork", "clone"):
        return "%s → %s" % (name, details.get("child", "?"))
    if name == "exit":
        return "exit %s" % (details.get("signal") or details.get("code"))
    if name == "fault":
        address = details.get("si_addr")
        return "fault %s%s" % (details.get("signal"), " at %s" % address if address is not None else "")
    return printable("%s %s" % (name, " ".join("%s=%s" % item for item in details.items())), _MOST)


def result_words(name: str, result: Optional[int], errno: Optional[str], is_call: bool) -> str:
    """EACCES, an address, a number; `?` for a call that never returned."""
    if errno is not None:
        return errno
    if result is None:
        return "?" if is_call else ""
    if not is_call:
        return ""
    return "%x" % result if returns_address(name) and result else str(result)


def memory_words(kind: Kind) -> str:
    """What kind of memory, and its protection: `rw-→r-x anon`; `✗` where it was asked for and not given."""
    if kind.provenance is None:
        return ""
    before, after = (kind.before or "")[:3], (kind.after or "")[:3]
    if kind.alarm and kind.asked is not None:
        protection = "%s✗%s" % (before, kind.asked)
    elif before and after:
        protection = before if before == after else "%s→%s" % (before, after)
    elif after:
        protection = "+" + after
    elif before:
        protection = "−" + before
    else:
        protection = kind.asked or ""
    name = kind.path.rpartition("/")[2]
    if not name:
        return "%s %s" % (protection, kind.provenance)
    return "%s %s%s" % (protection, "" if kind.provenance == "file" else kind.provenance + " ", printable(name, 60))


def _mmap(call: Call) -> str:
    request = request_of(call.abi, call.number, call.args)
    if not isinstance(request, Mmap):
        return _plain(call)
    words: List[str] = [size_words(request.length), f.prot_letters(request.prot)]
    if request.flags & f.MAP_ANONYMOUS:
        words.append("anon")
    else:
        words.append("fd %d" % request.fd)
        if request.offset:
            words.append("+%x" % request.offset)
    if request.flags & f.MAP_TYPE != f.MAP_PRIVATE:
        words.append("shared")
    if request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE):
        words.append("at %x" % request.addr)
    return " ".join(words)


def _range(call: Call) -> str:
    request = request_of(call.abi, call.number, call.args)
    words = ["%x" % request.start, size_words(request.length)]
    if isinstance(request, Mprotect):
        words.append(f.prot_letters(request.prot))
    elif isinstance(request, Madvise):
        words.append(str(symbolic_args(call.abi, call.number, call.args)["advice"]).replace("MADV_", ""))
    return " ".join(words)


def _plain(call: Call) -> str:
    shown = symbolic_args(call.abi, call.number, call.args)
    return " ".join(str(value) for value in shown.values())[:_MOST]


_WORDS: Dict[str, Callable[[Call], str]] = {
    "mmap": _mmap,
    "mmap2": _mmap,
    "mprotect": _range,
    "pkey_mprotect": _range,
    "munmap": _range,
    "mseal": _range,
    "madvise": _range,
    "brk": lambda call: "%x" % call.args[0] if call.args[0] else "0",
    "mremap": lambda call: "%x %s → %s" % (call.args[0], size_words(call.args[1]), size_words(call.args[2])),
}
