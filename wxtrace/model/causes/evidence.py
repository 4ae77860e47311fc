"""What rules say they saw, and how sizes, numbers and names from the target are put into words."""

from __future__ import annotations

import re
import shlex
from typing import Optional

from wxtrace.model.event import Evidence

__all__ = ["number_of", "pasteable", "seen", "size_text"]

_DECIMAL = re.compile("[0-9]{1,19}")


def seen(fact: str, source: str) -> Evidence:
    """One piece of evidence."""
    return Evidence(fact, source)


def number_of(text: Optional[str]) -> Optional[int]:
    """A number as /proc writes it; None for anything else, which only a damaged record can hold."""
    return int(text) if text is not None and _DECIMAL.fullmatch(text) else None


def pasteable(name: Optional[str]) -> Optional[str]:
    """A name from the target, quoted for a shell; None where it has characters that are not safe to paste."""
    return shlex.quote(name) if name and name.isprintable() else None


def size_text(size: int) -> str:
    """4 KiB, 1.5 MiB: a size in bytes for people."""
    if size < 1024:
        return "%d bytes" % size
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return ("%.1f %s" % (value, unit)).replace(".0 ", " ")
