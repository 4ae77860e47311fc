"""Causes in a security module: SELinux by the permission it refused, and the other modules."""

from __future__ import annotations

from typing import Dict, Tuple

from wxtrace.model.causes.entry import ANY_ERRNO, Case, Cause, Need, admin, developer
from wxtrace.model.enumerations import Errno
from wxtrace.model.event import Fix

__all__ = ["MODULES"]

_SELINUX = (Need.ANSWERED, Need.VM_FLAGS, Need.BEFORE, Need.POLICY)
_LOG = admin(
    "Look the refusal up in the audit log, and allow it for this domain only.",
    "ausearch -m avc -ts recent{only}",
)
_BOOLEAN = admin(
    "Allow it by the policy's own switch (weakens every program in such a domain).", "setsebool -P {booleans}"
)
_UNSETTLED = Case(
    "",
    (
        admin(
            "To be sure which permission it was: the audit log names it. If it names nothing, a dontaudit rule may "
            "hide it: “semodule -DB” takes these rules out, “semodule -B” puts them back.",
            "ausearch -m avc -ts recent{only}",
        ),
    ),
)
_GAIN = {"mmap": (Errno.EACCES,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)}
_HOOKS = "security/selinux/hooks.c:"


def _fixed_by(fix: Fix) -> Tuple[Tuple[Fix, ...], Dict[str, Case]]:
    """The usual fixes, and the cases: where a boolean forbids, and where the policy could not be asked."""
    return (fix, _LOG), {"boolean": Case("", (fix, _BOOLEAN)), "unsettled": _UNSETTLED}


_EXECMEM = _fixed_by(
    developer("Write through one view and execute through another (memfd_create, mapped twice MAP_SHARED).")
)
_EXECHEAP = _fixed_by(
    developer("Take the code buffer from mmap(MAP_ANONYMOUS), not from malloc: the heap must never be executable.")
)
_EXECSTACK = _fixed_by(
    developer("Link with -z noexecstack and avoid nested-function trampolines; keep code off the stack.")
)
_EXECMOD = _fixed_by(
    developer(
        "Map the file executable from the beginning, or copy the code into MAP_ANONYMOUS memory; a private mapping of "
        "/dev/zero counts as a file here."
    )
)
_LOW = _fixed_by(developer("Use a higher address."))

