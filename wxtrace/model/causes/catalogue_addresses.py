"""Causes in the address range itself."""

from __future__ import annotations

from wxtrace.model.causes.entry import Case, Cause, Need, developer
from wxtrace.model.enumerations import Errno

__all__ = ["ADDRESSES"]

_SMAPS = (Need.ANSWERED, Need.MAPPINGS)

ADDRESSES = (
    Cause(
        "address.unmapped",
        "kernel",
        "Nothing is mapped in a part of the range.",
        {
            "mprotect": (Errno.ENOMEM,),
            "pkey_mprotect": (Errno.ENOMEM,),
            "madvise": (Errno.ENOMEM,),
            "mseal": (Errno.ENOMEM,),
            "mremap": (Errno.EFAULT,),
            "remap_file_pages": (Errno.EINVAL,),
        },
        _SMAPS,
        "nothing is mapped at {hole}, inside the range of the call",
        (developer("Check address and length; memory may have been unmapped, or replaced by a smaller mapping."),),
        "mm/mprotect.c:do_mprotect_pkey, mm/mseal.c, mm/mremap.c, mm/madvise.c",
        {
            "advice": Case(
                "nothing is mapped at {hole}; the advice was taken for every part of the range that is mapped"
            )
        },
        "hole",
    ),
    Cause(
        "address.occupied",
        "kernel",
        "Something is mapped where the new mapping was to be, and it must not be replaced (MAP_FIXED_NOREPLACE).",
        {"mmap": (Errno.EEXIST,), "map_shadow_stack": (Errno.EEXIST,), "shmat": (Errno.EINVAL,)},
        _SMAPS,
        "MAP_FIXED_NOREPLACE found the range taken by {other}",
        (developer("Choose another address, or let the kernel choose."),),
        "mm/mmap.c:do_mmap, ipc/shm.c:do_shmat",
        {
            "segment": Case(
                "the range is taken by {other}, and shmat replaces nothing without SHM_REMAP",
                (developer("Let the kernel choose the address, or pass SHM_REMAP."),),
            )
        },
        "noreplace",
    ),
    Cause(
        "address.below-minimum",
        "kernel",
        "The address lies below vm.mmap_min_addr, which is kept free to catch null pointers.",
        {"mmap": (Errno.EPERM,), "mremap": (Errno.EPERM,), "shmat": (Errno.EPERM,)},
        (Need.ANSWERED, Need.ARGUMENTS, Need.SYSCTL, Need.CAPABILITIES),
        "addresses below vm.mmap_min_addr ({minimum}) are kept free to catch null pointers",
        (developer("Use a higher address."),),
        "security/commoncap.c:cap_mmap_addr",
        example="low_address",
    ),
    Cause(
        "address.no-room",
        "kernel",
        "The address space has no gap of this size, or ends before the range does.",
        {"mmap": (Errno.ENOMEM,), "mremap": (Errno.ENOMEM, Errno.EINVAL), "shmat": (Errno.ENOMEM,)},
        (Need.ANSWERED, Need.ARGUMENTS),
        "the address space of a program has no room for this range: {asked} asked, of at most {size}",
        (developer("Ask for less, or let the kernel choose the address."),),
        "mm/mmap.c:__get_unmapped_area",
        {
            "full": Case("no gap between the mappings of the process is large enough: the largest has {gap}"),
            "low": Case(
                "MAP_32BIT takes memory between 1 and 2 GiB only, and the largest gap there has {gap}",
                (developer("Drop MAP_32BIT where the code can do without it."),),
            ),
            "in-the-way": Case(
                "the memory cannot grow where it is: {other} is in the way, and it may not move",
                (developer("Pass MREMAP_MAYMOVE, and use the address that mremap returns."),),
            ),
        },
    ),
    Cause(
        "address.special-mapping",
        "kernel",
        "The mapping belongs to the kernel or a driver (vdso, vvar, a device) and cannot be cut, grown or given this "
        "protection.",
        {
            "mprotect": (Errno.EACCES, Errno.EINVAL, Errno.ENOMEM),
            "pkey_mprotect": (Errno.EACCES, Errno.EINVAL, Errno.ENOMEM),
            "munmap": (Errno.EINVAL,),
            "mremap": (Errno.EFAULT, Errno.EINVAL),
            "madvise": (Errno.EINVAL, Errno.ENOMEM),
            "mseal": (Errno.ENOMEM,),
        },
        (Need.ANSWERED, Need.VM_FLAGS),
        "the kernel's own mapping {path} cannot be given this protection",
        (developer("Leave {path} alone."),),
        "mm/mmap.c:special_mapping_split, mm/mremap.c:check_prep_vma",
        {
            "leave": Case(
                "{path} belongs to the kernel or a driver, and MREMAP_DONTUNMAP cannot leave it behind empty",
                (developer("Move it without MREMAP_DONTUNMAP."),),
            ),
            "vsyscall": Case("{path} is no memory of the process: the kernel only shows it in the map"),
            "grow": Case(
                "{path} belongs to the kernel or a driver and cannot grow",
                (developer("Map a larger area instead of growing this one."),),
            ),
            "together": Case(
                "userfaultfd watches the mapping at {place}, and such a mapping does not move together with others",
                (developer("Move each mapping by a call of its own."),),
            ),
            "cut": Case("the kernel's own mapping {path} cannot be changed in part, only as a whole"),
        },
    ),
    Cause(
        "address.brk-collision",
        "kernel",
        "The heap cannot grow: another mapping lies right above it.",
        {"brk": (Errno.NONE,)},
        (Need.ANSWERED, Need.MAPPINGS, Need.BREAK),
        "the heap cannot grow to {wanted}: {other} is in the way",
        (developer("Map memory instead of growing the heap; malloc does so by itself."),),
        "mm/mmap.c:SYSCALL_DEFINE1(brk)",
    ),
)
