"""Whatever a record says of modules and filters, the rules give a cause of the table and never fail."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from stories import ANON_AT, FILE_AT, HEAP, MAPS, PAGE, RX, Told, file_line, line, vma

from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.facts import FilterCode, FilterInstalled, FiltersSeen, Host, Probe
from wxtrace.model.objects import Descriptor
from wxtrace.model.restrictions import Ancestor, Listener, ModuleState, PolicyAnswer, SelinuxState

TEXTS = st.sampled_from(["", ":::", "a:b:c", "{0}", "\x1b[2J", "/", "/docker/", "%s", "jit (enforce)", "x" * 9000])
MAYBE = st.none() | TEXTS
CODES = st.binary(max_size=48).map(bytes.hex) | st.sampled_from(
    ["zz", "060000000000ff7f", "160000000000", "06" * 99999]
)
PERMISSIONS = st.lists(st.sampled_from(["execmem", "execheap", "execmod", "map", "read", "execute", "mmap_zero"]))
ANSWERS = st.builds(
    PolicyAnswer,
    st.sampled_from(["", "descriptor", "%#x" % ANON_AT, "%#x" % FILE_AT]),
    st.sampled_from(["process", "file", "chr_file", "memprotect"]) | TEXTS,
    TEXTS,
    PERMISSIONS,
    PERMISSIONS,
    st.booleans(),
)
SELINUX = st.builds(
    SelinuxState,
    st.none() | st.booleans(),
    MAYBE,
    st.lists(ANSWERS, max_size=4),
    st.dictionaries(st.sampled_from(["allow_execmem", "deny_execmem", "mmap_low_allowed"]), st.booleans()),
    TEXTS,
    st.booleans(),
)
MODULES = st.builds(
    ModuleState,
    MAYBE,
    MAYBE,
    MAYBE,
    st.none() | st.dictionaries(TEXTS, TEXTS, max_size=3),
    st.none() | st.booleans(),
    MAYBE,
    st.none() | st.lists(TEXTS, max_size=2),
)
SEEN = st.builds(
    FiltersSeen,
    st.just(100),
    st.none() | st.lists(st.integers(0, 3), max_size=4),
    TEXTS,
    st.lists(st.builds(Ancestor, st.integers(0, 9), TEXTS, st.none() | st.integers(0, 3)), max_size=3),
    MAYBE,
    st.lists(st.builds(Listener, st.integers(0, 9), TEXTS), max_size=2),
)
HOSTS = st.builds(
    Host,
    st.sampled_from(["6.6.1", "", "9" * 5000 + ".1"]),
    st.just("x86_64"),
    st.just(PAGE),
    st.lists(st.sampled_from(["selinux", "apparmor", "bpf", "ima", "ipe", "smack", "yama", ""]), unique=True),
    st.none() | st.booleans(),
    seccomp_filters=st.integers(0, 2),
    inherited_answers=st.dictionaries(st.sampled_from(["mprotect 0x5", "mmap 0x5"]), TEXTS | st.just("EPERM")),
    lsm_known=st.booleans(),
)
CALLS = st.sampled_from(
    [
        ("mprotect", ANON_AT, PAGE, RX, 0, 0, 0),
        ("mprotect", FILE_AT, PAGE, RX, 0, 0, 0),
        ("mprotect", HEAP, PAGE, RX, 0, 0, 0),
        ("mmap", 0, PAGE, 7, 0x22, 0, 0),
        ("mmap", 0x1000, PAGE, RX, 0x12, 3, 0),
        ("shmat", 1, 0, 0o100000, 0, 0, 0),
        ("personality", 0x400000, 0, 0, 0, 0, 0),
    ]
)
VMAS = st.sampled_from([vma(MAPS[1]), vma(file_line(FILE_AT), anonymous=PAGE), vma(line(HEAP, 4, "rw-p", "[heap]"))])


@settings(max_examples=60)
@given(
    host=HOSTS,
    programs=st.lists(CODES, max_size=3),
    seen=SEEN,
    call=CALLS,
    errno=st.sampled_from([1, 13, 18, 38]),
    decided=st.integers(0, 2),
    probe=st.builds(
        Probe,
        st.just(100),
        TEXTS,
        vmas=st.lists(VMAS, max_size=3),
        status=st.dictionaries(st.sampled_from(["Seccomp", "Seccomp_filters"]), st.sampled_from(["0", "2", "x"])),
        descriptor=st.none() | st.builds(Descriptor, TEXTS, st.none(), st.just("regular file")),
        mdwe=st.none() | st.integers(0, 3),
        lsm_label=MAYBE,
        personality=st.none() | st.just(0x400000),
        start_brk=st.just(HEAP),
        brk=st.none() | st.just(HEAP + PAGE),
        selinux=st.none() | SELINUX,
        modules=st.none() | MODULES,
        cgroup=MAYBE,
    ),
)
def test_any_record_has_a_cause(
    host: Any, programs: Any, seen: Any, call: Any, errno: int, decided: int, probe: Any
) -> None:
    told = Told(host)
    for id, code in enumerate(programs, 1):
        told.feed(FilterCode(id, code), FilterInstalled(100, id))
        told.call("seccomp", 1, 8, 0x1000, result=3)
    told.feed(seen)
    name, *args = call
    told.call(name, *args, result=-errno, decided=decided, probe=probe)
    diagnosis = told.last.diagnosis
    assert diagnosis is not None
    assert diagnosis.cause in CAUSES and diagnosis.summary
