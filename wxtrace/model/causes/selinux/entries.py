"""Causes in SELinux, by the permission that it refused.

Which fixes apply depends on what the policy grants beside: a fix whose text lacks a word is left out.
"""

from __future__ import annotations

from typing import Dict, Tuple

from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Fix

__all__ = ["EXECHEAP", "EXECMEM", "EXECMOD", "EXECSTACK", "FILE_EXECUTE", "MMAP_ZERO", "OTHER", "SELINUX"]

_NEEDS = (Need.ANSWERED, Need.VM_FLAGS, Need.BEFORE, Need.POLICY)
_LOG = admin(
    "Look the refusal up in the audit log, and allow it for this domain only.",
    "ausearch -m avc -ts recent{only}",
)
_BOOLEAN = admin(
    "Allow it by the policy's own switch {switch} (weakens every program in such a domain).",
    "setsebool -P {booleans}",
)
_PERHAPS = admin(
    "A switch of the policy may govern this for {governed} ({perhaps}): sesearch shows whether one does.",
    "sesearch -A -s {governed} -c {tclass} -p {permission}",
)
_SETTLE = admin(
    "To be sure which permission it was: the audit log names it. If it names nothing, a dontaudit rule may "
    "hide it: “semodule -DB” takes these rules out, “semodule -B” puts them back.",
    "ausearch -m avc -ts recent{only}",
)
_EACCES = (Errno.EACCES,)
_GAIN = {"mmap": _EACCES, "mprotect": _EACCES, "pkey_mprotect": _EACCES}
_AT_MPROTECT = {"mprotect": _EACCES, "pkey_mprotect": _EACCES}
_HOOKS = "security/selinux/hooks.c:"


def _fixed_by(*fixes: Fix) -> Tuple[Tuple[Fix, ...], Dict[str, Case]]:
    """The usual fixes, and the cases: where a boolean forbids, and where the policy could not be asked."""
    return (*fixes, _PERHAPS, _LOG), {
        "boolean": Case("", (*fixes, _BOOLEAN)),
        "unsettled": Case("", (*fixes, _BOOLEAN, _PERHAPS, _SETTLE)),
    }


_TWO_VIEWS = developer("Write through one view and execute through another (memfd_create, mapped twice MAP_SHARED).")
_EXECMEM = _fixed_by(_TWO_VIEWS)
_EXECHEAP = _fixed_by(
    developer(
        "Take the code buffer from mmap(MAP_ANONYMOUS), not from malloc: the heap must never be executable, and "
        "{may_execmem} may make such memory so."
    ),
    _TWO_VIEWS,
)
_EXECSTACK = _fixed_by(
    developer("Link with -z noexecstack and avoid nested-function trampolines; keep code off the stack.")
)
_EXECMOD = _fixed_by(
    developer(
        "Map the file executable from the beginning, and do not write to that mapping; a private mapping of /dev/zero "
        "counts as a file here."
    ),
    developer("Copy the code into MAP_ANONYMOUS memory, which {may_execmem} may make executable."),
    _TWO_VIEWS,
)
_FILE_EXECUTE = _fixed_by(
    developer("Load code from files labelled for it, such as those under /usr/lib."),
    admin("Give {relabelled} the label that its place asks for, if it has another one.", "restorecon -v {quoted_path}"),
)
_LOW = _fixed_by(developer("Use a higher address."))
_OTHER = _fixed_by()
_TOUCHES = (
    "SELinux refused {permissions} to {domain}: the memory touches the heap, but is not the heap (kernels 6.6 to 6.10 "
    "mistake one for the other)"
)
_LEAVE_FREE = (
    developer("Leave a page free between the heap and the code buffer."),
    admin("Install a kernel from 6.11 on, or a stable release that has the correction."),
)

EXECMEM = Cause(
    "selinux.execmem",
    "SELinux",
    "Memory that belongs to no file, or is writable at the same time, was to become executable.",
    {**_GAIN, "shmat": _EACCES, "remap_file_pages": _EACCES},
    _NEEDS,
    "SELinux refused {permissions} to {domain}: memory that belongs to no file, or is writable at the same time, "
    "was to become executable",
    _EXECMEM[0],
    _HOOKS + "file_map_prot_check",
    _EXECMEM[1],
    example="jit_anon",
)
EXECHEAP = Cause(
    "selinux.execheap",
    "SELinux",
    "The heap (the memory that brk manages and malloc uses) was to become executable.",
    _AT_MPROTECT,
    (*_NEEDS, Need.BREAK),
    "SELinux refused {permissions} to {domain}: the brk heap was to become executable",
    _EXECHEAP[0],
    _HOOKS + "selinux_file_mprotect",
    {
        **_EXECHEAP[1],
        "touching": Case(_TOUCHES, _LEAVE_FREE),
        "touching-unsettled": Case(_TOUCHES, (*_LEAVE_FREE, _SETTLE)),
    },
    example="jit_memalign_small",
)
EXECSTACK = Cause(
    "selinux.execstack",
    "SELinux",
    "A stack was to become executable: the main one, or that of the calling thread.",
    _AT_MPROTECT,
    _NEEDS,
    "SELinux refused {permissions} to {domain}: a stack was to become executable",
    _EXECSTACK[0],
    _HOOKS + "selinux_file_mprotect",
    _EXECSTACK[1],
    example="stack_exec",
)
EXECMOD = Cause(
    "selinux.execmod",
    "SELinux",
    "Memory mapped from a file, and written to since, was to become executable.",
    _AT_MPROTECT,
    _NEEDS,
    "SELinux refused {permissions} to {domain}: memory mapped from a file, and changed since, was to become executable",
    _EXECMOD[0],
    _HOOKS + "selinux_file_mprotect",
    _EXECMOD[1],
    example="jit_file_cow",
)
FILE_EXECUTE = Cause(
    "selinux.file-execute",
    "SELinux",
    "The program may not map this file as code.",
    {**_GAIN, "remap_file_pages": _EACCES},
    _NEEDS,
    "SELinux refused {permissions} to {domain}: the file may not be executed or mapped executable",
    _FILE_EXECUTE[0],
    _HOOKS + "file_map_prot_check",
    _FILE_EXECUTE[1],
    example="jit_memfd_dual",
)
MMAP_ZERO = Cause(
    "selinux.mmap-zero",
    "SELinux",
    "A mapping at an address that is kept free to catch null pointers.",
    {"mmap": _EACCES, "mremap": _EACCES, "shmat": _EACCES},
    (Need.ANSWERED, Need.ARGUMENTS, Need.POLICY),
    "SELinux refused memprotect:mmap_zero to {domain}: low addresses are kept free to catch null pointers, even "
    "for root",
    _LOW[0],
    _HOOKS + "selinux_mmap_addr",
    _LOW[1],
    example="low_address",
)
OTHER = Cause(
    "selinux.other",
    "SELinux",
    "Another permission of SELinux: the program may not map, read or write this object.",
    {**_GAIN, "shmat": _EACCES, "remap_file_pages": _EACCES},
    _NEEDS,
    "SELinux refused {permissions} to {domain}: its policy does not allow this access",
    _OTHER[0],
    _HOOKS + "selinux_mmap_file",
    _OTHER[1],
)
SELINUX = (EXECMEM, EXECHEAP, EXECSTACK, EXECMOD, FILE_EXECUTE, MMAP_ZERO, OTHER)
