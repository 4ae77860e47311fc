"""The small files of selinuxfs: the `access` reply, class and permission numbers (security/selinux/selinuxfs.c)."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from wxtrace.decoders import DecodeError

__all__ = ["AccessReply", "decode_access_reply", "decode_context", "decode_index"]

_REPLY = re.compile(rb"([0-9a-f]{1,8}) ([0-9a-f]{1,8}) ([0-9a-f]{1,8}) ([0-9a-f]{1,8}) ([0-9]{1,10}) ([0-9a-f]{1,8})")
_INDEX = re.compile(rb"[0-9]{1,5}")
_PERMISSIVE = 1
MOST_PERMISSIONS = 32


class AccessReply(NamedTuple):
    """What the policy grants: bit n-1 of `allowed` for permission number n. `decided` tells which bits count."""

    allowed: int
    decided: int
    sequence: int
    permissive: bool

    def grants(self, permission: int) -> bool:
        """Whether the permission with this number (from 1) is granted."""
        return permission <= MOST_PERMISSIONS and bool(self.allowed & 1 << permission - 1)


def decode_access_reply(text: bytes) -> AccessReply:
    """`allowed decided auditallow auditdeny seqno flags`, hexadecimal but for the sequence number.

    Bit 0 of the flags: the domain is permissive, so that nothing is refused to it. Raises DecodeError.
    """
    match = _REPLY.fullmatch(text.rstrip(b"\0\n"))
    if match is None:
        raise DecodeError("not a reply of selinuxfs: %r" % text[:80])
    allowed, decided, _, _, sequence, flags = match.groups()
    return AccessReply(int(allowed, 16), int(decided, 16), int(sequence), bool(int(flags, 16) & _PERMISSIVE))


def decode_index(text: bytes) -> int:
    """The number of a class or of a permission, from 1. Raises DecodeError."""
    if _INDEX.fullmatch(text.strip()) is None or int(text) == 0:
        raise DecodeError("not a class or permission number: %r" % text[:80])
    return int(text)


def decode_context(text: bytes) -> str:
    """A security context as an attribute or /proc/PID/attr holds it. Raises DecodeError for what could be none."""
    context = text.rstrip(b"\0\n")
    if not context or len(context) > 4096 or not context.isascii() or any(byte <= 0x20 for byte in context):
        raise DecodeError("not a security context: %r" % text[:80])
    return os.fsdecode(context)
