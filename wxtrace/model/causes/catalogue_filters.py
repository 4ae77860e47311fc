"""Causes in a seccomp filter, and in the tracing itself."""

from __future__ import annotations

from wxtrace.model.causes.entry import ANY_CALL, ANY_ERRNO, Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno

__all__ = ["FILTERS"]

_FIXES = {
    "": (
        admin(
            "Allow the call in the filter of whatever started the program: its service, its container, the sandbox "
            "around it."
        ),
    ),
    "own": (developer("Allow this call with these arguments in the seccomp filter that {who} installs."),),
    "unit": (
        admin(
            "Allow the call in the settings of the service {unit}.",
            "{systemctl} show {unit} -p SystemCallFilter -p MemoryDenyWriteExecute -p LockPersonality",
        ),
    ),
    "container": (
        admin("Start the container {container} with a seccomp profile that allows the call (--security-opt seccomp=)."),
    ),
    "write-execute": (
        developer("Keep writing and executing apart: two mappings of one memfd, one writable and one executable."),
        admin(
            "Set MemoryDenyWriteExecute=no for {service}: the filter refuses just what that setting refuses.",
            "{systemctl} edit {unit}",
        ),
    ),
    "lock-personality": (
        admin(
            "Set LockPersonality=no for {service}: the filter refuses just what that setting refuses.",
            "{systemctl} edit {unit}",
        ),
    ),
    "personality": (
        admin(
            "Start the container with a seccomp profile that allows personality(READ_IMPLIES_EXEC): the one that "
            "docker and podman use by themselves does not."
        ),
    ),
    "unsure": (developer("Look at the calls that follow: this one stood at the door while the filter was installed."),),
    "launched": (
        admin("Run the program outside of its service or container: refused there as well, it was not the filter."),
    ),
    "attached": (developer("Start the program under wxtrace instead of attaching: then who answered is seen."),),
}
"""By where the filter comes from, or by the setting that it is the work of."""
_DOUBTS = ("", "unsure", "launched", "attached")
_PLACES = {place: Case("", fixes) for place, fixes in _FIXES.items() if place not in _DOUBTS}
_FAKED = "a seccomp filter answered {result} in the kernel's place: reported as done, but nothing happened"
_MAYBE = "a seccomp filter may have answered {errno}: none of the kernel's own rules explains it"
_SOURCE = "kernel/seccomp.c:__seccomp_filter"

FILTERS = (
    Cause(
        "seccomp.errno",
        "seccomp filter",
        "A seccomp filter (rules on system calls that a process or its parent installed) answered in the kernel's "
        "place.",
        {ANY_CALL: ANY_ERRNO},
        (Need.STOPS,),
        "a seccomp filter answered {errno} before the kernel looked at the call",
        _FIXES[""],
        _SOURCE + " (SECCOMP_RET_ERRNO)",
        {
            **_PLACES,
            "faked": Case(_FAKED),
            **{"faked-" + place: Case(_FAKED, case.fixes) for place, case in _PLACES.items()},
            "unsure": Case(_MAYBE, _FIXES["unsure"]),
            "launched": Case(_MAYBE, _FIXES["launched"]),
            "attached": Case(_MAYBE, _FIXES["attached"]),
        },
        "filter_exec jit_anon",
    ),
    Cause(
        "seccomp.trap",
        "seccomp filter",
        "A seccomp filter sent SIGSYS instead of letting the call in; sandboxes answer it with a handler of their own.",
        {ANY_CALL: ("SIGSYS",)},
        (Need.STOPS, Need.SIGINFO),
        "a seccomp filter sent SIGSYS instead of letting the call in",
        _FIXES[""],
        _SOURCE + " (SECCOMP_RET_TRAP)",
        _PLACES,
        "filter_exec -t jit_anon",
    ),
    Cause(
        "seccomp.kill",
        "seccomp filter",
        "A seccomp filter killed the thread or the process for this call.",
        {ANY_CALL: ("SIGSYS",)},
        (Need.STOPS,),
        "a seccomp filter killed the program for this call",
        _FIXES[""],
        _SOURCE + " (SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD)",
        _PLACES,
        "filter_exec -k jit_anon",
    ),
    Cause(
        "seccomp.user-notif",
        "seccomp filter",
        "A seccomp filter handed the call to another process (a container manager, a sandbox), and that one answered.",
        {ANY_CALL: ANY_ERRNO},
        (Need.STOPS,),
        "a seccomp filter handed the call to {listener}, which answered {answer}",
        (admin("Ask whoever runs the program that listens, the container manager or sandbox, to allow the call."),),
        _SOURCE + " (SECCOMP_RET_USER_NOTIF)",
        {
            "alone": Case(
                "a seccomp filter hands this call to a process that listens, and nobody listens any more",
                (developer("Keep the process that listens running as long as the one it decides for."),),
            )
        },
        "filter_exec -n jit_anon",
    ),
    Cause(
        "tracer.interference",
        "wxtrace",
        "The call fails only because the program is being traced: a task has one tracer, and strict mode no filter.",
        {"ptrace": (Errno.EPERM,), "prctl": (Errno.EINVAL,), "seccomp": (Errno.EINVAL,)},
        (Need.HELD,),
        "it wanted {wanted}, and a task can have one tracer only: wxtrace is in the way, not the system",
        (
            developer(
                "Run debuggers, strace and crash reporters on the program without wxtrace; for LeakSanitizer set "
                "ASAN_OPTIONS=detect_leaks=0."
            ),
        ),
        "ptrace(2), kernel/ptrace.c:ptrace_attach",
        {
            "strict": Case(
                "it wanted seccomp's strict mode, which cannot follow a filter, and wxtrace's own filter is there: "
                "wxtrace is in the way, not the system",
                (developer("Attach to the program with wxtrace -p once it runs."),),
            )
        },
    ),
)
