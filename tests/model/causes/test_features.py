"""Protection keys, huge pages, secret memory and shadow stacks: what the machine has, and what a call asks of it."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest
from asking import AT, LETS_THROUGH, PAGE, PROBE, answer, asked

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes import hugetlb, pkey, secretmem, shadow_stack
from wxtrace.model.causes.argument import creation
from wxtrace.model.facts import Probe
from wxtrace.model.objects import Descriptor, MountFact

R, RW = 1, 3


def cpu(*features: str) -> Probe:
    return replace(PROBE, cpu_features=list(features))


UNKNOWN_CPU, NO_KEYS, KEYS = PROBE, cpu(), cpu("ospke")
EINVAL, NOT_HERE = "EINVAL pkey", "EINVAL pkey:no-support"


def with_key(key: int) -> Tuple[Any, ...]:
    return ("pkey_mprotect", AT, PAGE, R, key)


@pytest.mark.parametrize(
    "call, probe, said",
    [
        (with_key(-1), NO_KEYS, LETS_THROUGH),
        (with_key(0), NO_KEYS, NOT_HERE),
        (with_key(0), KEYS, "? " + EINVAL),
        (with_key(15), KEYS, "? " + EINVAL),
        (with_key(16), KEYS, EINVAL),
        (with_key(-2), KEYS, EINVAL),
        (with_key(7), UNKNOWN_CPU, "? " + EINVAL),
        (("pkey_mprotect", AT, 0, R, 7), NO_KEYS, LETS_THROUGH),
        (("mprotect", AT, PAGE, R), NO_KEYS, LETS_THROUGH),
        (("pkey_free", -1), KEYS, EINVAL),
        (("pkey_free", 3), KEYS, "? " + EINVAL),
        (("pkey_free", 3), NO_KEYS, NOT_HERE),
    ],
)
def test_a_key_has_to_be_allocated(call: Tuple[Any, ...], probe: Probe, said: str) -> None:
    assert asked(pkey.allocated, call, probe) == said


@pytest.mark.parametrize(
    "probe, said, by_exclusion",
    [
        (KEYS, "? ENOSPC pkey:none-left", True),
        (NO_KEYS, "ENOSPC/EINVAL pkey:no-support", False),
        (UNKNOWN_CPU, "? ENOSPC/EINVAL pkey:none-left", False),
    ],
)
def test_a_key_to_be_had(probe: Probe, said: str, by_exclusion: bool) -> None:
    assert asked(pkey.alloc, ("pkey_alloc", 0, 0), probe) == said
    assert answer(pkey.alloc, ("pkey_alloc", 0, 0), probe).by_exclusion is by_exclusion


@pytest.mark.parametrize("call", [("pkey_alloc", 0, 0), ("pkey_free", 1), with_key(1)])
def test_a_kernel_may_be_built_without_keys(call: Tuple[Any, ...]) -> None:
    assert asked(pkey.built_in, call, KEYS) == LETS_THROUGH
    assert asked(pkey.built_in, call, NO_KEYS) == "? ENOSYS pkey:no-support"
    assert answer(pkey.built_in, call, NO_KEYS).by_exclusion
    assert not answer(pkey.built_in, call, UNKNOWN_CPU).by_exclusion


@pytest.mark.parametrize("flags, rights, fits", [(0, 3, True), (0, 4, False), (1, 0, False)])
def test_flags_and_rights_of_a_key(flags: int, rights: int, fits: bool) -> None:
    said = LETS_THROUGH if fits else "EINVAL argument.flags:rights"
    assert asked(creation.key_rights, ("pkey_alloc", flags, rights)) == said


# Huge pages

HUGE, GIANT = 2 << 20, 1 << 30
ANON = 0x22 | f.MAP_HUGETLB


def offering(*sizes: int, descriptor: Optional[Descriptor] = None) -> Probe:
    offered = {str(size): 0 for size in sizes}
    return replace(PROBE, huge_pages=offered, meminfo={"Hugepagesize": HUGE}, descriptor=descriptor)


OFFERED = offering(HUGE, GIANT)
SIZE, FILE = "EINVAL hugetlb:size", "EINVAL hugetlb:file"


@pytest.mark.parametrize(
    "flags, probe, said",
    [
        (ANON, OFFERED, LETS_THROUGH),
        (ANON | 21 << f.HUGE_SHIFT, OFFERED, LETS_THROUGH),
        (ANON | 30 << f.HUGE_SHIFT, OFFERED, LETS_THROUGH),
        (ANON | 16 << f.HUGE_SHIFT, OFFERED, SIZE),
        (ANON | 30 << f.HUGE_SHIFT, offering(HUGE), SIZE),
        (ANON, offering(), SIZE),
        (ANON, PROBE, "? EINVAL hugetlb"),
        (0x22, offering(), LETS_THROUGH),
        (1 | f.MAP_HUGETLB, offering(HUGE, descriptor=Descriptor("/srv/a")), FILE),
        (1 | f.MAP_HUGETLB, offering(HUGE, descriptor=Descriptor("/memfd:h", huge_page_size=HUGE)), LETS_THROUGH),
        (1 | f.MAP_HUGETLB, offering(HUGE, descriptor=Descriptor("/memfd:x")), "? EINVAL hugetlb"),
        (1 | f.MAP_HUGETLB, offering(HUGE), "? EINVAL hugetlb"),
    ],
)
def test_sizes_and_files_of_huge_pages(flags: int, probe: Probe, said: str) -> None:
    assert asked(hugetlb.size_or_file, ("mmap", 0, HUGE, RW, flags, 3, 0), probe) == said


@pytest.mark.parametrize(
    "flags, probe, said",
    [
        (f.MFD_HUGETLB, OFFERED, LETS_THROUGH),
        (f.MFD_HUGETLB | 16 << f.HUGE_SHIFT, OFFERED, "ENODEV hugetlb:size"),
        (0, offering(), LETS_THROUGH),
    ],
)
def test_a_memfd_of_huge_pages(flags: int, probe: Probe, said: str) -> None:
    assert asked(hugetlb.size_or_file, ("memfd_create", 0x1000, flags), probe) == said


OF_HUGE = offering(HUGE, descriptor=Descriptor("/memfd:h", 2, huge_page_size=HUGE))
FIXED, NOREPLACE = f.MAP_FIXED, f.MAP_FIXED_NOREPLACE
ALIGNED = AT


@pytest.mark.parametrize(
    "address, flags, probe, said",
    [
        (ALIGNED, ANON | FIXED, OFFERED, LETS_THROUGH),
        (ALIGNED + PAGE, ANON | FIXED, OFFERED, "EINVAL hugetlb:alignment"),
        (ALIGNED + PAGE, ANON | NOREPLACE, OFFERED, "EINVAL hugetlb:alignment"),
        (ALIGNED + PAGE, ANON, OFFERED, LETS_THROUGH),
        (ALIGNED + HUGE, ANON | FIXED | 30 << f.HUGE_SHIFT, OFFERED, "EINVAL hugetlb:alignment"),
        (ALIGNED + PAGE, 0x22 | FIXED, OFFERED, LETS_THROUGH),
        (ALIGNED + PAGE, 1 | FIXED, OF_HUGE, "EINVAL hugetlb:alignment"),
    ],
)
def test_a_fixed_address_of_huge_pages(address: int, flags: int, probe: Probe, said: str) -> None:
    assert asked(hugetlb.alignment, ("mmap", address, HUGE, RW, flags, 3, 0), probe) == said


@pytest.mark.parametrize(
    "offset, probe, said",
    [
        (HUGE, OF_HUGE, LETS_THROUGH),
        (HUGE + PAGE, OF_HUGE, "EINVAL hugetlb:offset"),
        (PAGE, offering(HUGE, descriptor=Descriptor("/srv/a")), LETS_THROUGH),
        (PAGE, OFFERED, LETS_THROUGH),
    ],
)
def test_the_offset_in_a_file_of_huge_pages(offset: int, probe: Probe, said: str) -> None:
    assert asked(hugetlb.offset, ("mmap", 0, HUGE, RW, 1, 3, offset), probe) == said


# Secret memory


@pytest.mark.parametrize(
    "flags, descriptor, said",
    [
        (2, Descriptor("/secretmem (deleted)"), "EINVAL secretmem"),
        (1, Descriptor("/secretmem (deleted)"), LETS_THROUGH),
        (2, Descriptor("/srv/a", mount=MountFact("/", "rw", "ext4", "rw")), LETS_THROUGH),
        (2, None, "? EINVAL secretmem"),
        (0x22, Descriptor("/secretmem (deleted)"), LETS_THROUGH),
    ],
)
def test_secret_memory_is_shared(flags: int, descriptor: Optional[Descriptor], said: str) -> None:
    probe = replace(PROBE, descriptor=descriptor)
    assert asked(secretmem.private_mapping, ("mmap", 0, PAGE, RW, flags, 3, 0), probe) == said


def test_secret_memory_may_be_switched_off() -> None:
    given = answer(secretmem.switched_off, ("memfd_secret", 0))
    assert given.by_exclusion and given.case == "off"


@pytest.mark.parametrize("flags, fits", [(0, True), (0o2000000, True), (1, False)])
def test_flags_of_secret_memory(flags: int, fits: bool) -> None:
    said = LETS_THROUGH if fits else "EINVAL argument.flags"
    assert asked(creation.secret_flags, ("memfd_secret", flags)) == said


# Shadow stacks

GIB4 = 1 << 32


@pytest.mark.parametrize(
    "rule, size, flags, said",
    [
        (shadow_stack.unknown_flags, PAGE, 1, LETS_THROUGH),
        (shadow_stack.unknown_flags, PAGE, 2, "EINVAL shadow-stack:flags"),
        (shadow_stack.room_for_token, 8, 1, LETS_THROUGH),
        (shadow_stack.room_for_token, 7, 1, "ENOSPC shadow-stack:size"),
        (shadow_stack.room_for_token, 7, 0, LETS_THROUGH),
        (creation.stack_size, (1 << 64) - PAGE, 0, LETS_THROUGH),
        (creation.stack_size, (1 << 64) - PAGE + 1, 0, "EOVERFLOW argument.length:wraps"),
    ],
)
def test_flags_and_size_of_a_shadow_stack(rule: Any, size: int, flags: int, said: str) -> None:
    assert asked(rule, ("map_shadow_stack", 0, size, flags), cpu("user_shstk")) == said


@pytest.mark.parametrize("address, low", [(0, False), (1, True), (GIB4 - PAGE, True), (GIB4, False)])
def test_a_shadow_stack_lies_above_4_gib(address: int, low: bool) -> None:
    said = "ERANGE shadow-stack:low" if low else LETS_THROUGH
    assert asked(shadow_stack.too_low, ("map_shadow_stack", address, PAGE, 0), cpu("user_shstk")) == said


@pytest.mark.parametrize("address, said", [(GIB4, LETS_THROUGH), (GIB4 + 8, "EINVAL argument.alignment")])
def test_a_shadow_stack_starts_with_a_page(address: int, said: str) -> None:
    assert asked(creation.stack_address, ("map_shadow_stack", address, PAGE, 0)) == said


ABSENT = "EOPNOTSUPP/ENOSYS shadow-stack"


@pytest.mark.parametrize("features, said", [(["user_shstk"], LETS_THROUGH), ([], ABSENT), (None, "? " + ABSENT)])
def test_shadow_stacks_need_a_processor(features: Optional[List[str]], said: str) -> None:
    probe = replace(PROBE, cpu_features=features)
    assert asked(shadow_stack.support, ("map_shadow_stack", 0, PAGE, 0), probe) == said


@pytest.mark.parametrize(
    "code, features, said",
    [
        (0x5000, [], LETS_THROUGH),
        (0x5001, [], "? EOPNOTSUPP/ENOTSUPP/EINVAL shadow-stack"),
        (0x5005, [], "? EOPNOTSUPP/ENOTSUPP/EINVAL shadow-stack"),
        (0x5006, [], LETS_THROUGH),
        (0x5001, ["user_shstk"], "? EINVAL/EPERM shadow-stack:locked"),
        (0x5001, None, "? EOPNOTSUPP/ENOTSUPP/EINVAL shadow-stack"),
    ],
)
def test_codes_that_switch_shadow_stacks(code: int, features: Optional[List[str]], said: str) -> None:
    assert asked(shadow_stack.control, ("arch_prctl", code, 1), replace(PROBE, cpu_features=features)) == said


def test_a_kernel_without_shadow_stacks_is_told_by_exclusion() -> None:
    """It knows none of the codes, as it knows none that do not exist."""
    answers = [answer(shadow_stack.control, ("arch_prctl", 0x5001, 1), probe) for probe in (cpu(), cpu("user_shstk"))]
    assert all(given.by_exclusion for given in answers)
