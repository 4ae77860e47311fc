"""Rules asked about a call that nobody has made: what each answers, in one short line."""

from __future__ import annotations

from typing import Any, Sequence, Tuple, Union

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.frozen import replace
from wxtrace.model.causes.answer import Answer, Rule, Verdict, VmaRule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.enumerations import Abi
from wxtrace.model.event import Touched
from wxtrace.model.facts import BY_KERNEL, Call, Host, Probe
from wxtrace.model.syscalls.table import NUMBERS, request_of

__all__ = ["AT", "HOST", "LETS_THROUGH", "PAGE", "PROBE", "TASK_SIZE", "answer", "asked", "context", "mapped", "over"]

PAGE = 0x1000
AT = 0x7F0000000000
TASK_SIZE = (1 << 47) - PAGE
LETS_THROUGH = "lets through"
HOST = Host("6.18.4", "x86_64", PAGE)
STATUS = {"Seccomp": "0", "CapEff": "0", "Uid": "1000 1000 1000 1000"}


def mapped(start: int, pages: int, *flags: str, perms: str = "rw-p", path: str = "", inode: int = 0) -> Vma:
    """A VMA of plain memory, unless flags are given."""
    line = MapLine(start, start + pages * PAGE, perms, 0, "08:01" if inode else "00:00", inode, path)
    return Vma(line, flags or ("rd", "wr", "mr", "mw", "me", "ac"), 0, 0, 0)


PROBE = Probe(100, vmas=[mapped(AT, 4)], status=STATUS, same_namespaces=True, sysctl={"vm.mmap_min_addr": "65536"})


def over(*vmas: Vma, **more: Any) -> Probe:
    """Evidence of these mappings, complete unless it is said otherwise."""
    return replace(PROBE, vmas=list(vmas), **more)


def context(
    call: Sequence[Union[str, int]],
    probe: Probe = PROBE,
    host: Host = HOST,
    abi: int = Abi.X86_64,
    touched: Tuple[Touched, ...] = (),
) -> CallContext:
    """What is known of a call that has not been made yet."""
    name, *rest = call
    padded: Any = tuple([int(word) & (1 << 64) - 1 for word in rest] + [0] * 6)[:6]
    number = NUMBERS[abi][str(name)]
    made = Call(100, 1, abi, number, padded, None, BY_KERNEL)
    return CallContext(request_of(abi, number, padded), BY_KERNEL, host, probe, touched, call=made)


def answer(rule: Union[Rule, VmaRule], call: Sequence[Union[str, int]], *args: Any, **more: Any) -> Answer:
    """The answer itself; that of a rule about VMAs is the one about the first."""
    ctx = context(call, *args, **more)
    return rule(ctx, ctx.parts()[0]) if isinstance(rule, VmaRule) else rule(ctx)


def asked(rule: Union[Rule, VmaRule], call: Sequence[Union[str, int]], *args: Any, **more: Any) -> str:
    """`EINVAL argument.flags:type`, with a `?` before what cannot be known; what is not promised fails."""
    given = answer(rule, call, *args, **more)
    if given.verdict is Verdict.LETS_THROUGH:
        return LETS_THROUGH
    assert given.cause is not None and rule.keeps(given, "mmap" if call[0] == "mmap2" else str(call[0]))
    told = "%s %s" % ("/".join(errno.name for errno in given.errnos), given.cause.id)
    doubt = "" if given.verdict is Verdict.REFUSES else "? "
    return doubt + told + (":" + given.case if given.case else "")
