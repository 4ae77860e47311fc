"""Text of unknown origin, made harmless on a terminal. Imports nothing of ours: every command needs it at once."""

from __future__ import annotations

__all__ = ["MOST_TEXT", "printable"]

MOST_TEXT = 300
"""Characters of one foreign string that are shown; the timeline keeps all."""


def printable(text: str, most: int = MOST_TEXT) -> str:
    """Text of unknown origin, harmless on a terminal: control, format and surrogate characters become escapes."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # one byte that was no UTF-8 (PEP 383)
        return "\\x%02x" % (code - 0xDC00)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(
        char, "\\x%02x" % code if code < 256 else "\\u%04x" % code if code < 65536 else "\\U%08x" % code
    )
