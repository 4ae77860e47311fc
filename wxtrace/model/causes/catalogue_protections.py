"""Causes in the memory itself: MDWE, seals on ranges, protection keys, huge pages, secret memory, shadow stacks."""

from __future__ import annotations

from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno

__all__ = ["PROTECTIONS"]

_LIFT = admin(
    "Run it without the restriction (for a systemd unit: MemoryDenyWriteExecute=no).", "{systemctl} edit {unit}"
)
_WHOLE = developer("Change whole huge pages: address and length must be multiples of their size.")

PROTECTIONS = (
    Cause(
        "mdwe",
        "kernel",
        "The process has given up making memory executable (PR_SET_MDWE, “memory-deny-write-execute”), and this would.",
        {
            "mmap": (Errno.EACCES,),
            "mprotect": (Errno.EACCES,),
            "pkey_mprotect": (Errno.EACCES,),
            "shmat": (Errno.EACCES,),
        },
        (Need.ANSWERED, Need.MDWE, Need.BEFORE, Need.NO_MODULE),
        "MDWE: the process has given up making memory executable, and {what}",
        (
            developer(
                "Keep writing and executing apart: map the code twice from one memfd (a writable and an executable "
                "view), or map it executable from a finished file."
            ),
            _LIFT,
        ),
        "include/linux/mman.h:map_deny_write_exec, mm/mprotect.c, mm/vma.c:mmap_region",
        {
            "stack": Case(
                "",
                (
                    developer(
                        "Keep code off the stack. A library that asks for it is to be linked with -z noexecstack "
                        "(its assembler files need .note.GNU-stack), or patchelf --clear-execstack clears the mark."
                    ),
                    _LIFT,
                ),
            ),
            "textrel": Case(
                "",
                (
                    developer(
                        "Rebuild the library with -fPIC: its text relocations make the loader write to its code."
                    ),
                    _LIFT,
                ),
            ),
        },
        "mdwe jit_anon",
    ),
    Cause(
        "mseal",
        "kernel",
        "The range holds memory that was sealed with mseal: its place and its protection are fixed for good.",
        {
            "mprotect": (Errno.EPERM,),
            "pkey_mprotect": (Errno.EPERM,),
            "munmap": (Errno.EPERM,),
            "mmap": (Errno.EPERM,),
            "mremap": (Errno.EPERM,),
            "shmat": (Errno.EPERM,),
            "remap_file_pages": (Errno.EPERM,),
            "madvise": (Errno.EPERM,),
            "brk": (Errno.NONE,),
            "shmdt": (Errno.NONE,),
        },
        (Need.ANSWERED, Need.VM_FLAGS),
        "the range holds sealed memory, which can be neither unmapped, moved, replaced nor given another protection",
        (
            developer(
                "Make the change before mseal, and keep what must change out of the sealed range; nothing unseals it."
            ),
        ),
        "mm/mseal.c, mm/vma.h:can_modify_vma",
        {
            "advice": Case(
                "the range holds sealed memory that is not writable, and this advice would throw its content away",
                (developer("Give the advice before mseal; sealed memory may be discarded only while it is writable."),),
            ),
            "detach": Case(
                "shmdt reported success, but the segment holds sealed memory, which stays mapped",
                (developer("Do not count on the address being free: sealed memory stays until the process ends."),),
            ),
            "shrink": Case(
                "the heap cannot shrink over sealed memory: brk answered with the old break and changed nothing"
            ),
            "target": Case("the range to be replaced holds sealed memory, which must stay as it is"),
        },
        "mseal_ops",
    ),
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
            "mprotect": (Errno.EINVAL, Errno.EACCES),
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
