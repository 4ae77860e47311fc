"""Asking SELinux's policy: selinuxfs, which answers every user who may use security:compute_av.

One question is one write and one read on /sys/fs/selinux/access (security/selinux/selinuxfs.c:sel_write_access). The
answer follows the booleans at once, and is the same whether the kernel enforces or not.
"""

from __future__ import annotations

import errno
import os
from typing import Callable, Dict, List, Optional, Tuple

from wxtrace.decoders import DecodeError
from wxtrace.decoders.selinuxfs import decode_access_reply, decode_context, decode_index

__all__ = ["Selinuxfs"]

ROOT = "/sys/fs/selinux"
Ask = Callable[[bytes], bytes]


class Selinuxfs:
    """One mount of selinuxfs. `ask` writes a question to `access` and reads the answer; raises OSError.

    `own`: what our own /proc/self/attr/current holds. What may not be read is written to the audit log as a denial of
    ours, so the policy is asked first, and no more once it has refused to be asked.
    """

    def __init__(self, root: str = ROOT, ask: Optional[Ask] = None, own: Optional[bytes] = None) -> None:
        self.root = root
        self._ask = ask or self._write_and_read
        self._own = own
        self._may_not_ask: Optional[OSError] = None

    def enforcing(self) -> Optional[bool]:
        """Whether SELinux refuses; None where it does not run, or does not say so here."""
        value = self._read("enforce")
        return None if value is None else value.strip() == b"1"

    def booleans(self) -> Dict[str, bool]:
        """The booleans that allow or deny executable and low memory, as they are now; {} where we may not read them."""
        if not self.may_read("security_t", "boolean_t"):
            return {}
        try:
            names = os.listdir(self.root + "/booleans")
        except OSError:
            return {}
        values = {name: self._read("booleans/" + name) for name in names if "exec" in name or "mmap" in name}
        return {name: value.split()[0] == b"1" for name, value in values.items() if value and value.split()}

    def checks_as_requested(self) -> bool:
        """checkreqprot: 1 was possible up to Linux 6.3."""
        return (self._read("checkreqprot") or b"").strip() == b"1"

    def may_read(self, *types: str) -> bool:
        """Whether the policy lets us read files of all of these types that it knows, and says so."""
        own = self._own if self._own is not None else _own_context()
        known = False
        for name in types:
            try:
                domain = decode_context(own)
                level = ":s0" if domain.count(":") > 2 else ""
                found = self.allowed(domain, "system_u:object_r:%s%s" % (name, level), "file", ["read"])
            except (OSError, DecodeError) as error:
                if getattr(error, "errno", 0) == errno.EINVAL:
                    continue
                return False
            if found is None or not found[0].get("read"):
                return False
            known = True
        return known

    def has_class(self, tclass: str) -> bool:
        """Whether the policy knows this class of objects."""
        return self._number("class/%s/index" % tclass) is not None

    def capability(self, name: str) -> bool:
        """Whether a policy capability is on."""
        return self._read("policy_capabilities/" + name) == b"1"

    def allowed(
        self, scontext: str, tcontext: str, tclass: str, permissions: List[str]
    ) -> Optional[Tuple[Dict[str, bool], bool]]:
        """Which of these permissions the policy grants, and whether the domain is permissive.

        Permissions that the policy does not know are left out; None where it does not know the class. Raises OSError
        where it may not be asked, DecodeError for an answer that is none.
        """
        index = self._number("class/%s/index" % tclass)
        if index is None:
            return None
        if self._may_not_ask is not None:
            raise self._may_not_ask
        question = b"%s %s %d" % (os.fsencode(scontext), os.fsencode(tcontext), index)
        try:
            reply = decode_access_reply(self._ask(question))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                self._may_not_ask = error
            raise
        numbers = {name: self._number("class/%s/perms/%s" % (tclass, name)) for name in permissions}
        granted = {name: reply.grants(number) for name, number in numbers.items() if number is not None}
        return granted, reply.permissive

    def _number(self, name: str) -> Optional[int]:
        """Read each time: another policy, loaded meanwhile, has other numbers."""
        try:
            return decode_index(self._read(name) or b"")
        except DecodeError:
            return None

    def _read(self, name: str) -> Optional[bytes]:
        try:
            with open("%s/%s" % (self.root, name), "rb") as file:
                return file.read(4096)
        except OSError:
            return None

    def _write_and_read(self, question: bytes) -> bytes:
        fd = os.open(self.root + "/access", os.O_RDWR | os.O_CLOEXEC)
        try:
            os.write(fd, question)
            return os.read(fd, 4096)
        finally:
            os.close(fd)


def _own_context() -> bytes:
    try:
        with open("/proc/self/attr/current", "rb") as file:
            return file.read(4096)
    except OSError:
        return b""
