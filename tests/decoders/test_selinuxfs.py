"""selinuxfs: replies as an enforcing kernel gave them."""

from __future__ import annotations

from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders import DecodeError
from wxtrace.decoders.selinuxfs import AccessReply, decode_access_reply, decode_context, decode_index

EXECMEM, EXECSTACK, EXECHEAP, PTRACE = 26, 27, 28, 15


def test_a_reply_grants_by_permission_number() -> None:
    """Class process, unconfined_t, every exec boolean off: Debian's policy on 6.12."""
    reply = decode_access_reply(b"717fffff ffffffff 0 ffffffff 2 0")
    assert reply == AccessReply(0x717FFFFF, 0xFFFFFFFF, 2, False)
    assert [reply.grants(number) for number in (EXECMEM, EXECSTACK, EXECHEAP, PTRACE)] == [False, False, False, True]


def test_the_sequence_number_is_decimal_and_the_last_flag_says_permissive() -> None:
    reply = decode_access_reply(b"0 ffffffff 0 ffffffff 20 1")
    assert (reply.sequence, reply.permissive) == (20, True)


@pytest.mark.parametrize(
    "decode, bad",
    [
        (decode_access_reply, b""),
        (decode_access_reply, b"717fffff ffffffff 0 ffffffff 2"),
        (decode_access_reply, b"717fffff ffffffff 0 ffffffff -2 0"),
        (decode_access_reply, b"717fffff0 ffffffff 0 ffffffff 2 0"),
        (decode_index, b"0"),
        (decode_index, b"two"),
        (decode_index, b"123456"),
        (decode_context, b"\0"),
        (decode_context, b"user_u:user_r:user_t:s0 2\nscon"),
        (decode_context, b"user_u:\x1b[31m"),
        (decode_context, b"a" * 4097),
    ],
)
def test_what_no_kernel_says(decode: Callable[[bytes], object], bad: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(bad)


def test_a_context_ends_with_a_nul() -> None:
    assert decode_context(b"system_u:object_r:zero_device_t:s0\0") == "system_u:object_r:zero_device_t:s0"
    assert decode_index(b"26") == 26


@given(st.binary(max_size=120))
@pytest.mark.parametrize("decode", [decode_access_reply, decode_context, decode_index])
def test_any_bytes_are_a_value_or_an_error(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except DecodeError:
        pass
