"""Causes that the machine must be brought to, by root: mounts, namespaces, sysctls, which are set back afterwards."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Tuple

import pytest
from cases import ARGUMENTS, SMAPS, Case, Family, check, facts_from

if TYPE_CHECKING:
    from conftest import Trace

pytestmark = [
    pytest.mark.trace,
    pytest.mark.root,
    pytest.mark.alone,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

Program = Callable[..., Path]
NOT_HERE = 77


@contextmanager
def settings(*wanted: Tuple[str, str]) -> Iterator[None]:
    """Files of /proc/sys with these values, in this order; the former ones come back in the other order."""
    former = [(path, Path("/proc/sys", path).read_text()) for path, _ in wanted]
    try:
        for path, value in wanted:
            try:
                Path("/proc/sys", path).write_text(value)
            except OSError:
                pytest.skip("cannot set " + path)
        yield
    finally:
        for path, value in reversed(former):
            Path("/proc/sys", path).write_text(value)


def only(trace_result: Any, call: str) -> Dict[str, Any]:
    [event] = [event for event in trace_result.events(call) if event["outcome"] != "ok"]
    return event


def test_noexec_mount_of_another_mount_namespace(trace: Trace, examples: Path, tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o noexec none "$1" && cp /etc/passwd "$1" && exec "$2" "$1/passwd"'
    mount = tmp_path / "with space"
    mount.mkdir()
    run = trace("unshare", "--mount", "sh", "-c", script, "sh", mount, examples / "noexec_mount")
    for call, errno in (("mmap", "EPERM"), ("mprotect", "EACCES")):
        event = only(run, call)
        diagnosis = event["diagnosis"]
        assert (event["errno"], diagnosis["cause"], diagnosis["confidence"]) == (errno, "mount.noexec", "proved")
        assert "%s is mounted" % mount in facts_from(event, "/proc/PID/mountinfo")
        assert "noexec" in facts_from(event, "/proc/PID/mountinfo")
        assert [fix["for"] for fix in diagnosis["fixes"]] == ["developer", "administrator"]
        assert diagnosis["fixes"][1]["command"] == "mount -o remount,exec '%s'" % mount
    assert "VM_MAYEXEC is missing" in facts_from(only(run, "mprotect"), SMAPS)


def test_dev_zero_on_a_noexec_mount(trace: Trace, program: Program, tmp_path: Path) -> None:
    steps = (
        'mount -t tmpfs -o noexec,dev none "$1"',
        'mkdir "$1/dev"',
        'mknod "$1/dev/zero" c 1 5',
        'exec "$2" "$1/dev/zero"',
    )
    run = trace("unshare", "--mount", "sh", "-c", " && ".join(steps), "sh", tmp_path, program("cause_zero"))
    for call, errno in (("mmap", "EPERM"), ("mprotect", "EACCES")):
        event = only(run, call)
        diagnosis = event["diagnosis"]
        assert (event["errno"], diagnosis["cause"], diagnosis["confidence"]) == (errno, "mount.noexec", "proved")
        assert "/dev/zero" in diagnosis["summary"]
        assert "MAP_ANONYMOUS" in diagnosis["fixes"][0]["text"]


def test_memfd_that_must_not_be_executable(trace: Trace, program: Program) -> None:
    """vm.memfd_noexec belongs to the pid namespace: wxtrace runs in it, so what it reads is what holds."""
    script = 'echo 2 > /proc/sys/vm/memfd_noexec || exit 77; exec "$@"'
    inside = ("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh")
    if os.spawnlp(os.P_WAIT, "unshare", *inside, "true") != 0:
        pytest.skip("this kernel has no vm.memfd_noexec, or no namespaces")
    event = only(trace(program("cause_feature"), "memfd-executable", under=inside), "memfd_create")
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"], event["outcome"]) == ("EACCES", "memfd.noexec-sysctl", "refused")
    assert diagnosis["confidence"] == "proved"
    assert facts_from(event, "/proc/sys/vm/memfd_noexec") == "vm.memfd_noexec = 2"
    assert [fix["command"] for fix in diagnosis["fixes"]] == [None, "sysctl -w vm.memfd_noexec=0"]


def test_the_setting_of_another_pid_namespace_is_no_proof(trace: Trace, program: Program) -> None:
    script = 'echo 2 > /proc/sys/vm/memfd_noexec || exit 77; exec "$@"'
    inside = ("unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh")
    run = trace(*inside, program("cause_feature"), "memfd-executable")
    if run.status == NOT_HERE:
        pytest.skip("this kernel has no vm.memfd_noexec")
    diagnosis = only(run, "memfd_create")["diagnosis"]
    assert (diagnosis["cause"], diagnosis["confidence"]) == ("memfd.noexec-sysctl", "consistent")


HUGE = [
    Case("mprotect", "mprotect", "EINVAL", "hugetlb", SMAPS, "consists of huge pages (`ht`)", "failed"),
    Case("munmap", "munmap", "EINVAL", "hugetlb", SMAPS, "consists of huge pages (`ht`)", "failed"),
    Case("mremap", "mremap", "EINVAL", "hugetlb", SMAPS, "consists of huge pages (`ht`)", "failed"),
    Case("more-than-free", "mmap", "ENOMEM", "limit.hugepages", "/proc/meminfo", "HugePages_Free is", "probe"),
    Case("offset", "mmap", "EINVAL", "hugetlb", ARGUMENTS, "offset 0x1000", "failed"),
    Case("address", "mmap", "EINVAL", "hugetlb", ARGUMENTS, "address 0x", "failed"),
]


def test_huge_pages_are_changed_as_a_whole(family: Callable[[str], Family]) -> None:
    free = int(Path("/proc/sys/vm/nr_hugepages").read_text())
    with settings(("vm/nr_hugepages", str(free + 1))):
        taken = family("cause_huge")
    for case in HUGE:
        check(taken, case)


def test_strict_overcommit(trace: Trace, program: Program) -> None:
    """Promises up to far more than is in use, so that no other program notices."""
    ratio = Path("/proc/sys/vm/overcommit_ratio").read_text()
    promised = int(next(line for line in Path("/proc/meminfo").open() if line.startswith("Committed_AS")).split()[1])
    # Each of ratio and kilobytes sets the other one to 0, so the ratio has to come back last.
    wanted = ("vm/overcommit_ratio", ratio), ("vm/overcommit_kbytes", str(promised + (64 << 20)))
    with settings(*wanted, ("vm/overcommit_memory", "2")):
        run = trace(program("cause_limit"), "more-than-memory-later")
    event = only(run, "mprotect")
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"], diagnosis["confidence"]) == ("ENOMEM", "limit.overcommit", "proved")
    assert "vm.overcommit_memory = 2" in facts_from(event, "/proc/sys/vm/overcommit_memory")
    assert "sysctl -w vm.overcommit_ratio=80" in [fix["command"] for fix in diagnosis["fixes"]]


def test_swap_file(trace: Trace, program: Program, tmp_path: Path) -> None:
    path = tmp_path / "swap"
    run = trace(program("cause_swap"), path)
    if run.status == NOT_HERE:
        pytest.skip("this file system or machine takes no swap file")
    event = only(run, "mmap")
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"], event["outcome"]) == ("ETXTBSY", "fd.swap-file", "refused")
    assert diagnosis["confidence"] == "proved"
    assert [fix["command"] for fix in diagnosis["fixes"]] == [None, "swapoff %s" % path]


def test_mseal_at_the_map_limit_seals_in_part(trace: Trace, program: Program) -> None:
    event = only(trace(program("cause_map_count"), "mseal"), "mseal")
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"], diagnosis["confidence"]) == ("ENOMEM", "limit.map-count", "proved")
    assert diagnosis["partial"] == {"changed_pages": 2, "pages": 3}
    assert [part["sealed_by"] for part in event["touched"]] == [event["n"], None]


def test_advice_at_the_map_limit(trace: Trace, program: Program) -> None:
    event = only(trace(program("cause_map_count"), "madvise"), "madvise")
    diagnosis = event["diagnosis"]
    assert (event["errno"], diagnosis["cause"], event["outcome"]) == ("EAGAIN", "limit.map-count", "probe")
    assert diagnosis["confidence"] == "proved"
    assert "would split one of them" in diagnosis["summary"]