MODULES = (
    Cause(
        "selinux.execmem",
        "SELinux",
        "Memory that belongs to no file, or is writable at the same time, was to become executable.",
        {**_GAIN, "shmat": (Errno.EACCES,)},
        _SELINUX,
        "SELinux refused {permissions} to {domain}: memory that belongs to no file, or is writable at the same time, "
        "was to become executable",
        _EXECMEM[0],
        _HOOKS + "file_map_prot_check",
        _EXECMEM[1],
        example="jit_anon",
    ),
    Cause(
        "selinux.execheap",
        "SELinux",
        "The heap (the memory that brk manages and malloc uses) was to become executable.",
        {"mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
        (*_SELINUX, Need.BREAK),
        "SELinux refused {permissions} to {domain}: the brk heap was to become executable",
        _EXECHEAP[0],
        _HOOKS + "selinux_file_mprotect",
        {
            **_EXECHEAP[1],
            "touching": Case(
                "SELinux refused {permissions} to {domain}: the memory touches the heap, but is not the heap (kernels "
                "6.6 to 6.10 mistake one for the other)",
                (
                    developer("Leave a page free between the heap and the code buffer."),
                    admin("Install a kernel from 6.11 on, or a stable release that has the correction."),
                ),
            ),
        },
        example="jit_memalign_small",
    ),
    Cause(
        "selinux.execstack",
        "SELinux",
        "A stack was to become executable: the main one, or that of the calling thread.",
        {"mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
        _SELINUX,
        "SELinux refused {permissions} to {domain}: a stack was to become executable",
        _EXECSTACK[0],
        _HOOKS + "selinux_file_mprotect",
        _EXECSTACK[1],
        example="stack_exec",
    ),
    Cause(
        "selinux.execmod",
        "SELinux",
        "Memory mapped from a file, and written to since, was to become executable.",
        {"mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)},
        _SELINUX,
        "SELinux refused {permissions} to {domain}: memory mapped from a file, and changed since, was to become "
        "executable",
        _EXECMOD[0],
        _HOOKS + "selinux_file_mprotect",
        _EXECMOD[1],
        example="jit_file_cow",
    ),
    Cause(
        "selinux.file-execute",
        "SELinux",
        "The program may not map this file as code.",
        _GAIN,
        _SELINUX,
        "SELinux refused {permissions} to {domain}: the file may not be executed or mapped executable",
        (
            developer("Load code from files labelled for it, such as those under /usr/lib."),
            admin("Give the file the label that its place asks for.", "restorecon -v {quoted_path}"),
            _LOG,
        ),
        _HOOKS + "file_map_prot_check",
        {"unsettled": _UNSETTLED},
        example="jit_memfd_dual",
    ),
    Cause(
        "selinux.mmap-zero",
        "SELinux",
        "A mapping at an address that is kept free to catch null pointers.",
        {"mmap": (Errno.EACCES,), "mremap": (Errno.EACCES,), "shmat": (Errno.EACCES,)},
        (Need.ANSWERED, Need.ARGUMENTS, Need.POLICY),
        "SELinux refused memprotect:mmap_zero to {domain}: low addresses are kept free to catch null pointers, even "
        "for root",
        _LOW[0],
        _HOOKS + "selinux_mmap_addr",
        _LOW[1],
        example="low_address",
    ),
    Cause(
        "selinux.other",
        "SELinux",
        "Another permission of SELinux: the program may not map, read or write this object.",
        {**_GAIN, "shmat": (Errno.EACCES,), "remap_file_pages": (Errno.EACCES,)},
        _SELINUX,
        "SELinux refused {permissions} to {domain}: its policy does not allow this access",
        (_LOG,),
        _HOOKS + "selinux_mmap_file",
        {"unsettled": _UNSETTLED},
    ),
    Cause(
        "apparmor",
        "AppArmor",
        "The profile of the program does not let it map this file as code (m), read it (r) or write it (w).",
        _GAIN,
        (Need.ANSWERED, Need.VM_FLAGS, Need.POLICY),
        "AppArmor: the profile {label} does not allow to map {path} this way (it takes the rights {wanted})",
        (
            developer("Load code from the places the profile allows; anonymous memory is never checked."),
            admin("Add the line “{line}” to the profile {label} and load it again.", "aa-logprof"),
            admin("To be sure: the kernel log names profile, file and right.", "journalctl -k -g apparmor=.DENIED"),
        ),
        "security/apparmor/lsm.c:apparmor_mmap_file, apparmor_file_mprotect",
    ),
    Cause(
        "ipe",
        "IPE",
        "The integrity policy (IPE) lets only trusted files be executed, and refuses memory without a file as well.",
        _GAIN,
        (Need.ANSWERED, Need.VM_FLAGS, Need.POLICY),
        "IPE: the active policy lets only trusted files become executable, and this is not one",
        (
            developer("Ship the code as a file the policy trusts; code made at run time cannot pass."),
            admin("Look it up in the audit log (type 1420) and adapt the policy.", "ausearch -m 1420 -ts recent"),
        ),
        "security/ipe/hooks.c:ipe_mmap_file, ipe_file_mprotect",
        {
            "no-file": Case(
                "IPE: the active policy lets only trusted files become executable, and this memory belongs to no file"
            )
        },
    ),
    Cause(
        "smack",
        "Smack",
        "The file carries a Smack label for mapping (SMACK64MMAP) that the program's rules do not satisfy.",
        {"mmap": (Errno.EACCES, Errno.EPERM)},
        (Need.ANSWERED, Need.DESCRIPTOR, Need.POLICY),
        "Smack: the file {path} carries a label that this program may not map",
        (
            admin(
                "Add a rule for the program's label, or take SMACK64MMAP off the file.",
                "getfattr -n security.SMACK64MMAP {quoted_path}",
            ),
        ),
        "security/smack/smack_lsm.c:smack_mmap_file",
    ),
    Cause(
        "ima",
        "IMA",
        "Integrity measurement (IMA) demands a valid signature or hash for mapped code; no file in its policy can gain "
        "execution later.",
        {"mmap": (Errno.EACCES,), "mprotect": (Errno.EPERM,), "pkey_mprotect": (Errno.EPERM,)},
        (Need.ANSWERED, Need.VM_FLAGS, Need.POLICY),
        "IMA: {path} has no valid signature or hash, and the policy demands one for mapped code",
        (
            developer("Map the file executable from the beginning."),
            admin("Sign the file, and read why in the audit log.", "ausearch -m INTEGRITY_DATA -ts recent"),
        ),
        "security/integrity/ima/ima_main.c:ima_file_mmap, ima_file_mprotect",
        {"later": Case("IMA: {path} is under its policy, and such a file cannot gain execution by mprotect")},
    ),
    Cause(
        "bpf-lsm",
        "BPF program",
        "A BPF program attached to a memory hook of the kernel refused, with an errno of its own choice.",
        {"mmap": ANY_ERRNO, "mprotect": ANY_ERRNO, "pkey_mprotect": ANY_ERRNO, "shmat": ANY_ERRNO, "mremap": ANY_ERRNO},
        (Need.ANSWERED, Need.POLICY),
        "a BPF program attached to the kernel's hook {hook} probably answered {errno}",
        (admin("Find out who loaded the program, and ask there.", "bpftool prog show id {program}"),),
        "security/bpf/hooks.c",
    ),
    Cause(
        "lsm.unknown",
        "a security module",
        "A security module is at work and nothing else explains the refusal, but which one it was cannot be told.",
        {
            "mmap": (Errno.EACCES, Errno.EPERM),
            "mprotect": (Errno.EACCES, Errno.EPERM),
            "pkey_mprotect": (Errno.EACCES, Errno.EPERM),
            "shmat": (Errno.EACCES, Errno.EPERM),
        },
        (Need.ANSWERED, Need.POLICY),
        "one of the security modules at work ({modules}) probably refused: no rule of the kernel explains {errno}",
        (admin("Look for the refusal in the kernel log and the audit log.", "journalctl -k -g DENIED"),),
        "security/security.c",
    ),
)
