"""PR_SET_MDWE: a process that has given up making memory executable (include/linux/mman.h:map_deny_write_exec)."""

from __future__ import annotations

from typing import Any, Dict, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, refuses, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.mappings import place_in_call
from wxtrace.model.causes.surroundings import belonging, placement, service_words
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect

__all__ = ["MDWE", "map_deny_write_exec", "mdwe_at_mmap", "mdwe_at_mprotect"]

_SINCE = (6, 3)
_LIFT = admin(
    "Run it without the restriction{setter} (for a systemd unit: MemoryDenyWriteExecute=no).",
    "{systemctl} edit {unit}",
)
_LATER = developer(
    "Make all code executable before {program} calls PR_SET_MDWE, or do without that call where code is made later."
)

MDWE = Cause(
    "mdwe",
    "kernel",
    "The process has given up making memory executable (PR_SET_MDWE, “memory-deny-write-execute”), and this would.",
    {
        "mmap": (Errno.EACCES,),
        "mprotect": (Errno.EACCES,),
        "pkey_mprotect": (Errno.EACCES,),
        "shmat": (Errno.EACCES,),
        "remap_file_pages": (Errno.EACCES,),
    },
    (Need.ANSWERED, Need.MDWE, Need.BEFORE),
    "MDWE: the process has given up making memory executable, and {what}",
    (
        developer(
            "Keep writing and executing apart: map the code twice from one memfd (a writable and an executable "
            "view), or map it executable from a finished file."
        ),
        _LATER,
        _LIFT,
    ),
    "include/linux/mman.h:map_deny_write_exec, mm/mprotect.c, mm/vma.c:mmap_region",
    {
        "stack": Case(
            "",
            (
                developer(
                    "Keep code off the stack. A library that asks for it is to be linked with -z noexecstack "
                    "(its assembler files need .note.GNU-stack), or patchelf --clear-execstack clears the mark."
                ),
                _LATER,
                _LIFT,
            ),
        ),
        "textrel": Case(
            "",
            (
                developer("Rebuild the library with -fPIC: its text relocations make the loader write to its code."),
                _LATER,
                _LIFT,
            ),
        ),
        "patch": Case(
            "",
            (
                developer(
                    "Do not patch code where it runs: change the file before it is mapped, or put the code into a "
                    "memfd that is mapped twice, writable in one place and executable in the other."
                ),
                _LATER,
                _LIFT,
            ),
        ),
    },
    "mdwe jit_anon",
)


def map_deny_write_exec(old: int, new: int) -> bool:
    """Whether MDWE refuses this change of protection: X wanted, and W with it or no X before."""
    if not new & f.PROT_EXEC:
        return False
    return bool(new & f.PROT_WRITE) or not old & f.PROT_EXEC


@rule(MDWE)
def mdwe_at_mmap(ctx: CallContext) -> Answer:
    """W and X together (mm/vma.c:mmap_region)."""
    if not map_deny_write_exec(ctx.wants, ctx.wants):
        return LETS_THROUGH
    return _refused_if_set(ctx, "this mapping would be writable and executable at once", "")


@vma_rule(MDWE)
def mdwe_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """X that was not there before, or W beside it: asked behind the VM_MAY* bits and before every security module."""
    wants = ctx.wants_of(part)
    if not map_deny_write_exec(part.before, wants):
        return LETS_THROUGH
    if wants & f.PROT_WRITE:
        what = "this memory would be writable and executable at once"
    else:
        what = "this memory was not executable before"
    letters = f.prot_letters(part.before), f.prot_letters(wants)
    change = seen("%s would go from %s to %s" % (place_in_call(ctx, part), *letters), "the map before the call")
    return _refused_if_set(ctx, what, _memory_case(ctx, part), change)


def _refused_if_set(ctx: CallContext, what: str, case: str, *more: Evidence) -> Answer:
    if ctx.effective_mdwe is None:
        # Older kernels do not have it.
        return LETS_THROUGH if (0, 0) < ctx.kernel < _SINCE else cannot_tell(ctx, MDWE, Need.MDWE)
    if not ctx.effective_mdwe:
        return LETS_THROUGH
    place = placement(ctx) if ctx.mdwe_by is None else None
    words: Dict[str, Any] = dict(service_words(place))
    # What a program has set itself, its author can mend, and no administrator take away.
    words["setter"], words["program"] = (None, "the program") if ctx.mdwe_own else ("", None)
    related = (ctx.mdwe_by,) if ctx.mdwe_by is not None else ()
    return refuses(ctx, MDWE, *_who_set_it(ctx), *more, case=case, related=related, what=what, **words)


def _who_set_it(ctx: CallContext) -> Tuple[Evidence, ...]:
    lines = []
    if ctx.probe.mdwe is not None:
        lines.append(
            seen("PR_GET_MDWE answered %s" % f.named_bits(ctx.probe.mdwe, f.MDWE), "asked in the stopped thread")
        )
    if ctx.mdwe_by is not None:
        text = "PR_SET_MDWE was called at event %d by %s" % (ctx.mdwe_by, ctx.mdwe_who or "the program")
        lines.append(seen(text, "the prctl call"))
    elif ctx.host.mdwe:
        lines.append(seen("it was inherited from whoever started the command", "PR_GET_MDWE before the start"))
        lines += belonging(ctx)
    else:
        lines.append(seen("it was set before wxtrace came", "PR_SET_MDWE is not among the calls seen"))
        lines += belonging(ctx)
    request = ctx.request
    if isinstance(request, (Mmap, Mprotect)) and ctx.wants & ~request.prot:
        lines.append(seen("READ_IMPLIES_EXEC: the kernel adds PROT_EXEC to every PROT_READ", "/proc/PID/personality"))
    return tuple(lines)


def _memory_case(ctx: CallContext, part: Part) -> str:
    """What the author can do depends on the memory that was to become executable."""
    line = part.vma.line
    own = (touched for touched in ctx.touched if touched.start < line.end and touched.end > line.start)
    provenance = next((touched.provenance for touched in own), None)
    if provenance == "stack":
        return "stack"
    library = ctx.probe.library
    if library is None or provenance not in ("file", "file-cow") or not ctx.wants & f.PROT_WRITE:
        return ""
    # Without DT_TEXTREL it is not the loader that wants to write there.
    return "textrel" if library.text_relocations else "patch"
