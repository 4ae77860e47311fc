"""fd.*: the descriptor that mmap was given, how it was opened, and what is behind it (mm/mmap.c:do_mmap)."""

from __future__ import annotations

from typing import Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import IF_DENIED, Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.opened import (
    ARGUMENTS,
    PERF_EVENT,
    can_read,
    can_write,
    file_request,
    is_shared,
    opened,
    quoted,
    shown,
)
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.objects import Descriptor

__all__ = [
    "APPEND_ONLY",
    "BAD",
    "DRIVER",
    "FDS_OF_FILES",
    "NOT_MAPPABLE",
    "NO_DAX",
    "OFFSET_OVERFLOW",
    "READ_MODE",
    "SWAP_FILE",
    "WRITE_MODE",
    "append_only",
    "bad_descriptor",
    "driver",
    "no_dax",
    "not_mappable",
    "offset_overflow",
    "read_mode",
    "swap_file",
    "write_mode",
]

_O_PATH = 0o10000000
_OPENED = (Need.ANSWERED, Need.DESCRIPTOR)
_MAX_LFS_FILESIZE, _ULONG_MAX = (1 << 63) - 1, (1 << 64) - 1
_WITH_FILE_OFFSETS = frozenset({"regular file", "block device", "socket"})
_UNMAPPABLE = frozenset({"directory", "pipe"})
_DRIVERS_OWN = (Errno.EIO, Errno.ENXIO)
"""Errors that no other check of mmap gives."""
_UNFIT = (Errno.EINVAL, Errno.EAGAIN, Errno.EOPNOTSUPP)
_DRIVERS_ANY = (*_DRIVERS_OWN, *_UNFIT, Errno.ENOMEM, Errno.EACCES, Errno.EPERM)
_OF_THE_KERNEL = ("/proc/", "/sys/", "/secretmem", "anon_inode:", "socket:", "pidfd:")
_STORES = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "ramfs", "overlay", "squashfs", "erofs"})
"""File systems whose files are mapped whatever protection, offset and sharing are asked for (mm/filemap.c)."""

