"""Whatever a record holds, the rules give a cause of the table, in bounded time, and never fail."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stories import ANON_AT, FILE_AT, HEAP, PAGE, STACK, Told

from wxtrace.decoders.procmaps import MapLine, Vma
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.enumerations import Abi
from wxtrace.model.facts import Host, Probe
from wxtrace.model.objects import Descriptor, MountFact, Segment
from wxtrace.model.syscalls.table import NUMBERS as CALL_NUMBERS

NUMBERS = st.sampled_from(
    [0, 1, 3, 7, 9, 0x22, PAGE, HEAP, ANON_AT, FILE_AT, STACK, 1 << 47, (1 << 64) - 1]
) | st.integers(0, (1 << 64) - 1)
TEXTS = st.sampled_from(
    ["", "0", "2", "²", "9" * 5000, "ffffffffffffffff", "zz", "-1", "1 kB", "{0}", "\x1b[2J"]
) | st.text(max_size=12)
FLAGS = ("rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "sl", "ht", "lo", "gd", "pf", "de", "ss", "ac")
PATHS = st.sampled_from(
    ["", "[heap]", "[vdso]", "[vsyscall]", "/SYSV00000000 (deleted)", "/memfd:x", "/secretmem", "/srv/a"]
)


def texts_by(*keys: str) -> Any:
    return st.dictionaries(st.sampled_from(keys), TEXTS)


def sizes_by(*keys: str) -> Any:
    return st.dictionaries(st.sampled_from(keys), st.integers(0, (1 << 63) - 1))


LINES = st.builds(
    lambda start, pages, perms, path, inode: MapLine(start, start + pages * PAGE, perms, 0, "08:01", inode, path),
    st.sampled_from([HEAP, ANON_AT, FILE_AT, STACK]),
    st.integers(1, 8),
    st.sampled_from(["rw-p", "r-xp", "---p", "rw-s", "r--s"]),
    PATHS,
    st.sampled_from([0, 42]),
)
VMAS = st.builds(Vma, LINES, st.lists(st.sampled_from(FLAGS), max_size=12).map(tuple), NUMBERS, NUMBERS, st.just(0))
MOUNTS = st.builds(MountFact, TEXTS, st.sampled_from(["rw", "rw,noexec"]), st.sampled_from(["ext4", "proc"]), TEXTS)
DESCRIPTORS = st.builds(
    Descriptor,
    PATHS | TEXTS,
    st.none() | st.integers(0, 1 << 30),
    st.sampled_from([None, "regular file", "character device"]),
    st.none() | MOUNTS,
    st.none() | st.integers(0, 63),
    st.none() | st.booleans(),
)
PROBES = st.builds(
    Probe,
    tid=st.just(100),
    sp=NUMBERS,
    vmas=st.lists(VMAS, max_size=4),
    vmas_complete=st.booleans(),
    status=texts_by("Seccomp", "CapEff", "VmSize", "VmData", "VmLck", "Uid"),
    limits=st.dictionaries(
        st.sampled_from(["Max address space", "Max data size", "Max locked memory", "Max open files"]),
        st.none() | st.integers(0, 1 << 40),
    ),
    map_count=st.none() | st.integers(0, 70000),
    sysctl=texts_by("vm.max_map_count", "vm.overcommit_memory", "vm.mmap_min_addr", "vm.memfd_noexec", "fs.file-max"),
    meminfo=sizes_by("MemTotal", "SwapTotal", "CommitLimit", "Committed_AS", "HugePages_Free", "Hugepagesize"),
    descriptor=st.none() | DESCRIPTORS,
    mounts=st.dictionaries(st.just("08:01"), MOUNTS),
    mdwe=st.none() | st.integers(0, 3),
    start_brk=NUMBERS,
    brk=st.none() | NUMBERS,
    open_fds=st.none() | st.integers(0, 9999),
    same_namespaces=st.booleans(),
    cpu_features=st.none() | st.lists(TEXTS, max_size=3),
    largest_gap=st.none() | NUMBERS,
    huge_pages=st.none() | st.dictionaries(TEXTS, st.integers(0, 9)),
    segment=st.none() | st.builds(Segment, st.integers(0, 0o777), NUMBERS, NUMBERS, st.booleans()),
)


@settings(max_examples=200)
@given(
    name=st.sampled_from(sorted(CALL_NUMBERS[Abi.X86_64])),
    args=st.lists(NUMBERS, min_size=6, max_size=6),
    errno=st.sampled_from([1, 4, 5, 9, 11, 12, 13, 14, 17, 19, 22, 23, 24, 26, 28, 34, 38, 43, 75, 95, 524, 4000]),
    probe=PROBES,
    kernel=st.sampled_from(["6.18.4", "6.1.0", "", "x.y", "9" * 3000 + ".1"]),
    decided=st.integers(0, 1),
)
def test_any_record_has_a_cause(name: str, args: Any, errno: int, probe: Any, kernel: str, decided: int) -> None:
    told = Told(Host(kernel, "x86_64", PAGE))
    told.call(name, *args, result=-errno, probe=probe, decided=decided)
    diagnosis = told.last.diagnosis
    assert diagnosis is not None
    assert diagnosis.cause in CAUSES
    assert diagnosis.summary
