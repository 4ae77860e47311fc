"""How a mapping is told apart and named in evidence."""

from __future__ import annotations

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.syscalls.mprotect import Mprotect

__all__ = ["has_object", "is_plain", "is_special", "place", "place_in_call"]


def is_special(path: str) -> bool:
    """Whether maps names a mapping of the kernel's own: [vdso], [vvar], [uprobes]."""
    return path.startswith("[") and not path.startswith(("[anon", "[heap", "[stack"))


def has_object(line: MapLine) -> bool:
    """Whether a mapping has a vm_file: all but anonymous memory, a private mapping of /dev/zero included."""
    return line.inode != 0 or line.dev not in ("00:00", "0:0")


def is_plain(vma: Vma) -> bool:
    """Private anonymous memory of no special kind: mm/mmap.c:do_mmap lets it become anything."""
    line = vma.line
    return line.perms[3:] == "p" and not has_object(line) and not is_special(line.path)


def place(line: MapLine) -> str:
    """Addresses and name of a whole mapping."""
    return "%#x-%#x %s" % (line.start, line.end, line.path or "(anonymous)")


def place_in_call(ctx: CallContext, part: Part) -> str:
    """Addresses and name of what a call concerns of a mapping."""
    line, request = part.vma.line, ctx.request
    # PROT_GROWSDOWN means all of the mapping that lies below (mm/mprotect.c:do_mprotect_pkey).
    grows = isinstance(request, Mprotect) and request.prot & f.GROWSDOWN
    start = line.start if grows else max(line.start, ctx.start)
    return place(line._replace(start=start, end=min(line.end, ctx.end)))
