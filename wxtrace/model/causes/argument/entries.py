"""The causes in the call itself: arguments that contradict the interface, so that it could never have worked.

Which argument each call takes amiss is in the rules beside this file, a module for each call or family.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple, Union

from wxtrace.model.causes.entry import IF_DENIED, Case, Cause, Gives, Need, developer
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.event import Fix

__all__ = [
    "ADVICE",
    "ALIGNMENT",
    "ARGUMENTS",
    "FLAGS",
    "GROWSDOWN",
    "LENGTH",
    "POINTER",
    "PROT",
    "SHM",
]


def _argument(
    id: str,
    when: str,
    calls: Mapping[str, Gives],
    sentence: str,
    fix: str,
    source: str,
    cases: Optional[Dict[str, Tuple[str, str]]] = None,
    needs: Tuple[Need, ...] = (),
    outcome: Outcome = Outcome.FAILED,
    outcomes: Optional[Mapping[Union[str, Errno], Outcome]] = None,
) -> Cause:
    said = {name: Case(words, _fix(text)) for name, (words, text) in (cases or {}).items()}
    proof = (Need.ANSWERED, Need.ARGUMENTS, *needs)
    return Cause(
        id,
        "kernel",
        when,
        calls,
        proof,
        sentence,
        _fix(fix),
        source,
        said,
        outcome=outcome,
        outcomes=outcomes or {},
    )


def _fix(text: str) -> Tuple[Fix, ...]:
    return (developer(text),) if text else ()


_RANGES = {
    "mprotect": (Errno.EINVAL,),
    "pkey_mprotect": (Errno.EINVAL,),
    "munmap": (Errno.EINVAL,),
    "mremap": (Errno.EINVAL,),
    "mseal": (Errno.EINVAL,),
}

ALIGNMENT = _argument(
    "argument.alignment",
    "An address or a file offset is not a multiple of the page size.",
    {
        "mmap": (Errno.EINVAL,),
        **_RANGES,
        "madvise": (Errno.EINVAL,),
        "shmat": (Errno.EINVAL,),
        "shmdt": (Errno.EINVAL,),
        "map_shadow_stack": (Errno.EINVAL,),
    },
    "{what} is not a multiple of the page size",
    "Round down to a multiple of sysconf(_SC_PAGE_SIZE).",
    "mm/mmap.c:ksys_mmap_pgoff, mm/mprotect.c, mm/vma.c:do_vmi_munmap",
    {
        "segment": (
            "the address is not a multiple of SHMLBA, and SHM_RND was not given",
            "Let the kernel choose the address, or pass SHM_RND.",
        )
    },
)

LENGTH = _argument(
    "argument.length",
    "The length is zero, or wraps around the end of the address space, or reaches over the end of a mapping.",
    {
        "mmap": (Errno.EINVAL, Errno.ENOMEM),
        "mprotect": (Errno.ENOMEM,),
        "pkey_mprotect": (Errno.ENOMEM,),
        "munmap": (Errno.EINVAL,),
        "mremap": (Errno.EINVAL, Errno.EFAULT),
        "mseal": (Errno.EINVAL,),
        "madvise": (Errno.EINVAL,),
        "remap_file_pages": (Errno.EINVAL,),
        "process_madvise": (Errno.EINVAL,),
        "map_shadow_stack": (Errno.EOVERFLOW,),
        "shmat": (Errno.EINVAL,),
        "io_setup": (Errno.EINVAL,),
    },
    "{call} of zero bytes",
    "Do not make the call for nothing.",
    "mm/mmap.c:do_mmap, mm/mprotect.c, mm/mremap.c",
    {
        "wraps": (
            "the length wraps around the end of the address space",
            "Check the size computation for a negative number.",
        ),
        "beyond": (
            "the range ends beyond the address space of a program",
            "Check the size computation; addresses end at {limit}.",
        ),
        "offset-wraps": ("file offset and length together wrap around", "Check the offset, which counts pages."),
        "ranges": ("process_madvise takes 1024 ranges at most", "Make several calls."),
        "events": ("io_setup serves {most} events at most", "Ask for fewer events."),
        "differs": (
            "the range reaches into a mapping that is not of the same kind, or not of the same file",
            "Make a call for each mapping.",
        ),
        "mseal": ("the range of mseal is empty or wraps around", "Seal at least one page."),
        "across": (
            "the old range reaches over the end of a mapping, and mremap grows one mapping only",
            "Give the whole range one protection before it is resized, or resize each part.",
        ),
        "several": (
            "the old range has several mappings, and before Linux 6.17 mremap moves one at a time",
            "Move each mapping by itself, or give the whole range one protection first.",
        ),
        "watched": (
            "the old range has several mappings, and mremap moves none that a userfaultfd watches with others",
            "Move each mapping by itself.",
        ),
        "copy": (
            "mremap with an old length of 0 makes a second view of the memory, which works for shared memory only",
            "Give the old length, or map the memory MAP_SHARED.",
        ),
    },
)

FLAGS = _argument(
    "argument.flags",
    "Flags that the call does not know, or that do not go together.",
    {
        "mmap": (Errno.EINVAL, Errno.EOPNOTSUPP),
        "mremap": (Errno.EINVAL,),
        "mseal": (Errno.EINVAL,),
        "shmat": (Errno.EINVAL,),
        "pkey_alloc": (Errno.EINVAL,),
        "memfd_secret": (Errno.EINVAL,),
        "process_madvise": (Errno.EINVAL,),
        "prctl": (Errno.EINVAL, Errno.EPERM),
        "seccomp": (Errno.EINVAL,),
        "remap_file_pages": (Errno.EINVAL,),
    },
    "{call} does not know these flags",
    "Drop the flags that this kernel does not know.",
    "mm/mmap.c:do_mmap, mm/mremap.c:check_mremap_params",
    {
        "type": (
            "mmap needs exactly one of MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE",
            "Add MAP_PRIVATE or MAP_SHARED.",
        ),
        "validate-anonymous": ("MAP_SHARED_VALIDATE is for files only", "Pass MAP_SHARED for anonymous memory."),
        "droppable": (
            "MAP_DROPPABLE is for anonymous memory that is neither locked nor in huge pages nor grows",
            "Drop the other flag, or MAP_DROPPABLE.",
        ),
        "droppable-old": (
            "this kernel ({kernel}) does not know MAP_DROPPABLE, which came with Linux 6.11",
            "Map it MAP_PRIVATE where MAP_DROPPABLE is refused.",
        ),
        "file-grows-down": ("a file cannot grow down", "Drop MAP_GROWSDOWN."),
        "shared-grows-down": ("shared memory cannot grow down", "Drop MAP_GROWSDOWN, or map it MAP_PRIVATE."),
        "validate": (
            "MAP_SHARED_VALIDATE refuses flags that are not known for this file",
            "Drop the flag, or treat EOPNOTSUPP as “not supported here”.",
        ),
        "move": (
            "mremap flags that do not go together",
            "MREMAP_FIXED and MREMAP_DONTUNMAP need MREMAP_MAYMOVE.",
        ),
        "resize": (
            "MREMAP_DONTUNMAP moves memory as it is and cannot resize it",
            "Pass the same old and new length, and resize afterwards.",
        ),
        "overlap": ("mremap was to move memory onto itself", "Choose a target outside the old range."),
        "mseal": ("mseal takes no flags", "Pass 0."),
        "private-remap": (
            "remap_file_pages works on shared mappings that may be written only",
            "Map the file MAP_SHARED from a descriptor opened O_RDWR; better, map each part with mmap.",
        ),
        "remap": ("SHM_REMAP replaces memory at an address, and none was given", "Pass the address to replace."),
        "rights": (
            "pkey_alloc knows the rights PKEY_DISABLE_ACCESS and PKEY_DISABLE_WRITE, and no flags",
            "Pass 0 as flags and only these rights.",
        ),
        "mdwe": (
            "PR_SET_MDWE does not know these bits, or got arguments it does not take",
            "Pass PR_MDWE_REFUSE_EXEC_GAIN, with PR_MDWE_NO_INHERIT if wanted, and 0 for the rest.",
        ),
        "mdwe-kept": (
            "MDWE is set already, and cannot be changed or taken back",
            "Set it once, with the final bits.",
        ),
        "mdwe-old": (
            "this kernel ({kernel}) has no MDWE, which came with Linux 6.3",
            "Treat EINVAL as “not supported here”.",
        ),
    },
)

PROT = _argument(
    "argument.prot",
    "The protection has bits that the call does not know (mmap ignores them, mprotect does not).",
    {"mprotect": (Errno.EINVAL,), "pkey_mprotect": (Errno.EINVAL,), "remap_file_pages": (Errno.EINVAL,)},
    "the protection has bits that mprotect does not know",
    "Pass PROT_READ, PROT_WRITE and PROT_EXEC only; mmap ignores unknown bits, mprotect does not.",
    "mm/mprotect.c:do_mprotect_pkey, arch_validate_prot",
    {
        "remap": (
            "remap_file_pages takes no protection: it keeps that of the mapping",
            "Pass 0 as the protection.",
        )
    },
)

GROWSDOWN = _argument(
    "argument.growsdown",
    "PROT_GROWSDOWN or PROT_GROWSUP where memory does not grow that way.",
    {"mprotect": (Errno.EINVAL,), "pkey_mprotect": (Errno.EINVAL,)},
    "PROT_GROWSDOWN is only for memory that grows, such as the main stack",
    "Drop PROT_GROWSDOWN for ordinary memory.",
    "mm/mprotect.c:do_mprotect_pkey",
    {
        "both": ("PROT_GROWSDOWN and PROT_GROWSUP exclude each other", "Set at most one of the two."),
        "up": (
            "PROT_GROWSUP is for memory that grows upwards, and on this architecture none does",
            "Drop PROT_GROWSUP.",
        ),
    },
)

ADVICE = _argument(
    "argument.advice",
    "The advice is not known to this kernel, or cannot be taken for this kind of memory.",
    {
        "madvise": (
            Errno.EINVAL,
            Errno.EACCES,
            Errno.EPERM,
            Errno.EBUSY,
            Errno.EAGAIN,
            Errno.EFAULT,
            Errno.EBADF,
            Errno.ENOMEM,
            Errno.EIO,
        ),
        "process_madvise": (Errno.EINVAL, Errno.EPERM, Errno.ESRCH),
    },
    "madvise does not know this advice",
    "Treat EINVAL as “not supported by this kernel”.",
    "mm/madvise.c:madvise_behavior_valid, madvise_vma_behavior",
    {
        "memory": (
            "this advice cannot be taken for this kind of memory, or by this kernel",
            "Treat EINVAL as “not supported here”.",
        ),
        "part": (
            "{advice} would split a mapping that can only be changed as a whole",
            "Give it for the whole mapping; huge pages are split between two of them only.",
        ),
        "file": ("{advice} is for private anonymous memory, and this is not", "Give it for anonymous memory only."),
        "locked": (
            "{advice} cannot be taken for memory that is locked in RAM",
            "Unlock the memory first; MADV_DONTNEED_LOCKED discards locked memory (Linux 5.18).",
        ),
        "remove": (
            "MADV_REMOVE punches a hole into a file or shared memory, and this is neither",
            "Give it for shared mappings that may be written; use MADV_DONTNEED for private memory.",
        ),
        "read-only": (
            "MADV_REMOVE needs a shared mapping that may be written",
            "Map the file MAP_SHARED from a descriptor opened O_RDWR.",
        ),
        "privileged": ("{advice} breaks pages on purpose and is for administrators (CAP_SYS_ADMIN)", ""),
        "remote": (
            "process_madvise does not take this advice for another process",
            "Give MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED or MADV_COLLAPSE only.",
        ),
        "rights": (
            "advice for another process takes CAP_SYS_NICE",
            "Give the advice in the process itself, or run with CAP_SYS_NICE.",
        ),
        "ended": ("the process that was to be advised has ended", "Treat ESRCH as “gone”."),
        "old": ("this kernel ({kernel}) does not know {advice}, which came with Linux {since}", ""),
        "populate": (
            "MADV_POPULATE_WRITE needs memory that may be written",
            "Make the memory writable first, or use MADV_POPULATE_READ.",
        ),
        "guarded": ("pages could not be filled: they lie behind a guard or beyond the end of the file", ""),
    },
    outcome=Outcome.PROBE,
)

POINTER = _argument(
    "argument.pointer",
    "A pointer argument leads to memory that is not there, or the break was asked below the start of the heap.",
    {
        "memfd_create": (Errno.EFAULT,),
        "prctl": (Errno.EFAULT,),
        "arch_prctl": (Errno.EFAULT,),
        "seccomp": (Errno.EFAULT,),
        "io_setup": (Errno.EFAULT, Errno.EINVAL),
        "process_madvise": (Errno.EFAULT,),
        "clone3": (Errno.EFAULT,),
        "ptrace": (Errno.EFAULT,),
        "mmap": (Errno.EFAULT,),
        "io_destroy": (Errno.EINVAL,),
        "brk": (Errno.NONE,),
    },
    "{call} was given an address that cannot be read or written",
    "Check the pointers of the call.",
    "copy_from_user and copy_to_user of the call",
    {
        "brk": (
            "the heap starts at {start}, and a break below it is never taken",
            "Pass sbrk(0) plus what you need.",
        ),
        "context": (
            "no asynchronous I/O context lives at this address",
            "Pass the context that io_setup returned, once.",
        ),
        "used": (
            "io_setup wants a context that is 0 before the call, and one or more events",
            "Set the context to 0, and ask for at least one event.",
        ),
    },
)

SHM = _argument(
    "argument.shm",
    "No such shared memory segment, or its owner does not allow this access.",
    {"shmat": (Errno.EINVAL, Errno.EIDRM, Errno.EACCES), "shmdt": (Errno.EINVAL,)},
    "no such shared memory segment",
    "Check the id that shmget returned.",
    "ipc/shm.c:do_shmat, ksys_shmdt",
    {
        "removed": (
            "the shared memory segment is being removed (IPC_RMID)",
            "Attach before the segment is removed, or make a new one.",
        ),
        "detach": (
            "no shared memory segment starts at this address",
            "Pass the address that shmat returned, once.",
        ),
        "mode": (
            "the shared memory segment belongs to user {owner} with mode {mode}, which does not allow this access",
            "Create the segment with the mode that its users need (SHM_EXEC needs the x bit).",
        ),
        "access": (
            "the owner and mode of the shared memory segment do not allow this access",
            "Create the segment with the mode that its users need (SHM_EXEC needs the x bit).",
        ),
    },
    (Need.SEGMENT,),
    outcomes=IF_DENIED,
)

ARGUMENTS = (ALIGNMENT, LENGTH, FLAGS, PROT, GROWSDOWN, ADVICE, POINTER, SHM)
