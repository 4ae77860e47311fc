"""limit.overcommit: memory that the kernel does not promise (mm/util.c:__vm_enough_memory)."""

from __future__ import annotations

from typing import Any, Dict, Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import number_of, seen, size_text
from wxtrace.model.causes.limit.growth import covered, growth, moved_part, pages_of, status_bytes
from wxtrace.model.causes.opened import huge_page_size, is_shared
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.brk import Brk
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.process import Clone

__all__ = ["OVERCOMMIT", "copying", "overcommit", "overcommit_at_mprotect"]

_CAP_SYS_ADMIN = 21
_CLONE_VM = 0x100

_STRICT = (
    developer("Make less memory writable: in this mode all of it counts, MAP_NORESERVE or not."),
    admin("Promise more than RAM and swap, or raise the share.", "sysctl -w vm.overcommit_ratio=80"),
)

OVERCOMMIT = Cause(
    "limit.overcommit",
    "kernel",
    "The kernel does not promise this much memory (vm.overcommit_memory).",
    {
        "mmap": (Errno.ENOMEM,),
        "mprotect": (Errno.ENOMEM,),
        "pkey_mprotect": (Errno.ENOMEM,),
        "mremap": (Errno.ENOMEM,),
        "fork": (Errno.ENOMEM,),
        "clone": (Errno.ENOMEM,),
        "clone3": (Errno.ENOMEM,),
        "brk": (Errno.NONE,),
    },
    (Need.ANSWERED, Need.MEMORY, Need.SYSCTL),
    "the kernel does not promise this much memory (vm.overcommit_memory={mode}): {more} were asked, and {room}",
    (
        developer("Reserve with PROT_NONE or MAP_NORESERVE, and make pages writable as they are used."),
        admin("Allow overcommitment.", "sysctl -w vm.overcommit_memory=1"),
    ),
    "mm/util.c:__vm_enough_memory",
    {
        "strict": Case("", _STRICT),
        # Asking for more than there is and taking less is how allocators size themselves.
        "sizing": Case(outcome=Outcome.PROBE),
        "sizing-strict": Case("", _STRICT, Outcome.PROBE),
    },
)


@rule(OVERCOMMIT)
def overcommit(ctx: CallContext) -> Answer:
    """New memory that the kernel has to keep a promise for."""
    if isinstance(ctx.request, Brk) and ctx.probe.brk is None:
        return cannot_tell(ctx, OVERCOMMIT, Need.BREAK)
    if isinstance(ctx.request, Mremap):
        part = moved_part(ctx, ctx.request)
        if part is None or not part.vma.flags:
            return cannot_tell(ctx, OVERCOMMIT, Need.VM_FLAGS)
    pages = _promised(ctx)
    return LETS_THROUGH if pages is None else _promise(ctx, pages, certain=True)


@vma_rule(OVERCOMMIT)
def overcommit_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """A mapping that becomes writable, and that nothing was promised for (mm/mprotect.c:mprotect_fixup)."""
    vma = part.vma
    if not ctx.wants & f.PROT_WRITE or part.before & f.PROT_WRITE or vma.line.perms[3] == "s":
        return LETS_THROUGH
    if any(vma.has(flag) for flag in ("ac", "ht", "nr")):
        return LETS_THROUGH
    pages = covered(ctx, [part], max(ctx.start, ctx.passed), ctx.end)
    return _promise(ctx, pages, certain=bool(vma.flags))


@rule(OVERCOMMIT)
def copying(ctx: CallContext) -> Answer:
    """A child has all private writable memory a second time, promised mapping by mapping (kernel/fork.c:dup_mmap)."""
    if isinstance(ctx.request, Clone) and ctx.request.flags & _CLONE_VM:
        return LETS_THROUGH
    size = status_bytes(ctx, "VmData")
    if size is None:
        return cannot_tell(ctx, OVERCOMMIT, Need.USE)
    # Each mapping is asked for on its own, and clone3 has its flags in memory: the sum may be more than was refused.
    return _promise(ctx, pages_of(ctx, size), certain=False)


