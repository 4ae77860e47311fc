"""Causes from hand-written facts: every one that needs no policy, and those this machine's kernel cannot show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import pytest
from stories import ANON, ANON_AT, FILE_AT, HEAP, MAPS, PAGE, RW, RWX, RX, Told, cause_of, file_line, line, vma

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.catalogue import CAUSES
from wxtrace.model.enumerations import Abi, Errno
from wxtrace.model.event import Diagnosis, Event
from wxtrace.model.facts import BY_KERNEL, Call, Host, Probe
from wxtrace.model.objects import Descriptor, MountFact, Segment
from wxtrace.model.syscalls.table import NUMBERS

HOST = Host("6.18.4", "x86_64", PAGE, mdwe=0)
NO_FD = (1 << 64) - 1
R, FIXED, PRIVATE, SHARED, VALIDATE = 1, f.MAP_FIXED, 2, 1, 3
UNLIMITED = {"Max address space": None, "Max data size": None, "Max locked memory": None, "Max open files": None}
BARE = Probe(
    100,
    vmas=[vma(mapped) for mapped in MAPS],
    status={"Seccomp": "0", "VmSize": "100 kB", "VmData": "50 kB", "VmLck": "0 kB", "CapEff": "0", "Uid": "1 1 1 1"},
    limits=UNLIMITED,
    sysctl={"vm.mmap_min_addr": "65536", "vm.max_map_count": "65530", "vm.overcommit_memory": "0"},
    meminfo={"MemTotal": 8 << 30, "SwapTotal": 0, "CommitLimit": 4 << 30, "Committed_AS": 1 << 30},
    map_count=20,
    start_brk=HEAP,
    brk=HEAP + 4 * PAGE,
    cpu_features=[],
    largest_gap=1 << 46,
    largest_low_gap=1 << 30,
    same_namespaces=True,
)
ERRNOS = {"EPERM": 1, "EAGAIN": 11, "ENOMEM": 12, "EACCES": 13, "EFAULT": 14, "EEXIST": 17, "ENODEV": 19, "EINVAL": 22}
ERRNOS |= {"ENFILE": 23, "EMFILE": 24, "ETXTBSY": 26, "ENOSPC": 28, "ERANGE": 34, "ENOSYS": 38, "EOVERFLOW": 75}
ERRNOS |= {"EBADF": 9, "EOPNOTSUPP": 95, "EIO": 5, "EINTR": 4, "EIDRM": 43, "ENOTSUPP": 524}


def told(call: Tuple[object, ...], errno: str, probe: Probe = BARE, host: Host = HOST) -> Event:
    """How this failed call is told."""
    replay = Told(host)
    name, *args = call
    result = -ERRNOS[errno] if errno else probe.brk or 0
    replay.call(str(name), *[int(str(arg)) for arg in args], result=result, probe=probe)
    return replay.last


def diagnosis_of(call: Tuple[object, ...], errno: str, probe: Probe = BARE, host: Host = HOST) -> Diagnosis:
    diagnosis = told(call, errno, probe, host).diagnosis
    assert diagnosis is not None
    return diagnosis


def opened(link: str, flags: int = 0, kind: str = "regular file", **more: object) -> Probe:
    return replace(BARE, descriptor=Descriptor(link, flags, kind, **more))  # type: ignore[arg-type]


def over(*vmas: object, **more: object) -> Probe:
    return replace(BARE, vmas=list(vmas), **more)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Record:
    cause: str
    call: Tuple[object, ...]
    errno: str
    probe: Probe = BARE
    host: Host = HOST
    sure: str = "proved"
    says: str = ""


NOEXEC = MountFact("/srv/data dir", "rw,noexec", "ext4", "rw")
PROC = MountFact("/proc", "rw", "proc", "rw")
ANON_MAP = ("mmap", 0, PAGE, RW, ANON, NO_FD, 0)
OLD, OLDER = replace(HOST, kernel="6.1.0"), replace(HOST, kernel="6.4.0")
FIRST = MAPS[1]
NEW = 0x7F2000000000
STRICT = {"vm.overcommit_memory": "2"}
FULL = {"MemTotal": 8 << 30, "CommitLimit": 1 << 30, "Committed_AS": 1 << 30}
SHADOWED = replace(BARE, cpu_features=["user_shstk"])
SEGMENT = line(ANON_AT, 2, "rw-s", "/SYSV00000000 (deleted)", 7, "00:01")
RECORDS = [
    Record("fd.write-mode", ("mmap", 0, PAGE, RW, SHARED, 3, 0), "EACCES", opened("/srv/a", 0)),
    Record("fd.read-mode", ("mmap", 0, PAGE, R, PRIVATE, 3, 0), "EACCES", opened("/srv/a", 1)),
    Record("fd.append-only", ("mmap", 0, PAGE, R, SHARED, 3, 0), "EACCES", opened("/srv/a", 2, append_only=True)),
    Record("fd.bad", ("mmap", 0, PAGE, R, PRIVATE, 3, 0), "EBADF", opened("")),
    Record("fd.not-mappable", ("mmap", 0, PAGE, R, PRIVATE, 3, 0), "ENODEV", opened("pipe:[1]", 0, "pipe")),
    Record("fd.offset-overflow", ("mmap", 0, PAGE, R, PRIVATE, 3, (1 << 63) - PAGE), "EOVERFLOW", opened("/srv/a")),
    Record("fd.no-dax", ("mmap", 0, PAGE, R, VALIDATE | f.MAP_SYNC, 3, 0), "EOPNOTSUPP", opened("/srv/a", 2)),
    Record("fd.driver", ("mmap", 0, PAGE, R, SHARED, 3, 0), "EIO", opened("/dev/x", 2, "character device")),
    Record(
        "fd.driver",
        ("mmap", 0, PAGE, R, SHARED, 3, 0),
        "EINVAL",
        opened("/dev/x", 2, "character device"),
    ),
    Record("fd.swap-file", ("mmap", 0, PAGE, RW, SHARED, 3, 0), "ETXTBSY", opened("/swap", 2)),
    Record("mount.noexec", ("mmap", 0, PAGE, RX, PRIVATE, 3, 0), "EPERM", opened("/srv/data dir/a", mount=NOEXEC)),
    Record(
        "mount.noexec",
        ("mprotect", FILE_AT, PAGE, RX),
        "EACCES",
        over(vma(file_line(FILE_AT, 2), "rd", "mr", "mw"), mounts={"08:01": NOEXEC}),
    ),
    Record(
        "mount.noexec",
        ("mprotect", FILE_AT, PAGE, RX),
        "EACCES",
        over(vma(file_line(FILE_AT, 2), "rd", "mr", "mw")),
        says="from a file on a noexec mount",
    ),
    Record("superblock.noexec", ("mmap", 0, PAGE, RX, SHARED, 3, 0), "EPERM", opened("/proc/1/x", mount=PROC)),
    Record("superblock.noexec", ("mmap", 0, PAGE, RX, SHARED, 3, 0), "EPERM", opened("anon_inode:[perf_event]")),
    Record(
        "superblock.noexec",
        ("mmap", 0, PAGE, RX, SHARED, 3, 0),
        "EPERM",
        opened("anon_inode:[perf_event]"),
        OLD,
        "consistent",
    ),
    Record("memfd.write-seal", ("mmap", 0, PAGE, RW, SHARED, 3, 0), "EPERM", opened("/memfd:x", 2, seals=8)),
    Record("memfd.write-seal", ("mmap", 0, PAGE, R, SHARED, 3, 0), "EPERM", opened("/memfd:x", 2, seals=8), OLD),
    Record(
        "memfd.noexec-sysctl",
        ("memfd_create", 0x10000, f.MFD_EXEC),
        "EACCES",
        replace(BARE, sysctl={"vm.memfd_noexec": "2"}),
    ),
    Record(
        "memfd.noexec-sysctl",
        ("memfd_create", 0x10000, 0),
        "EACCES",
        replace(BARE, sysctl={"vm.memfd_noexec": "2"}),
        OLDER,
    ),
    Record("memfd.flags", ("memfd_create", 0x10000, 0x400), "EINVAL"),
    Record("memfd.flags", ("memfd_create", 0x10000, f.MFD_EXEC), "EINVAL", host=OLD, says="6.1.0"),
    Record("memfd.flags", ("memfd_create", 0x10000, 1), "EINVAL", says="249 bytes"),
    Record("mdwe", ("mprotect", ANON_AT, PAGE, RX), "EACCES", replace(BARE, mdwe=1)),
    Record("mdwe", ("mmap", 0, PAGE, RWX, ANON, NO_FD, 0), "EACCES", replace(BARE, mdwe=1)),
    Record("mseal", ("munmap", ANON_AT, PAGE), "EPERM", over(vma(FIRST, "rd", "wr", "sl"))),
    Record("mseal", ("shmdt", ANON_AT), "", over(vma(SEGMENT, "rd", "wr", "sh", "sl"), brk=None), says="success"),
    Record("mseal", ("brk", HEAP + PAGE), "", over(vma(MAPS[0], "rd", "wr", "sl")), says="cannot shrink"),
    Record("pkey", ("pkey_mprotect", ANON_AT, PAGE, R, 7), "EINVAL"),
    Record("pkey", ("pkey_alloc", 0, 0), "ENOSPC", replace(BARE, cpu_features=["ospke"]), says="in use"),
    Record("pkey", ("pkey_alloc", 0, 0), "ENOSPC", says="no protection keys"),
    Record("hugetlb", ("munmap", ANON_AT, PAGE), "EINVAL", over(vma(FIRST, "rd", "wr", "ht"))),
    Record("hugetlb", ("mmap", 0, PAGE, RW, ANON | f.MAP_HUGETLB, NO_FD, 0), "EINVAL", replace(BARE, huge_pages={})),
    Record("secretmem", ("memfd_secret", 0), "ENOSYS"),
    Record("secretmem", ("mmap", 0, PAGE, RW, PRIVATE, 3, 0), "EINVAL", opened("/secretmem (deleted)", 2)),
    Record("shadow-stack", ("map_shadow_stack", 0, PAGE, 0), "EOPNOTSUPP"),
    Record("shadow-stack", ("map_shadow_stack", 0, PAGE, 4), "EINVAL", SHADOWED, says="flags"),
    Record("shadow-stack", ("map_shadow_stack", 0, 4, 1), "ENOSPC", SHADOWED, says="4 bytes"),
    Record("shadow-stack", ("map_shadow_stack", PAGE, PAGE, 0), "ERANGE", SHADOWED, says="4 GiB"),
    Record(
        "shadow-stack",
        ("mprotect", ANON_AT, PAGE, RX),
        "EACCES",
        over(vma(FIRST, "rd", "wr", "mr", "mw", "ss")),
        says="shadow stack",
    ),
    Record(
        "limit.address-space", ANON_MAP, "ENOMEM", replace(BARE, limits={**UNLIMITED, "Max address space": 100 << 10})
    ),
    Record("limit.data", ANON_MAP, "ENOMEM", replace(BARE, limits={**UNLIMITED, "Max data size": 50 << 10})),
    Record(
        "limit.memlock",
        ("mmap", 0, PAGE, RW, ANON | f.MAP_LOCKED, NO_FD, 0),
        "EAGAIN",
        replace(BARE, limits={**UNLIMITED, "Max locked memory": 100}),
    ),
    Record("limit.map-count", ANON_MAP, "ENOMEM", replace(BARE, map_count=65531)),
    Record("limit.map-count", ("mremap", ANON_AT, PAGE, PAGE, 3, NEW), "ENOMEM", replace(BARE, map_count=65525)),
    Record("limit.overcommit", ("mmap", 0, 9 << 30, RW, ANON, NO_FD, 0), "ENOMEM"),
    Record(
        "limit.overcommit",
        ("mmap", 0, 3 << 30, RW, ANON, NO_FD, 0),
        "ENOMEM",
        replace(BARE, sysctl={"vm.overcommit_memory": "2", "vm.admin_reserve_kbytes": "8192"}),
        sure="consistent",
    ),
    Record(
        "limit.hugepages",
        ("mmap", 0, 2 << 20, RW, ANON | f.MAP_HUGETLB, NO_FD, 0),
        "ENOMEM",
        replace(BARE, meminfo={"HugePages_Free": 0}),
    ),
    Record("limit.fds", ("memfd_create", 0, 0), "EMFILE", replace(BARE, limits={"Max open files": 4}, open_fds=4)),
    Record("limit.fds", ("memfd_create", 0, 0), "ENFILE", sure="consistent", says="the machine"),
    Record("limit.aio", ("io_setup", 1000, 0x1000), "EAGAIN", replace(BARE, sysctl={"fs.aio-max-nr": "100"})),
    Record("address.unmapped", ("mseal", ANON_AT, 8 * PAGE, 0), "ENOMEM"),
    Record("address.occupied", ("mmap", ANON_AT, PAGE, R, ANON | f.MAP_FIXED_NOREPLACE, NO_FD, 0), "EEXIST"),
    Record("address.below-minimum", ("mmap", 0, PAGE, R, ANON | FIXED, NO_FD, 0), "EPERM"),
    Record("address.no-room", ("mmap", 0, 1 << 48, R, ANON, NO_FD, 0), "ENOMEM"),
    Record("address.no-room", ("mmap", 0, PAGE, R, ANON, NO_FD, 0), "ENOMEM", replace(BARE, largest_gap=0)),
    Record(
        "address.special-mapping",
        ("mprotect", ANON_AT, PAGE, RW),
        "EACCES",
        over(vma(line(ANON_AT, 2, "r--p", "[vvar]"), "rd", "mr")),
    ),
    Record("address.brk-collision", ("brk", HEAP + 6 * PAGE), "", over(vma(MAPS[0]), vma(line(HEAP + 5 * PAGE)))),
    Record("argument.alignment", ("munmap", ANON_AT + 1, PAGE), "EINVAL"),
    Record("argument.length", ("munmap", ANON_AT, 0), "EINVAL"),
    Record(
        "argument.length",
        ("mremap", ANON_AT, 6 * PAGE, 6 * PAGE, 3, NEW),
        "EFAULT",
        over(vma(FIRST), vma(line(ANON_AT + 4 * PAGE, 2))),
        OLD,
        says="one at a time",
    ),
    Record("limit.overcommit", ("fork",), "ENOMEM", replace(BARE, sysctl=STRICT, meminfo=FULL), sure="consistent"),
    Record("argument.flags", ("mseal", ANON_AT, PAGE, 1), "EINVAL"),
    Record("argument.flags", ("prctl", f.PR_SET_MDWE, 1, 0, 0, 0), "EINVAL", host=OLD, says="6.3"),
    Record("argument.prot", ("mprotect", ANON_AT, PAGE, 0x40), "EINVAL"),
    Record("argument.growsdown", ("mprotect", ANON_AT, PAGE, RW | f.GROWSDOWN), "EINVAL"),
    Record("argument.advice", ("madvise", ANON_AT, PAGE, 999), "EINVAL"),
    Record("argument.advice", ("madvise", ANON_AT, PAGE, 102), "EINVAL", host=OLD, says="Linux 6.13"),
    Record("argument.advice", ("madvise", ANON_AT, PAGE, 100), "EPERM", says="CAP_SYS_ADMIN"),
    Record("argument.pointer", ("memfd_create", 0, 0), "EFAULT"),
    Record("argument.shm", ("shmat", 5, 0, 0), "EINVAL"),
    Record("argument.shm", ("shmat", 5, 0, 0), "EIDRM", says="no such"),
    Record(
        "argument.shm",
        ("shmat", 5, 0, f.SHM_RDONLY),
        "EIDRM",
        replace(BARE, segment=Segment(0o666, 1, 1, True)),
        says="being removed",
    ),
    Record(
        "argument.shm",
        ("shmat", 5, 0, f.SHM_EXEC),
        "EACCES",
        replace(BARE, segment=Segment(0o666, 1, 1, False)),
        says="mode 666",
    ),
    Record("kernel.no-call", ("mseal", ANON_AT, PAGE, 0), "ENOSYS", host=OLD, says="came with Linux 6.10"),
    Record("secretmem", ("memfd_secret", 0), "ENOSYS", host=replace(HOST, kernel="5.13.1"), says="Linux 5.14"),
    Record("unknown", ("munmap", ANON_AT, PAGE), "EINTR", sure="possible", says="fatal signal"),
]


@pytest.mark.parametrize(
    "record", RECORDS, ids=lambda record: "%s-%s-%s" % (record.cause, record.call[0], record.errno)
)
def test_cause(record: Record) -> None:
    diagnosis = diagnosis_of(record.call, record.errno, record.probe, record.host)
    assert (diagnosis.cause, diagnosis.confidence) == (record.cause, record.sure)
    assert record.says in diagnosis.summary
    assert "…" not in diagnosis.summary + "".join(fix.command or "" for fix in diagnosis.fixes)


@pytest.mark.parametrize(
    "record", RECORDS, ids=lambda record: "%s-%s-%s" % (record.cause, record.call[0], record.errno)
)
def test_the_table_lists_the_call_and_its_errno(record: Record) -> None:
    assert CAUSES[record.cause].promises(str(record.call[0]), Errno[record.errno or "NONE"])


@pytest.mark.parametrize(
    "record", RECORDS, ids=lambda record: "%s-%s-%s" % (record.cause, record.call[0], record.errno)
)
def test_nothing_is_proved_where_a_filter_could_have_answered(record: Record) -> None:
    replay = Told(record.host)
    name, *args = record.call
    result = -ERRNOS[record.errno] if record.errno else record.probe.brk or 0
    probe = replace(record.probe, status={**record.probe.status, "Seccomp": "2"})
    replay.call(str(name), *[int(str(arg)) for arg in args], result=result, probe=probe, decided=0)
    assert replay.last.diagnosis is not None
    assert replay.last.diagnosis.confidence != "proved"


# What is not sure is not proved


def test_a_setting_of_another_namespace_is_no_proof() -> None:
    probe = replace(BARE, sysctl={"vm.memfd_noexec": "0"}, same_namespaces=False)
    diagnosis = diagnosis_of(("memfd_create", 0x10000, f.MFD_EXEC), "EACCES", probe)
    assert (diagnosis.cause, diagnosis.confidence) == ("memfd.noexec-sysctl", "consistent")


def test_a_security_module_that_is_asked_first_takes_the_proof_away() -> None:
    host = replace(HOST, lsm=["capability", "apparmor"])
    diagnosis = diagnosis_of(("mmap", 0, PAGE, RW, SHARED, 3, 0), "EACCES", opened("/srv/a", 0), host)
    assert (diagnosis.cause, diagnosis.confidence) == ("fd.write-mode", "consistent")


def test_at_mprotect_what_memory_may_become_is_asked_before_security_modules() -> None:
    host = replace(HOST, lsm=["capability", "apparmor"], selinux_enforcing=True)
    probe = over(vma(file_line(FILE_AT, 2), "rd", "mr", "mw"), mounts={"08:01": NOEXEC})
    diagnosis = diagnosis_of(("mprotect", FILE_AT, PAGE, RX), "EACCES", probe, host)
    assert (diagnosis.cause, diagnosis.confidence) == ("mount.noexec", "proved")


def test_at_mmap_the_errno_tells_selinux_from_a_noexec_mount() -> None:
    host = replace(HOST, selinux_enforcing=True)
    probe = opened("/srv/data dir/a", mount=NOEXEC)
    call = ("mmap", 0, PAGE, RX, PRIVATE, 3, 0)
    assert diagnosis_of(call, "EPERM", probe, host).cause == "mount.noexec"
    assert diagnosis_of(call, "EACCES", probe, host).cause.startswith("selinux.")


def test_a_mount_point_is_quoted_for_the_shell_and_dropped_where_it_cannot_be() -> None:
    call = ("mmap", 0, PAGE, RX, PRIVATE, 3, 0)
    strange = replace(NOEXEC, point="/srv/a\x1b[2J")
    commands = [
        [fix.command for fix in diagnosis_of(call, "EPERM", opened("/x", mount=mount)).fixes]
        for mount in (NOEXEC, strange)
    ]
    assert commands == [[None, "mount -o remount,exec '/srv/data dir'"], [None, None]]


def test_words_of_the_target_are_not_read_as_templates() -> None:
    diagnosis = diagnosis_of(("mmap", 0, PAGE, RX, SHARED, 3, 0), "EPERM", opened("/proc/{errno}", mount=PROC))
    assert "/proc/{errno}" in diagnosis.summary


def test_sealed_in_part() -> None:
    """The first mapping was sealed before the second could not be split."""
    probe = over(vma(FIRST, "rd", "wr", "sl"), vma(line(ANON_AT + 4 * PAGE, 4)), map_count=65531)
    event = told(("mseal", ANON_AT, 6 * PAGE, 0), "ENOMEM", probe)
    assert event.diagnosis is not None and event.diagnosis.partial is not None
    assert (event.diagnosis.cause, event.diagnosis.partial.changed_pages) == ("limit.map-count", 4)
    assert [part.sealed_by for part in event.touched] == [event.n]


def test_only_what_is_not_writable_yet_counts_towards_the_data_limit() -> None:
    """Two pages of four are writable already: the limit leaves room for the other two, so it was not the limit."""
    writable, read_only = line(ANON_AT, 2), line(ANON_AT + 2 * PAGE, 3, "r--p")
    limits = {"Max data size": 50 * 1024 + 2 * PAGE}
    full = replace(BARE, vmas=[vma(writable), vma(read_only)], limits=limits, map_count=65531)

    def cause(probe: Probe) -> str:
        replay = Told(HOST, [writable, read_only])
        replay.call("mprotect", ANON_AT, 4 * PAGE, RW, result=-ERRNOS["ENOMEM"], probe=probe)
        return cause_of(replay.last)[0]

    assert cause(full) == "limit.map-count"
    assert cause(replace(full, limits={**UNLIMITED, "Max data size": 50 * 1024 + PAGE})) == "limit.data"


def test_who_sealed_memory_that_no_call_sealed() -> None:
    own = over(vma(line(ANON_AT, 2, "r-xp", "[vdso]"), "rd", "ex", "sl"))
    found = over(vma(FIRST, "rd", "sl"))
    call = ("munmap", ANON_AT, PAGE)
    said = [" ".join(e.fact for e in diagnosis_of(call, "EPERM", probe).evidence) for probe in (own, found)]
    assert "the kernel seals its own mappings" in said[0]
    assert "sealed before wxtrace came" in said[1]


def test_an_old_mmap_without_arguments_touches_nothing() -> None:
    replay = Told(HOST)
    call = Call(100, 10, Abi.I386, NUMBERS[Abi.I386]["mmap"], (1, 0, 0, 0, 0, 0), -14, BY_KERNEL)
    replay.feed(BARE, call)
    assert replay.last.diagnosis is not None
    told = (replay.last.diagnosis.cause, replay.last.diagnosis.confidence, replay.last.outcome, replay.last.touched)
    assert told == ("argument.pointer", "proved", "failed", [])
