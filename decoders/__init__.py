"""Bytes and numbers from the kernel, turned into named facts.

No I/O, no ptrace, no clock, no wording. Everything read here is hostile: a decoder returns a value or raises
`DecodeError`, whatever the bytes.
"""

from __future__ import annotations

__all__ = ["DecodeError"]


class DecodeError(ValueError):
    """The bytes are not what their source promises; the message says what was expected."""