def _promised(ctx: CallContext) -> Optional[int]:
    """Pages; None for memory that does not count: shared with a file, without reserve, not writable."""
    request = ctx.request
    if isinstance(request, Brk):
        grown = growth(ctx)
        return None if grown is None else grown.most
    if isinstance(request, Mremap):
        part = moved_part(ctx, request)
        if part is None or not part.vma.has("ac"):
            return None
        new = pages_of(ctx, request.new_size)
        return new if request.flags & f.MREMAP_DONTUNMAP else max(new - pages_of(ctx, request.old_size), 0)
    if not isinstance(request, Mmap) or huge_page_size(ctx) is not None:
        return None
    strict = ctx.probe.sysctl.get("vm.overcommit_memory") == "2"
    if (request.flags & f.MAP_NORESERVE and not strict) or request.flags & f.MAP_TYPE == f.MAP_DROPPABLE:
        return None
    pages = pages_of(ctx, request.length)
    if is_shared(request):
        # Shared memory without a file counts as a whole, whatever its protection (mm/shmem.c:shmem_acct_size).
        return pages if request.flags & f.MAP_ANONYMOUS else None
    if not ctx.wants & f.PROT_WRITE:
        return None
    if request.flags & f.MAP_FIXED and ctx.kernel >= (6, 12):
        replaced = [part for part in ctx.parts() if part.vma.has("ac")]
        pages -= covered(ctx, replaced, ctx.start, ctx.end)
    return max(pages, 0)


def _promise(ctx: CallContext, pages: int, certain: bool) -> Answer:
    mode, memory = ctx.probe.sysctl.get("vm.overcommit_memory"), ctx.probe.meminfo
    if mode not in ("0", "2"):
        return LETS_THROUGH if mode == "1" else cannot_tell(ctx, OVERCOMMIT, Need.SYSCTL)
    if "MemTotal" not in memory or (mode == "2" and "CommitLimit" not in memory):
        return cannot_tell(ctx, OVERCOMMIT, Need.MEMORY)
    more = pages * ctx.host.page_size
    if mode == "0":
        total = memory["MemTotal"] + memory.get("SwapTotal", 0)
        if more <= total:
            return LETS_THROUGH
        room = "RAM and swap together are %s" % size_text(total)
        fact = "%s asked, RAM and swap are %s" % (size_text(more), size_text(total))
    else:
        limit, used = memory["CommitLimit"], memory.get("Committed_AS", 0)
        if used + more < limit - _kept_back(ctx):
            return LETS_THROUGH
        # What others have promised changes all the time; the request alone does not.
        certain = certain and more >= limit
        room = "%s of %s are promised already" % (size_text(used), size_text(limit))
        fact = "%s committed of %s, %s asked" % (size_text(used), size_text(limit), size_text(more))
    evidence = (
        seen(fact, "/proc/meminfo"),
        seen("vm.overcommit_memory = %s" % mode, "/proc/sys/vm/overcommit_memory"),
    )
    sizing = isinstance(ctx.request, Mmap) and not ctx.request.prot & f.PROT_EXEC
    case = "-".join(word for word, holds in (("sizing", sizing), ("strict", mode == "2")) if holds)
    words: Dict[str, Any] = {"mode": mode, "more": size_text(more), "room": room}
    if not certain:
        return may_refuse(ctx, OVERCOMMIT, *evidence, case=case, **words)
    return refuses(ctx, OVERCOMMIT, *evidence, case=case, **words)


def _kept_back(ctx: CallContext) -> int:
    """Bytes that strict mode keeps for root, and so that a user can still be logged in (mm/util.c)."""
    kept = min((status_bytes(ctx, "VmSize") or 0) // 32, _kilobyte_setting(ctx, "vm.user_reserve_kbytes"))
    return kept if ctx.capable(_CAP_SYS_ADMIN) else kept + _kilobyte_setting(ctx, "vm.admin_reserve_kbytes")


def _kilobyte_setting(ctx: CallContext, name: str) -> int:
    return (number_of(ctx.probe.sysctl.get(name)) or 0) * 1024
