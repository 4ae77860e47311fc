"""Causes in a limit: of the process, of the machine, of memory itself. The numbers are the evidence."""

from __future__ import annotations

from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno

__all__ = ["LIMITS"]

_NUMBERS = (Need.ANSWERED, Need.LIMITS, Need.USE)

LIMITS = (
    Cause(
        "limit.address-space",
        "kernel",
        "The address space would become larger than RLIMIT_AS (ulimit -v); reserved memory counts as well.",
        {
            "mmap": (Errno.ENOMEM,),
            "mremap": (Errno.ENOMEM,),
            "shmat": (Errno.ENOMEM,),
            "io_setup": (Errno.ENOMEM,),
            "brk": (Errno.NONE,),
        },
        _NUMBERS,
        "the process may map {limit} (RLIMIT_AS): {used} are mapped, and {more} more were asked",
        (
            admin("Raise the limit (LimitAS= in the unit, ulimit -v in the shell).", "ulimit -v unlimited"),
            developer("Reserve less address space at once."),
        ),
        "mm/mmap.c:may_expand_vm",
        example="rlimit_as",
    ),
    Cause(
        "limit.data",
        "kernel",
        "Private writable memory would exceed RLIMIT_DATA (ulimit -d); making memory writable counts as well.",
        {
            "mmap": (Errno.ENOMEM,),
            "mprotect": (Errno.ENOMEM,),
            "pkey_mprotect": (Errno.ENOMEM,),
            "mremap": (Errno.ENOMEM,),
            "brk": (Errno.NONE,),
        },
        _NUMBERS,
        "the process may have {limit} of private writable memory (RLIMIT_DATA): it has {used}, and wants {more} more",
        (
            admin("Raise the limit (LimitDATA= in the unit, ulimit -d in the shell).", "ulimit -d unlimited"),
            developer("Reserve memory PROT_NONE and make it writable only as it is used."),
        ),
        "mm/mmap.c:may_expand_vm, SYSCALL_DEFINE1(brk)",
        example="rlimit_data_mprotect",
    ),
    Cause(
        "limit.memlock",
        "kernel",
        "Memory is to be locked in RAM (MAP_LOCKED, mlockall, memfd_secret) beyond RLIMIT_MEMLOCK (ulimit -l).",
        {
            "mmap": (Errno.EAGAIN, Errno.EPERM),
            "mremap": (Errno.EAGAIN,),
            "shmat": (Errno.EAGAIN,),
            "io_setup": (Errno.EAGAIN,),
            "brk": (Errno.NONE,),
        },
        _NUMBERS,
        "the process may lock {limit} in RAM (RLIMIT_MEMLOCK): {used} are locked, and {more} more were asked",
        (
            admin("Raise the limit (LimitMEMLOCK= in the unit, ulimit -l in the shell).", "ulimit -l unlimited"),
            developer("Lock only the memory that must not be swapped out."),
        ),
        "mm/mmap.c:mlock_future_ok, can_do_mlock",
        {
            "none": Case("the process may not lock any memory in RAM: RLIMIT_MEMLOCK is 0, and it lacks CAP_IPC_LOCK"),
        },
    ),
    Cause(
        "limit.map-count",
        "kernel",
        "The process has as many mappings as vm.max_map_count allows; cutting one in two also needs another.",
        {
            "mmap": (Errno.ENOMEM,),
            "mprotect": (Errno.ENOMEM,),
            "pkey_mprotect": (Errno.ENOMEM,),
            "munmap": (Errno.ENOMEM,),
            "mremap": (Errno.ENOMEM,),
            "mseal": (Errno.ENOMEM,),
            "shmat": (Errno.ENOMEM,),
            "remap_file_pages": (Errno.ENOMEM,),
            "madvise": (Errno.EAGAIN, Errno.ENOMEM),
            "brk": (Errno.NONE,),
        },
        (Need.ANSWERED, Need.MAP_COUNT, Need.SYSCTL),
        "the process has as many mappings as vm.max_map_count ({limit}) allows, and this call {verb}",
        (
            developer("Change neighbouring pages together, so that mappings stay joined."),
            admin("Raise the limit.", "sysctl -w vm.max_map_count={enough}"),
        ),
        "mm/mmap.c:do_mmap, mm/vma.c:__split_vma",
        example="map_count",
    ),
    Cause(
        "limit.overcommit",
        "kernel",
        "The kernel does not promise this much memory (vm.overcommit_memory).",
        {
            "mmap": (Errno.ENOMEM,),
            "mprotect": (Errno.ENOMEM,),
            "pkey_mprotect": (Errno.ENOMEM,),
            "mremap": (Errno.ENOMEM,),
            "shmat": (Errno.ENOMEM,),
            "fork": (Errno.ENOMEM,),
            "clone": (Errno.ENOMEM,),
            "clone3": (Errno.ENOMEM,),
            "brk": (Errno.NONE,),
        },
        (Need.ANSWERED, Need.MEMORY, Need.SYSCTL),
        "the kernel does not promise this much memory (vm.overcommit_memory={mode}): {more} were asked, and {room}",
        (
            developer("Reserve with PROT_NONE or MAP_NORESERVE, and make pages writable as they are used."),
            admin("Allow overcommitment.", "sysctl -w vm.overcommit_memory=1"),
        ),
        "mm/util.c:__vm_enough_memory",
        {
            "strict": Case(
                "",
                (
                    developer("Make less memory writable: in this mode all of it counts, MAP_NORESERVE or not."),
                    admin("Promise more than RAM and swap, or raise the share.", "sysctl -w vm.overcommit_ratio=80"),
                ),
            )
        },
    ),
    Cause(
        "limit.hugepages",
        "kernel",
        "Huge pages were asked (MAP_HUGETLB), and not enough of them are set aside.",
        {"mmap": (Errno.ENOMEM,), "shmat": (Errno.ENOMEM,), "mremap": (Errno.ENOMEM,)},
        (Need.ANSWERED, Need.MEMORY),
        "no huge pages are set aside on this machine",
        (
            developer("Fall back to ordinary pages."),
            admin("Set huge pages aside.", "sysctl -w vm.nr_hugepages={enough}"),
        ),
        "mm/hugetlb.c:hugetlb_reserve_pages",
        {"few": Case("{more} of huge pages were asked, and {free} are free on this machine")},
    ),
    Cause(
        "limit.fds",
        "kernel",
        "The process has as many descriptors open as RLIMIT_NOFILE (ulimit -n) allows, or the machine has.",
        {
            "memfd_create": (Errno.EMFILE, Errno.ENFILE),
            "memfd_secret": (Errno.EMFILE, Errno.ENFILE),
            "seccomp": (Errno.EMFILE,),
        },
        (Need.ANSWERED, Need.LIMITS, Need.OPEN_FILES),
        "the process may have {limit} descriptors (RLIMIT_NOFILE): {count} are open, and the call needs another",
        (
            developer("Close what is not needed any more."),
            admin("Raise the limit (LimitNOFILE= in the unit, ulimit -n in the shell).", "ulimit -n {enough}"),
        ),
        "fs/file.c:alloc_fd",
        {
            "machine": Case(
                "the machine has as many files open as fs.file-max allows",
                (admin("Raise the limit.", "sysctl -w fs.file-max={enough}"),),
            )
        },
    ),
)
