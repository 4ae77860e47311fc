"""What is known of the filters that bind a caller: their answers to a call, to others like it, and who installed them.

The kernel's own copy of a program tells what happened. A program read from memory, and calls tried in a child before
the start, only illustrate: they never prove.
"""

from __future__ import annotations

import errno
from typing import List, NamedTuple, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext, Installed
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.surroundings import belonging
from wxtrace.model.event import Evidence
from wxtrace.model.filters import Action, Asked, verdict
from wxtrace.model.restrictions import Ancestor
from wxtrace.model.syscalls.table import call_name, symbolic_args

__all__ = [
    "Said",
    "answer_to",
    "culprit",
    "is_inherited",
    "listeners",
    "nearest_allowed",
    "trial_key",
    "what_was_said",
    "who_installed",
]

_KERNEL = "the filter as the kernel keeps it, run over the call"
_MEMORY = "an illustration: its program as the memory of the process held it, run over the call"
_TRIED = "an illustration: the call, tried in a child before the start"


class Said(NamedTuple):
    """An answer, and how it is known. `exact`: by the kernel's own copies of all filters."""

    action: Action
    source: str
    exact: bool


def answer_to(ctx: CallContext, asked: Asked) -> Optional[Said]:
    """What the foreign filters answer to a call; None where nobody can tell."""
    known = ctx.seen_filters
    if known is not None and known.programs:
        action = verdict(known.programs, asked)
        if action is not None:
            return Said(action, _KERNEL, True)
    own = [filter for filter in reversed(ctx.filters) if filter.n is not None]
    inherited = len(own) < len(ctx.filters)
    action = verdict([filter.program for filter in own], asked) if own else None
    if action is not None and not (action.lets_in and inherited):
        return Said(action, _MEMORY, False)
    if inherited and (action is not None or not own):
        tried = _tried(ctx.host.inherited_answers.get(trial_key(asked), ""))
        return None if tried is None else Said(tried, _TRIED, False)
    return None


def trial_key(asked: Asked) -> str:
    """By what an answer tried before the start is found again: the call and the argument that filters look at."""
    name = call_name(asked.abi, asked.number)
    deciding = {"personality": 0, "shmat": 2, "mmap": 2, "mprotect": 2, "pkey_mprotect": 2}.get(name)
    return name if deciding is None else "%s %#x" % (name, asked.args[deciding])


def _tried(text: str) -> Optional[Action]:
    if text == "ALLOW":
        return Action("ALLOW", 0)
    number = getattr(errno, text, None) if text.startswith("E") else None
    return Action("ERRNO", number) if isinstance(number, int) else None


def culprit(ctx: CallContext, said: Optional[Said]) -> Optional[Installed]:
    """The filter that gave the answer: the one whose program says so, or the inherited one if all others let it in."""
    for filter in reversed(ctx.filters):
        if said is not None and filter.program is not None:
            if verdict([filter.program], ctx.asked) == said.action:
                return filter
    own = [verdict([filter.program], ctx.asked) for filter in ctx.filters if filter.n is not None]
    inherited = [filter for filter in ctx.filters if filter.n is None]
    if inherited and all(action is not None and action.lets_in for action in own):
        return inherited[0]
    return None


_SAYS = {
    "TRAP": "sends SIGSYS for this call",
    "KILL_PROCESS": "kills the process for this call",
    "KILL_THREAD": "kills the thread for this call",
    "USER_NOTIF": "hands this call to the process that listens",
    "TRACE": "asks a tracer of its own about this call, and there is none",
    "LOG": "lets this call in",
    "ALLOW": "lets this call in",
}


def what_was_said(ctx: CallContext, said: Optional[Said]) -> Tuple[Evidence, ...]:
    """The filter's answer to the call, and to the nearest call that it lets in."""
    if said is None:
        return ()
    answer = _SAYS.get(said.action.name)
    if answer is None:
        answer = "answers %s to this call" % (f.errno_name(said.action.data) if said.action.data else "0")
    lines = [seen("the filter %s" % answer, said.source)]
    nearest = nearest_allowed(ctx)
    if nearest is not None:
        asked, allowed = nearest
        args = symbolic_args(asked.abi, asked.number, asked.args)
        name = call_name(asked.abi, asked.number)
        lines.append(
            seen("it lets %s(%s) in" % (name, ", ".join(str(value) for value in args.values())), allowed.source)
        )
    return tuple(lines)


