"""Causes in the memory itself: protection keys, huge pages, secret memory, shadow stacks."""

from __future__ import annotations

from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno

__all__ = ["PROTECTIONS"]

_WHOLE = developer("Change whole huge pages: address and length must be multiples of their size.")

PROTECTIONS = (
    Cause(
        "pkey",
        "kernel",
        "A protection key that was not allocated, or no key is left, or this machine has none.",
        {
            "pkey_mprotect": (Errno.EINVAL,),
            "pkey_alloc": (Errno.ENOSPC, Errno.EINVAL, Errno.ENOSYS),
            "pkey_free": (Errno.EINVAL,),
        },
        (Need.ANSWERED, Need.ARGUMENTS, Need.CPU),
        "protection key {key} is not allocated in this process",
        (developer("Pass a key that pkey_alloc returned and pkey_free did not take back, or -1 for none."),),
        "mm/mprotect.c:do_mprotect_pkey, pkey_alloc",
        {
            "none-left": Case(
                "all protection keys of the process are in use (x86 has 15, and one is taken by execute-only memory)",
                (developer("Share keys, or give back those not needed with pkey_free."),),
            ),
            "no-support": Case(
                "this processor or kernel has no protection keys",
                (developer("Go on without keys: use mprotect; ENOSPC is how a program learns that."),),
            ),
        },
    ),
    Cause(
        "hugetlb",
        "kernel",
        "Memory of huge pages can be changed in whole huge pages only, and only in sizes the machine offers.",
        {
            "mmap": (Errno.EINVAL,),
            "mprotect": (Errno.EINVAL,),
            "pkey_mprotect": (Errno.EINVAL,),
            "munmap": (Errno.EINVAL,),
            "mremap": (Errno.EINVAL,),
            "memfd_create": (Errno.ENODEV,),
        },
        (Need.ANSWERED, Need.VM_FLAGS),
        "this memory consists of huge pages, and the call would cut one",
        (_WHOLE,),
        "mm/hugetlb.c:hugetlb_vm_op_split",
        {
            "grow": Case("memory of huge pages cannot be grown by mremap", (developer("Map a larger area and copy."),)),
            "alignment": Case(
                "the address of huge pages must be a multiple of their size ({size})",
                (developer("Pass a multiple of the size, or let the kernel choose the address."),),
            ),
            "size": Case(
                "the machine has no huge pages of {size}",
                (developer("Ask for a size listed in /sys/kernel/mm/hugepages, or for none."),),
            ),
            "file": Case(
                "MAP_HUGETLB is for anonymous memory and files of hugetlbfs, and this is another file",
                (developer("Drop MAP_HUGETLB, or use memfd_create with MFD_HUGETLB."),),
            ),
        },
    ),
    Cause(
        "secretmem",
        "kernel",
        "Secret memory (memfd_secret) can only be mapped shared, and may be switched off on this machine.",
        {"memfd_secret": (Errno.ENOSYS, Errno.EINVAL), "mmap": (Errno.EINVAL,)},
        (Need.ANSWERED,),
        "secret memory can only be mapped MAP_SHARED",
        (developer("Map it MAP_SHARED."),),
        "mm/secretmem.c",
        {
            "off": Case(
                "this kernel offers no secret memory (it is off by default before Linux 6.5)",
                (
                    developer("Go on without it: mlock and MADV_DONTDUMP protect almost as well."),
                    admin("Start the kernel with secretmem.enable=1."),
                ),
            )
        },
    ),
    Cause(
        "shadow-stack",
        "kernel",
        "Shadow stacks (the processor's copy of return addresses) are not there, or do not allow this.",
        {
            "map_shadow_stack": (
                Errno.EOPNOTSUPP,
                Errno.ENOSYS,
                Errno.EINVAL,
                Errno.ENOSPC,
                Errno.ERANGE,
                Errno.EOVERFLOW,
            ),
            "mprotect": (Errno.EACCES,),
            "pkey_mprotect": (Errno.EACCES,),
            "arch_prctl": (Errno.EOPNOTSUPP, Errno.ENOTSUPP),
        },
        (Need.ANSWERED, Need.CPU),
        "this kernel or processor has no shadow stacks for programs",
        (developer("Go on without them; this answer is how a program learns that."),),
        "arch/x86/kernel/shstk.c",
        {
            "size": Case(
                "a shadow stack of {size} bytes has no room for the token that was asked for",
                (developer("Ask for at least one page."),),
            ),
            "low": Case(
                "a shadow stack must lie above 4 GiB", (developer("Pass NULL and let the kernel choose the address."),)
            ),
            "flags": Case(
                "map_shadow_stack does not know these flags", (developer("Pass SHADOW_STACK_SET_TOKEN or 0."),)
            ),
            "memory": Case(
                "the range is a shadow stack, whose protection cannot be changed this way",
                (developer("Leave shadow stacks to the C library."),),
            ),
        },
    ),
)
