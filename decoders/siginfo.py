"""siginfo_t as PTRACE_GETSIGINFO returns it on 64-bit machines (include/uapi/asm-generic/siginfo.h)."""

from __future__ import annotations

from typing import NamedTuple, Optional

from construct import Bytes, ConstructError, Int32sl, Int32ul, Int64ul, Padding, Struct

from wxtrace.decoders import DecodeError

__all__ = ["SIGINFO_SIZE", "SigInfo", "decode_siginfo"]

SIGINFO_SIZE = 128
_FAULTS = frozenset({4, 5, 7, 8, 11})  # SIGILL SIGTRAP SIGBUS SIGFPE SIGSEGV
_SIGSEGV, _SIGSYS = 11, 31
_SI_KERNEL, _SEGV_PKUERR = 0x80, 4

_fault = Struct("addr" / Int64ul, Padding(8), "pkey" / Int32ul)
_sigsys = Struct("call_addr" / Int64ul, "syscall" / Int32sl, "arch" / Int32ul)
_kill = Struct("pid" / Int32sl, "uid" / Int32ul)
_layout = Struct(
    "signo" / Int32sl,
    "errno" / Int32sl,
    "code" / Int32sl,
    Padding(4),
    "rest" / Bytes(SIGINFO_SIZE - 16),
)


class SigInfo(NamedTuple):
    """One signal. `addr` is the faulting address, or the call's address for SIGSYS; None where there is none.

    `pkey` is there for SEGV_PKUERR alone. SI_KERNEL (a general protection fault) names no address.
    """

    signo: int
    code: int
    addr: Optional[int] = None
    sender: Optional[int] = None
    pkey: Optional[int] = None
    syscall: Optional[int] = None
    errno: int = 0


def decode_siginfo(data: bytes) -> SigInfo:
    """Raises DecodeError when fewer than 128 bytes are given."""
    try:
        head = _layout.parse(data)
        if head.code <= 0:  # SI_USER and the like: sent by a process (sigaction(2))
            return SigInfo(head.signo, head.code, sender=_kill.parse(head.rest).pid, errno=head.errno)
        if head.signo in _FAULTS and head.code != _SI_KERNEL:
            fault = _fault.parse(head.rest)
            keyed = head.signo == _SIGSEGV and head.code == _SEGV_PKUERR
            return SigInfo(head.signo, head.code, fault.addr, pkey=fault.pkey if keyed else None, errno=head.errno)
        if head.signo == _SIGSYS:
            call = _sigsys.parse(head.rest)
            return SigInfo(head.signo, head.code, call.call_addr, syscall=call.syscall, errno=head.errno)
        return SigInfo(head.signo, head.code, errno=head.errno)
    except ConstructError as error:
        raise DecodeError("not a siginfo_t: %s" % error) from None
