"""Arguments have the names that strace gives them."""

from __future__ import annotations

from typing import Tuple

import pytest

from wxtrace.model.enumerations import Abi
from wxtrace.model.syscalls.table import NUMBERS, symbolic_args


@pytest.mark.parametrize(
    "call, argument, said",
    [
        (("memfd_create", 0, 0x4 | 21 << 26), "flags", "MFD_HUGETLB|21<<MFD_HUGE_SHIFT"),
        (("memfd_create", 0, 0x4), "flags", "MFD_HUGETLB"),
        (("memfd_create", 0, 0x1 | 21 << 26), "flags", "MFD_CLOEXEC|0x54000000"),
        (("mmap", 0, 0, 0, 0x40002 | 30 << 26), "flags", "MAP_PRIVATE|MAP_HUGETLB|30<<MAP_HUGE_SHIFT"),
        (("pkey_alloc", 0, 3), "access_rights", "PKEY_DISABLE_ACCESS|PKEY_DISABLE_WRITE"),
    ],
)
def test_bits_have_names(call: Tuple[str, ...], argument: str, said: str) -> None:
    name, *args = call
    words = (*(int(arg) for arg in args), 0, 0, 0, 0, 0, 0)[:6]
    assert symbolic_args(Abi.X86_64, NUMBERS[Abi.X86_64][name], words)[argument] == said
