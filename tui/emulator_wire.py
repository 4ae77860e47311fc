"""How the screen and its emulator talk. Apart from both: the screen must not import what the emulator imports."""

from __future__ import annotations

import struct

__all__ = ["FEED", "HEAD", "SIZE", "WINDOW"]

FEED, WINDOW = b"o", b"w"
"""What the program wrote; another size of the window."""
HEAD = struct.Struct("<cI")
"""Kind, and the length in bytes of what follows."""
SIZE = struct.Struct("<HH")
"""Rows, columns."""
