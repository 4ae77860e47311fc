"""siginfo_t: a struct laid out by hand for every kind of signal that matters here."""

from __future__ import annotations

import signal
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.siginfo import SIGINFO_SIZE, SigInfo, decode_siginfo

SEGV_MAPERR, SEGV_ACCERR, SEGV_BNDERR, SEGV_PKUERR = 1, 2, 3, 4
SI_USER, SI_KERNEL, SI_TKILL = 0, 0x80, -6
AUDIT_ARCH_X86_64 = 0xC000003E


def siginfo(signo: int, code: int, rest: bytes, errno: int = 0) -> bytes:
    return (struct.pack("<iiii", signo, errno, code, 0) + rest).ljust(SIGINFO_SIZE, b"\0")


def fault(signo: int, code: int, addr: int, behind: int = 0) -> bytes:
    """A fault; `behind` is the third word of the union: a bound, or a protection key."""
    return siginfo(signo, code, struct.pack("<QQQ", addr, 0, behind))


def test_an_access_fault_names_its_address() -> None:
    assert decode_siginfo(fault(signal.SIGSEGV, SEGV_ACCERR, 0x7F31A0000010)) == SigInfo(
        signal.SIGSEGV, SEGV_ACCERR, 0x7F31A0000010
    )


def test_a_fault_at_null_has_an_address() -> None:
    assert decode_siginfo(fault(signal.SIGSEGV, SEGV_MAPERR, 0)).addr == 0


def test_a_fault_in_the_upper_half() -> None:
    assert decode_siginfo(fault(signal.SIGBUS, 2, 0xFFFFFFFFFF600000)).addr == 0xFFFFFFFFFF600000


def test_a_general_protection_fault_names_no_address() -> None:
    """The kernel fills in 0 for a non-canonical address: nothing was touched at NULL."""
    assert decode_siginfo(fault(signal.SIGSEGV, SI_KERNEL, 0)).addr is None


def test_a_protection_key_fault_names_its_key() -> None:
    assert decode_siginfo(fault(signal.SIGSEGV, SEGV_PKUERR, 0x1000, 5)).pkey == 5


@pytest.mark.parametrize("code", [SEGV_MAPERR, SEGV_ACCERR, SEGV_BNDERR])
def test_no_other_fault_has_a_key(code: int) -> None:
    assert decode_siginfo(fault(signal.SIGSEGV, code, 0x1000, 5)).pkey is None


def test_a_code_means_a_key_only_for_sigsegv() -> None:
    assert decode_siginfo(fault(signal.SIGBUS, SEGV_PKUERR, 0x1000, 5)).pkey is None


def test_a_filter_trap_names_the_call() -> None:
    data = siginfo(signal.SIGSYS, 1, struct.pack("<QiI", 0x7F31A4900123, 10, AUDIT_ARCH_X86_64), errno=13)
    assert decode_siginfo(data) == SigInfo(signal.SIGSYS, 1, 0x7F31A4900123, syscall=10, errno=13)


@pytest.mark.parametrize("code", [SI_USER, SI_TKILL])
@pytest.mark.parametrize("signo", [signal.SIGSEGV, signal.SIGSYS, signal.SIGTERM])
def test_a_sent_signal_names_its_sender_and_no_address(signo: int, code: int) -> None:
    data = siginfo(signo, code, struct.pack("<iI", 4711, 1000))
    assert decode_siginfo(data) == SigInfo(signo, code, sender=4711)


def test_a_signal_of_another_kind_is_only_a_number() -> None:
    assert decode_siginfo(siginfo(signal.SIGCHLD, 1, struct.pack("<iIi", 4711, 1000, 0))) == SigInfo(signal.SIGCHLD, 1)


def test_what_follows_the_struct_is_not_looked_at() -> None:
    data = fault(signal.SIGSEGV, SEGV_ACCERR, 0x1000)
    assert decode_siginfo(data + b"\xff" * 9) == decode_siginfo(data)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 24, SIGINFO_SIZE - 1])
def test_a_short_struct_is_an_error(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_siginfo(fault(signal.SIGSEGV, SEGV_ACCERR, 0x1000)[:size])


@given(st.binary(max_size=SIGINFO_SIZE + 8))
def test_bytes_of_any_length(data: bytes) -> None:
    try:
        decode_siginfo(data)
    except DecodeError:
        assert len(data) < SIGINFO_SIZE


@given(
    st.integers(-1, 64),
    st.one_of(st.integers(-10, 10), st.integers(-(2**31), 2**31 - 1)),
    st.binary(min_size=SIGINFO_SIZE - 16, max_size=SIGINFO_SIZE - 16),
)
def test_any_struct_keeps_its_number_and_code(signo: int, code: int, rest: bytes) -> None:
    info = decode_siginfo(siginfo(signo, code, rest))
    assert (info.signo, info.code) == (signo, code)
