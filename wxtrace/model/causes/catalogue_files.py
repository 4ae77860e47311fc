"""Causes in the descriptor, the file behind it, its mount, and memfds."""

from __future__ import annotations

from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno

__all__ = ["FILES"]

_OPENED = (Need.ANSWERED, Need.DESCRIPTOR)
_REMOUNT = admin(
    "Allow execution on that mount (mappings made before keep the old rule).", "mount -o remount,exec {quoted_mount}"
)

FILES = (
    Cause(
        "fd.write-mode",
        "kernel",
        "A shared mapping is to be writable, and its descriptor was opened read-only.",
        {
            "mmap": (Errno.EACCES,),
            "mprotect": (Errno.EACCES,),
            "pkey_mprotect": (Errno.EACCES,),
            "madvise": (Errno.EACCES,),
        },
        (*_OPENED, Need.VM_FLAGS),
        "a shared writable mapping needs a descriptor opened for writing, and this one is read-only",
        (developer("Open the file O_RDWR, or map it MAP_PRIVATE if the file need not change."),),
        "mm/mmap.c:do_mmap",
        {
            "later": Case(
                "this shared mapping was made from a descriptor opened read-only, so it can never become writable",
                (developer("Map the file again from a descriptor opened O_RDWR."),),
            ),
            "segment": Case(
                "this shared memory segment was attached read-only (SHM_RDONLY), so it can never become writable here",
                (developer("Attach the segment again without SHM_RDONLY."),),
            ),
        },
        "shared_read_only",
    ),
    Cause(
        "fd.read-mode",
        "kernel",
        "The descriptor was opened write-only: every mapping, whatever its protection, needs one that can be read.",
        {"mmap": (Errno.EACCES,)},
        _OPENED,
        "every mapping needs a descriptor opened for reading, whatever its protection, and this one is write-only",
        (developer("Open the file O_RDWR."),),
        "mm/mmap.c:do_mmap",
        example="write_only_fd",
    ),
    Cause(
        "fd.append-only",
        "kernel",
        "A shared mapping of a file with the append-only attribute, through a descriptor that may write.",
        {"mmap": (Errno.EACCES,)},
        (*_OPENED, Need.ATTRIBUTES),
        "the file is append-only, and a shared mapping through a writable descriptor could change it anywhere",
        (
            developer("Map it through an O_RDONLY descriptor, or MAP_PRIVATE."),
            admin("Remove the attribute.", "chattr -a {quoted_path}"),
        ),
        "mm/mmap.c:do_mmap",
    ),
    Cause(
        "fd.bad",
        "kernel",
        "The descriptor is not open, or was opened O_PATH, which gives a name and no access.",
        {"mmap": (Errno.EBADF,), "process_madvise": (Errno.EBADF,)},
        (Need.ANSWERED, Need.DESCRIPTOR),
        "the descriptor cannot be mapped: {fact}",
        (developer("Pass MAP_ANONYMOUS, or a descriptor opened for reading."),),
        "mm/mmap.c:ksys_mmap_pgoff",
        {"process": Case("{fact}", (developer("Pass a descriptor from pidfd_open."),))},
    ),
    Cause(
        "fd.not-mappable",
        "kernel",
        "The object behind the descriptor cannot be mapped at all: a directory, a pipe, most sockets, text of /proc.",
        {"mmap": (Errno.ENODEV,)},
        (Need.ANSWERED,),
        "a {kind} cannot be mapped at all",
        (developer("Read it instead of mapping it."),),
        "mm/mmap.c:do_mmap, include/linux/fs.h:can_mmap_file",
        {"this": Case("this {kind} cannot be mapped: what is behind it offers no mapping")},
    ),
    Cause(
        "fd.offset-overflow",
        "kernel",
        "The end of the mapping lies beyond the largest offset that a file can have.",
        {"mmap": (Errno.EOVERFLOW,)},
        (Need.ANSWERED, Need.ARGUMENTS),
        "offset and length reach beyond the largest file offset",
        (developer("Check the offset computation."),),
        "mm/mmap.c:do_mmap, file_mmap_ok",
    ),
    Cause(
        "fd.no-dax",
        "kernel",
        "MAP_SYNC was asked for a file that does not lie on memory that keeps its content (DAX).",
        {"mmap": (Errno.EOPNOTSUPP,)},
        (Need.ANSWERED, Need.ARGUMENTS),
        "MAP_SYNC works on files of persistent memory (DAX) only, and this file is not one",
        (
            developer("Drop MAP_SYNC and call msync or fsync; EOPNOTSUPP is how a program learns that."),
            admin("Put the file on a file system mounted with dax=always, on persistent memory."),
        ),
        "include/linux/dax.h:daxdev_mapping_supported, mm/mmap.c:do_mmap",
    ),
    Cause(
        "fd.driver",
        "kernel",
        "The driver or file system behind the descriptor has rules of its own for what is mapped, and refused.",
        {
            "mmap": (
                Errno.EIO,
                Errno.EINVAL,
                Errno.EACCES,
                Errno.ENXIO,
                Errno.EAGAIN,
                Errno.EPERM,
                Errno.ENOMEM,
                Errno.EOPNOTSUPP,
            ),
            "mprotect": (Errno.EACCES,),
            "pkey_mprotect": (Errno.EACCES,),
        },
        (Need.ANSWERED, Need.DESCRIPTOR, Need.VM_FLAGS),
        "the driver or file system behind {path} refused to map it this way ({errno})",
        (developer("Look up what this device or file lets be mapped: size, offset and flags are its own rules."),),
        "mm/vma.c:__mmap_new_file_vma, the driver's mmap operation",
        {
            "later": Case(
                "the driver behind this mapping does not allow it to become {wanted}",
                (developer("Ask for the protection when the device is mapped."),),
            )
        },
    ),
    Cause(
        "fd.swap-file",
        "kernel",
        "A shared writable mapping of a file that is in use as swap space.",
        {"mmap": (Errno.ETXTBSY,)},
        (Need.ANSWERED,),
        "the file is swap space in use, and nobody may write to it",
        (developer("Map it MAP_PRIVATE, or another file."), admin("Take it out of use.", "swapoff {quoted_path}")),
        "mm/mmap.c:do_mmap",
    ),
    Cause(
        "mount.noexec",
        "kernel",
        "Code is to be mapped, or a mapping made executable, from a file on a mount with the noexec option.",
        {"mmap": (Errno.EPERM,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
        (Need.ANSWERED, Need.VM_FLAGS, Need.MOUNT),
        "the file lies on a mount with the noexec option ({mount})",
        (developer("Put the file where execution is allowed (TMPDIR=… for self-extracting programs)."), _REMOUNT),
        "fs/exec.c:path_noexec, mm/mmap.c:do_mmap",
        {
            "later": Case(
                "the file was mapped from a mount with the noexec option ({mount}), so this memory can never be "
                "executable",
                (developer("Map the file again from a place where execution is allowed."), _REMOUNT),
            ),
            "unseen": Case(
                "this memory was mapped from a file on a noexec mount, so it can never become executable",
                (developer("Map the file again from a place where execution is allowed."),),
            ),
        },
        "noexec_mount",
    ),
    Cause(
        "superblock.noexec",
        "kernel",
        "Code is to be mapped from an object that is never executable: /proc, /sys, secretmem, descriptors without a "
        "file (these two from Linux 6.17).",
        {"mmap": (Errno.EPERM,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
        (Need.ANSWERED, Need.VM_FLAGS, Need.DESCRIPTOR, Need.KERNEL),
        "this kind of file ({path}) can never be executed, whatever the mount says",
        (developer("Map it without PROT_EXEC, and copy code into anonymous memory."),),
        "fs/exec.c:path_noexec (SB_I_NOEXEC)",
        {"later": Case("this kind of object ({path}) can never be executed, so this memory cannot either")},
    ),
    Cause(
        "memfd.write-seal",
        "kernel",
        "A memfd (a file in memory) is sealed against writing, and a shared mapping of it is to be writable.",
        {"mmap": (Errno.EPERM,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
        (Need.ANSWERED, Need.VM_FLAGS, Need.SEALS),
        "the memfd is sealed against writing, so no writable shared mapping can be made any more",
        (developer("Make the writable mapping before the seal is set, or map it MAP_PRIVATE."),),
        "mm/memfd.c:memfd_check_seals_mmap",
        {
            "later": Case(
                "this view of the memfd was made after it was sealed against writing, so it can never become writable",
                (developer("Make the writable mapping before the seal is set."),),
            )
        },
        "memfd_sealed",
    ),
    Cause(
        "memfd.noexec-sysctl",
        "kernel",
        "The machine allows only memfds that cannot be executed (vm.memfd_noexec=2), and one that can was asked.",
        {"memfd_create": (Errno.EACCES,)},
        (Need.ANSWERED, Need.ARGUMENTS, Need.SYSCTL, Need.NAMESPACE, Need.KERNEL),
        "vm.memfd_noexec is {level}: only a memfd made with MFD_NOEXEC_SEAL is allowed here",
        (
            developer("Pass MFD_NOEXEC_SEAL: such a memfd can be mapped PROT_EXEC, but not executed as a file."),
            admin("Allow executable memfds again.", "sysctl -w vm.memfd_noexec=0"),
        ),
        "mm/memfd.c:check_sysctl_memfd_noexec",
    ),
    Cause(
        "memfd.flags",
        "kernel",
        "The flags of memfd_create are not known, or exclude each other, or the name is longer than 249 bytes.",
        {"memfd_create": (Errno.EINVAL,)},
        (Need.ANSWERED, Need.ARGUMENTS),
        "memfd_create does not know these flags (or the name is longer than 249 bytes)",
        (developer("Try again without the newer flags (MFD_EXEC and MFD_NOEXEC_SEAL need Linux 6.3)."),),
        "mm/memfd.c:sanitize_flags",
        {
            "both": Case(
                "MFD_EXEC and MFD_NOEXEC_SEAL exclude each other", (developer("Pass one of the two, not both."),)
            ),
            "old": Case("this kernel ({kernel}) is older than MFD_EXEC and MFD_NOEXEC_SEAL"),
            "name": Case(
                "the name of a memfd can have 249 bytes at most", (developer("Pass a shorter name; it is only shown."),)
            ),
        },
    ),
)
