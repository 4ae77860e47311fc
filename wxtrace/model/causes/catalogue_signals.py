"""Causes that are no errno of a call: what fatal signals say, what the loader refused itself, and what nobody knows."""

from __future__ import annotations

from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno

__all__ = ["SIGNALS"]

_SIGINFO = (Need.SIGINFO,)
_X86 = "arch/x86/mm/fault.c"

SIGNALS = (
    Cause(
        "fault.nx",
        None,
        "The program jumped into memory that is mapped and not executable.",
        {"fault": ("SIGSEGV",)},
        _SIGINFO,
        "the program jumped into {memory} ({where}), which is not executable",
        (
            developer(
                "Allocate the code with mmap, write it, then make it executable with mprotect(PROT_READ|PROT_EXEC), "
                "and check both results."
            ),
        ),
        _X86 + ":access_error",
        example="jit_malloc",
    ),
    Cause(
        "fault.write",
        None,
        "The program read or wrote memory whose protection does not allow it.",
        {"fault": ("SIGSEGV",)},
        _SIGINFO,
        "the access to {memory} at {where} is not allowed ({perms})",
        (),
        _X86 + ":access_error",
    ),
    Cause(
        "fault.unmapped",
        None,
        "The program touched an address where nothing is mapped.",
        {"fault": ("SIGSEGV",)},
        _SIGINFO,
        "nothing is mapped at {where}",
        (),
        _X86 + ":bad_area_nosemaphore",
    ),
    Cause(
        "fault.pkey",
        None,
        "A protection key forbids the access (on x86 keys never stop execution).",
        {"fault": ("SIGSEGV",)},
        _SIGINFO,
        "a protection key forbids the access to {where}",
        (),
        _X86 + ":bad_area_access_error",
    ),
    Cause(
        "fault.guard",
        None,
        "A guard page was touched: memory is mapped there, and marked to catch overflows (MADV_GUARD_INSTALL).",
        {"fault": ("SIGSEGV",)},
        (Need.SIGINFO, Need.MAPPINGS),
        "a guard page was touched at {where}",
        (),
        "mm/memory.c:handle_pte_marker",
    ),
    Cause(
        "fault.bus",
        None,
        "The file behind the mapping has no page there: it was cut, or its disk failed.",
        {"fault": ("SIGBUS",)},
        _SIGINFO,
        "the file behind the mapping has no page at {where}",
        (),
        "mm/filemap.c:filemap_fault",
    ),
    Cause(
        "fault.other",
        None,
        "Another fatal signal of the processor or the kernel.",
        {"fault": ("SIGSEGV", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS", "SIGBUS")},
        _SIGINFO,
        "{signal} at {where}",
        (),
        "sigaction(2)",
        {
            "no-address": Case("the program used an address that no memory can have, or did what only the kernel may"),
            "shadow-stack": Case("a return address was changed on the stack: the shadow stack holds another one"),
            "sent": Case("{sender} sent {signal} with kill or the like: no access to memory stands behind it"),
            "instruction": Case("the processor does not know the instruction at {where}, or may not run it"),
            "arithmetic": Case("the instruction at {where} cannot be computed: a division by zero, for instance"),
            "dispatch": Case("the program had its own system calls turned into SIGSYS (syscall user dispatch)"),
        },
    ),
    Cause(
        "loader.execstack",
        "dynamic loader",
        "The dynamic loader (glibc 2.41 and later) itself refused a library that wants an executable stack.",
        {"dlopen": (Errno.EINVAL,)},
        (),
        "the loader refused {library}, not the kernel: the library asks for an executable stack",
        (
            developer(
                "Link the library with -z noexecstack (assembler files need .note.GNU-stack), or clear the mark.",
                "patchelf --clear-execstack {quoted_library}",
            ),
            admin(
                "Start the program with an executable stack (glibc 2.42; weakens the program).",
                "GLIBC_TUNABLES=glibc.rtld.execstack=2 PROGRAM",
            ),
        ),
        "glibc elf/dl-load.c, elf/dl-execstack.c",
        example="dlopen_execstack",
    ),
)
