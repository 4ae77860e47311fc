"""How a mapping is told apart and named in evidence."""

from __future__ import annotations

from wxtrace.decoders.procmaps import MapLine

__all__ = ["is_special", "place"]


def is_special(path: str) -> bool:
    """Whether maps names a mapping of the kernel's own: [vdso], [vvar], [uprobes]."""
    return path.startswith("[") and not path.startswith(("[anon", "[heap", "[stack"))


def place(line: MapLine) -> str:
    """Addresses and name of a whole mapping."""
    return "%#x-%#x %s" % (line.start, line.end, line.path or "(anonymous)")