WRITE_MODE = Cause(
    "fd.write-mode",
    "kernel",
    "A shared mapping is to be writable, and its descriptor was opened read-only.",
    {
        "mmap": (Errno.EACCES,),
        "mprotect": (Errno.EACCES,),
        "pkey_mprotect": (Errno.EACCES,),
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
)
READ_MODE = Cause(
    "fd.read-mode",
    "kernel",
    "The descriptor was opened write-only: every mapping, whatever its protection, needs one that can be read.",
    {"mmap": (Errno.EACCES,)},
    _OPENED,
    "every mapping needs a descriptor opened for reading, whatever its protection, and this one is write-only",
    (developer("Open the file O_RDWR."),),
    "mm/mmap.c:do_mmap",
    example="write_only_fd",
)
APPEND_ONLY = Cause(
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
)
BAD = Cause(
    "fd.bad",
    "kernel",
    "The descriptor is not open, or was opened O_PATH, which gives a name and no access.",
    {"mmap": (Errno.EBADF,), "process_madvise": (Errno.EBADF,)},
    (Need.ANSWERED, Need.DESCRIPTOR),
    "the descriptor cannot be mapped: {fact}",
    (developer("Pass MAP_ANONYMOUS, or a descriptor opened for reading."),),
    "mm/mmap.c:ksys_mmap_pgoff",
    {"process": Case("{fact}", (developer("Pass a descriptor from pidfd_open."),))},
    outcome=Outcome.FAILED,
)
NOT_MAPPABLE = Cause(
    "fd.not-mappable",
    "kernel",
    "The object behind the descriptor cannot be mapped at all: a directory, a pipe, most sockets, text of /proc.",
    {"mmap": (Errno.ENODEV,)},
    (Need.ANSWERED,),
    "a {kind} cannot be mapped at all",
    (developer("Read it instead of mapping it."),),
    "mm/mmap.c:do_mmap, include/linux/fs.h:can_mmap_file",
    {"this": Case("this {kind} cannot be mapped: what is behind it offers no mapping")},
    outcome=Outcome.FAILED,
)
OFFSET_OVERFLOW = Cause(
    "fd.offset-overflow",
    "kernel",
    "The end of the mapping lies beyond the largest offset that a file can have.",
    {"mmap": (Errno.EOVERFLOW,)},
    (Need.ANSWERED, Need.ARGUMENTS),
    "offset and length reach beyond the largest file offset",
    (developer("Check the offset computation."),),
    "mm/mmap.c:do_mmap, file_mmap_ok",
    outcome=Outcome.FAILED,
)
NO_DAX = Cause(
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
    outcome=Outcome.PROBE,
)
DRIVER = Cause(
    "fd.driver",
    "kernel",
    "The driver or file system behind the descriptor has rules of its own for what is mapped, and refused.",
    {
        "mmap": _DRIVERS_ANY,
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
    outcome=Outcome.FAILED,
    outcomes=IF_DENIED,
)
SWAP_FILE = Cause(
    "fd.swap-file",
    "kernel",
    "A shared writable mapping of a file that is in use as swap space.",
    {"mmap": (Errno.ETXTBSY,)},
    (Need.ANSWERED,),
    "the file is swap space in use, and nobody may write to it",
    (developer("Map it MAP_PRIVATE, or another file."), admin("Take it out of use.", "swapoff {quoted_path}")),
    "mm/mmap.c:do_mmap",
)
FDS_OF_FILES = (
    WRITE_MODE,
    READ_MODE,
    APPEND_ONLY,
    BAD,
    NOT_MAPPABLE,
    OFFSET_OVERFLOW,
    NO_DAX,
    DRIVER,
    SWAP_FILE,
)


@rule(BAD)
def bad_descriptor(ctx: CallContext) -> Answer:
    """Closed, or opened O_PATH: found out right behind the offset (mm/mmap.c:ksys_mmap_pgoff)."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None:
        return LETS_THROUGH
    if descriptor is None:
        fact = "descriptor %d is not open, or was opened O_PATH" % request.fd
        return may_refuse(ctx, BAD, without=(Need.DESCRIPTOR,), fact=fact)
    if not descriptor.link:
        fact = "descriptor %d is not open" % request.fd
    elif (descriptor.flags or 0) & _O_PATH:
        fact = "descriptor %d was opened O_PATH" % request.fd
    else:
        return LETS_THROUGH
    return refuses(ctx, BAD, seen(fact, "/proc/PID/fd"), fact=fact)


@rule(OFFSET_OVERFLOW)
def offset_overflow(ctx: CallContext) -> Answer:
    """The end beyond the largest offset of a file, or of anything else (mm/mmap.c:file_mmap_ok)."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None:
        return LETS_THROUGH
    page = ctx.host.page_size
    length = -(-request.length // page) * page
    within = [request.offset // page <= (most - length) // page for most in (_MAX_LFS_FILESIZE, _ULONG_MAX)]
    kind = descriptor.kind if descriptor is not None else None
    fact = seen("offset %#x, length %#x" % (request.offset, request.length), ARGUMENTS)
    if all(within):
        return LETS_THROUGH
    if kind is None:
        return may_refuse(ctx, OFFSET_OVERFLOW, fact, without=(Need.DESCRIPTOR,))
    if kind in _WITH_FILE_OFFSETS:
        return refuses(ctx, OFFSET_OVERFLOW, fact)
    # A driver may take all 64 bits as an offset (FOP_UNSIGNED_OFFSET), as /dev/mem does.
    return LETS_THROUGH if within[1] else may_refuse(ctx, OFFSET_OVERFLOW, fact, by_exclusion=True)


@rule(NO_DAX)
def no_dax(ctx: CallContext) -> Answer:
    """MAP_SYNC on a file without DAX; MAP_SHARED with the bit is refused as well, although mmap(2) says ignored."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None or not request.flags & f.MAP_SYNC:
        return LETS_THROUGH
    evidence = [seen("flags hold MAP_SYNC", ARGUMENTS), shown(ctx, request)]
    mount = descriptor.mount if descriptor is not None else None
    if mount is not None:
        evidence.append(seen("%s is %s, %s" % (mount.point, mount.fstype, mount.super_options), "/proc/PID/mountinfo"))
    # Whether a file has DAX is the file system's to tell; nothing but this bit and unknown ones is answered like that.
    return may_refuse(ctx, NO_DAX, *evidence, by_exclusion=True)


@rule(WRITE_MODE)
def write_mode(ctx: CallContext) -> Answer:
    """A shared mapping that is to be writable needs FMODE_WRITE."""
    request = file_request(ctx)
    if request is None or not (is_shared(request) and ctx.wants & f.PROT_WRITE):
        return LETS_THROUGH
    writable = can_write(ctx)
    if writable is None:
        return cannot_tell(ctx, WRITE_MODE, Need.DESCRIPTOR)
    if writable:
        return LETS_THROUGH
    return refuses(ctx, WRITE_MODE, opened(ctx, request), seen("MAP_SHARED with PROT_WRITE was asked", ARGUMENTS))


@rule(SWAP_FILE)
def swap_file(ctx: CallContext) -> Answer:
    """A shared writable mapping of a swap file: nothing in the descriptor shows that it is one."""
    request = file_request(ctx)
    if request is None or not (is_shared(request) and ctx.wants & f.PROT_WRITE):
        return LETS_THROUGH
    return may_refuse(ctx, SWAP_FILE, shown(ctx, request), by_exclusion=True, quoted_path=quoted(ctx))


@rule(APPEND_ONLY)
def append_only(ctx: CallContext) -> Answer:
    """An append-only inode on a descriptor that may write cannot be mapped shared, not even for reading."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None or not is_shared(request) or can_write(ctx) is False:
        return LETS_THROUGH
    if descriptor is None or descriptor.flags is None:
        return cannot_tell(ctx, APPEND_ONLY, Need.DESCRIPTOR)
    if descriptor.append_only is None and descriptor.kind in ("regular file", None):
        return cannot_tell(ctx, APPEND_ONLY, Need.ATTRIBUTES)
    if not descriptor.append_only:
        return LETS_THROUGH
    attribute = seen("the file has the append-only attribute", "FS_IOC_GETFLAGS")
    return refuses(ctx, APPEND_ONLY, opened(ctx, request), attribute, quoted_path=quoted(ctx))


@rule(READ_MODE)
def read_mode(ctx: CallContext) -> Answer:
    """Every mapping needs FMODE_READ, PROT_NONE and PROT_WRITE alike."""
    request = file_request(ctx)
    if request is None:
        return LETS_THROUGH
    readable = can_read(ctx)
    if readable is None:
        return cannot_tell(ctx, READ_MODE, Need.DESCRIPTOR)
    return LETS_THROUGH if readable else refuses(ctx, READ_MODE, opened(ctx, request))


@rule(NOT_MAPPABLE)
def not_mappable(ctx: CallContext) -> Answer:
    """No mmap operation: told by nothing but the call, where directories and pipes never have one."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None:
        return LETS_THROUGH
    kind = (descriptor.kind if descriptor is not None else None) or "file"
    if kind in _UNMAPPABLE:
        return refuses(ctx, NOT_MAPPABLE, shown(ctx, request), kind=kind)
    # Most regular files and devices can be mapped: it is this one that cannot.
    case = "" if kind == "socket" else "this"
    return may_refuse(ctx, NOT_MAPPABLE, shown(ctx, request), case=case, by_exclusion=True, kind=kind)


@rule(DRIVER)
def driver(ctx: CallContext) -> Answer:
    """The file's own mmap operation, which comes last and can answer what it likes."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None:
        return LETS_THROUGH
    if descriptor is None:
        return cannot_tell(ctx, DRIVER, Need.DESCRIPTOR)
    errnos = _driver_errnos(descriptor)
    if request.flags & f.MAP_SYNC:
        # That is fd.no-dax.
        errnos = tuple(errno for errno in errnos if errno is not Errno.EOPNOTSUPP)
    return may_refuse(ctx, DRIVER, shown(ctx, request), errno=errnos, by_exclusion=True, path=descriptor.link)


def _driver_errnos(descriptor: Descriptor) -> Tuple[Errno, ...]:
    """What is left for a file system or driver to answer with: the less, the more is known of how it maps files."""
    if descriptor.link.startswith("/memfd:"):
        return _DRIVERS_OWN
    if descriptor.link == PERF_EVENT:
        # Its EPERM is limit.memlock.
        return tuple(errno for errno in _DRIVERS_ANY if errno is not Errno.EPERM)
    if descriptor.kind != "regular file" or descriptor.link.startswith(_OF_THE_KERNEL):
        return _DRIVERS_ANY
    if descriptor.mount is None or descriptor.mount.fstype in _STORES:
        return _DRIVERS_OWN
    return (*_DRIVERS_OWN, *_UNFIT)