def nearest_allowed(ctx: CallContext) -> Optional[Tuple[Asked, Said]]:
    """The call most like this one that the filters let in."""
    asked = ctx.asked
    for args in _variants(call_name(asked.abi, asked.number), asked.args):
        variant = asked._replace(args=args)
        said = answer_to(ctx, variant)
        if said is not None and said.action.lets_in:
            return variant, said
    return None


def _variants(name: str, args: Tuple[int, ...]) -> List[Tuple[int, ...]]:
    if name in ("mmap", "mmap2", "mprotect", "pkey_mprotect"):
        prot = args[2]
        if prot & f.PROT_EXEC and prot & f.PROT_WRITE:
            tries = [prot & ~f.PROT_WRITE, prot & ~f.PROT_EXEC]
        elif prot & f.PROT_EXEC:
            tries = [prot & ~f.PROT_EXEC, prot & ~f.PROT_EXEC | f.PROT_WRITE]
        else:
            tries = [prot & ~f.PROT_WRITE] if prot & f.PROT_WRITE else []
        return [(*args[:2], other, *args[3:]) for other in tries]
    if name == "shmat" and args[2] & f.SHM_EXEC:
        return [(*args[:2], args[2] & ~f.SHM_EXEC, *args[3:])]
    if name == "personality" and args[0] & f.READ_IMPLIES_EXEC:
        return [(args[0] & ~f.READ_IMPLIES_EXEC, *args[1:])]
    if name == "memfd_create":
        return [(args[0], args[1] & ~f.MFD_EXEC | f.MFD_NOEXEC_SEAL, *args[2:])]
    return []


def who_installed(ctx: CallContext, by: Optional[Installed]) -> Tuple[Evidence, ...]:
    """Where the filter comes from; where it is not known which it was, where each comes from."""
    lines: List[Evidence] = []
    for filter in (by,) if by is not None else ctx.filters:
        if filter.n is not None:
            who = "%s[%d]" % (filter.comm or "process", filter.pid or 0)
            lines.append(seen("%s installed a filter at event %d" % (who, filter.n), "the seccomp or prctl call"))
        else:
            lines.append(
                seen("a filter was inherited from whoever started the command", "Seccomp_filters at the start")
            )
    if is_inherited(ctx, by):
        lines += _origin(ctx)
    return tuple(lines)


def is_inherited(ctx: CallContext, by: Optional[Installed]) -> bool:
    """Whether the filter that answered was there before wxtrace, as far as anybody can tell."""
    if by is not None:
        return by.n is None
    return not ctx.filters or any(filter.n is None for filter in ctx.filters)


def _origin(ctx: CallContext) -> List[Evidence]:
    if ctx.seen_filters is None:
        return []
    lines = []
    origin = ctx.seen_filters.origin
    launched = any(filter.n is None for filter in ctx.filters)
    text = _first_with_filter([one for one in origin.ancestors if one.pid != origin.tid], launched)
    if text:
        lines.append(seen(text, "Seccomp_filters in /proc/PID/status of its ancestors"))
    lines += belonging(ctx)
    return lines


def _first_with_filter(ancestors: List[Ancestor], launched: bool) -> str:
    """Between which two processes the filter was put on; a launched program has wxtrace as its parent."""
    bound: Optional[Ancestor] = None
    for one in ancestors:
        if not one.filters:
            who = "%s[%d]" % (one.comm, one.pid)
            if bound is not None:
                return "%s[%d] has it, and its parent %s has none" % (bound.comm, bound.pid, who)
            if launched:
                return "%s has none, and wxtrace, which it started, has it: a launcher in between set it" % who
            return "its parent %s has none: the program set it itself, or its launcher just before" % who
        bound = one
    return "" if bound is None else "every process above it has one, up to %s[%d]" % (bound.comm, bound.pid)


def listeners(ctx: CallContext) -> str:
    """Who holds the listening end of some filter (any filter: which one, nothing tells)."""
    known = ctx.seen_filters.origin.listeners if ctx.seen_filters is not None else []
    return ", ".join("%s[%d]" % (one.comm, one.pid) for one in known)
