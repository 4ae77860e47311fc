"""Calls that make something new, or set a rule: memfds, keys, huge pages, shadow stacks, aio, prctl."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.base import Finding, Refusal, found, number_of, seen, size_text

__all__ = [
    "huge_page_size",
    "mdwe_arguments",
    "memfd_flags",
    "memfd_must_not_run",
    "protection_key",
    "secret_memory_off",
    "shadow_stack",
]

_ARGUMENTS = "the arguments of the call"
_KNOWN_MEMFD = 0x1F
_MFD_SINCE_6_3 = f.MFD_EXEC | f.MFD_NOEXEC_SEAL
_SHADOW_STACK_CODES = frozenset(range(0x5001, 0x5006))
_SHADOW_STACK_SET_TOKEN = 1
_NO_KEY = 0xFFFFFFFF
_KEY_RIGHTS = 3
"""PKEY_DISABLE_ACCESS and PKEY_DISABLE_WRITE."""


def memfd_flags(refusal: Refusal) -> Optional[Finding]:
    """memfd_create EINVAL: flags the kernel does not know, or two that exclude each other, or a name of 250 bytes."""
    if refusal.request.name != "memfd_create" or refusal.errno != "EINVAL":
        return None
    flags = refusal.old.flags
    shown = seen("flags are %s" % f.named_bits(flags, f.MEMFD), _ARGUMENTS)
    sizes = f.HUGE_MASK << f.HUGE_SHIFT if flags & f.MFD_HUGETLB else 0
    if flags & ~(_KNOWN_MEMFD | sizes):
        return found(refusal, "memfd.flags", shown)
    if flags & _MFD_SINCE_6_3 and (0, 0) < refusal.kernel < (6, 3):
        version = seen("this is Linux %s" % refusal.host.kernel, "uname")
        return found(refusal, "memfd.flags", shown, version, case="old")
    if flags & _MFD_SINCE_6_3 == _MFD_SINCE_6_3:
        return found(refusal, "memfd.flags", shown, case="both")
    known = seen("this kernel knows all of these flags", "mm/memfd.c:sanitize_flags")
    return found(refusal, "memfd.flags", shown, known, case="name", certain=refusal.kernel >= (6, 3))


def memfd_must_not_run(refusal: Refusal) -> Optional[Finding]:
    """EACCES at vm.memfd_noexec=2 (mm/memfd.c:check_sysctl_memfd_noexec)."""
    if refusal.request.name != "memfd_create" or refusal.errno != "EACCES":
        return None
    flags, level = refusal.old.flags, refusal.probe.sysctl.get("vm.memfd_noexec")
    # 6.3 to 6.5 refused a call without either flag as well; since 6.6 it gets MFD_NOEXEC_SEAL by itself.
    refused = flags & f.MFD_EXEC or (refusal.kernel < (6, 6) and not flags & f.MFD_NOEXEC_SEAL)
    if level is None or not refused:
        return None
    shown = seen("flags are %s" % f.named_bits(flags, f.MEMFD), _ARGUMENTS)
    setting = seen("vm.memfd_noexec = %s" % level, "/proc/sys/vm/memfd_noexec")
    if refusal.probe.same_namespaces and level != "2":
        return None
    return found(refusal, "memfd.noexec-sysctl", shown, setting, level="2")


def huge_page_size(refusal: Refusal) -> Optional[Finding]:
    """MAP_HUGETLB or MFD_HUGETLB with a size nobody offers, or for a file that is not of hugetlbfs."""
    request = refusal.old
    if request.name == "memfd_create" and refusal.errno == "ENODEV" and request.flags & f.MFD_HUGETLB:
        return _no_such_size(refusal)
    if request.name != "mmap" or refusal.errno != "EINVAL" or not request.flags & f.MAP_HUGETLB:
        return None
    if not request.flags & f.MAP_ANONYMOUS:
        link = refusal.probe.descriptor.link if refusal.probe.descriptor is not None else ""
        if link.startswith(("/memfd:", "/anon_hugepage")):
            return None
        fact = seen("descriptor %d is %s" % (request.fd, link or "not open"), "/proc/PID/fd")
        return found(refusal, "hugetlb", fact, case="file")
    return _no_such_size(refusal)


def _no_such_size(refusal: Refusal) -> Optional[Finding]:
    sizes, request = refusal.probe.huge_pages, refusal.old
    chosen = request.flags >> f.HUGE_SHIFT & f.HUGE_MASK
    if sizes is None:
        return None
    known = sorted(size for size in map(number_of, sizes) if size)
    if (1 << chosen in known) if chosen else known:
        size = 1 << chosen if chosen else known[0]
        if request.name != "mmap" or not request.flags & f.MAP_FIXED or request.addr % size == 0:
            return None
        fact = seen("address %#x" % request.addr, _ARGUMENTS)
        return found(refusal, "hugetlb", fact, case="alignment", size=size_text(size))
    offered = ", ".join(size_text(size) for size in known) or "none"
    fact = seen("sizes on this machine: %s" % offered, "/sys/kernel/mm/hugepages")
    return found(refusal, "hugetlb", fact, case="size", size=size_text(1 << chosen) if chosen else "any size")


def protection_key(refusal: Refusal) -> Optional[Finding]:
    """Keys that are not there: pkey_mprotect and pkey_free EINVAL, pkey_alloc ENOSPC (mm/mprotect.c)."""
    name, errno = refusal.request.name, refusal.errno
    features = refusal.probe.cpu_features
    supported = features is None or "ospke" in features
    flags, rights = (*refusal.args, 0, 0)[:2]
    if name == "pkey_alloc" and errno == "EINVAL" and (flags or rights & ~_KEY_RIGHTS):
        fact = seen("flags are %#x, rights are %#x" % (flags, rights), _ARGUMENTS)
        return found(refusal, "argument.flags", fact, case="rights")
    if name == "pkey_alloc":
        if features is None:
            return found(refusal, "pkey", case="none-left", certain=False)
        fact = seen("ospke is %s" % ("listed" if supported else "not listed"), "/proc/cpuinfo")
        return found(refusal, "pkey", fact, case="none-left" if supported else "no-support")
    if name not in ("pkey_mprotect", "pkey_free") or errno != "EINVAL":
        return None
    key = (*refusal.args, 0, 0, 0, 0)[3 if name == "pkey_mprotect" else 0] & 0xFFFFFFFF
    if name == "pkey_mprotect" and key in (0, _NO_KEY):
        return None
    # No call tells which keys are allocated; what else gives EINVAL was looked at before.
    return found(refusal, "pkey", seen("key %d" % key, _ARGUMENTS), key=key)


def secret_memory_off(refusal: Refusal) -> Optional[Finding]:
    """memfd_secret: not in this kernel, or switched off (mm/secretmem.c)."""
    if refusal.request.name != "memfd_secret":
        return None
    if refusal.errno == "ENOSYS":
        return found(refusal, "secretmem", seen("memfd_secret gave ENOSYS", "the call"), case="off")
    if refusal.errno == "EINVAL":
        flags = (*refusal.args, 0)[0]
        return found(refusal, "argument.flags", seen("flags are %#x" % flags, _ARGUMENTS))
    return None


def shadow_stack(refusal: Refusal) -> Optional[Finding]:
    """map_shadow_stack, and the codes of arch_prctl that switch shadow stacks (arch/x86/kernel/shstk.c)."""
    request, errno = refusal.old, refusal.errno
    if request.name == "arch_prctl" and (request.flags not in _SHADOW_STACK_CODES or errno in ("EFAULT", "EPERM")):
        return None
    if request.name not in ("map_shadow_stack", "arch_prctl"):
        return None
    address, size, flags = (*refusal.args, 0, 0, 0)[:3]
    features = refusal.probe.cpu_features
    if request.name == "arch_prctl" or errno in ("EOPNOTSUPP", "ENOSYS", "ENOTSUPP"):
        evidence = []
        if features is not None:
            listed = "listed" if "user_shstk" in features else "not listed"
            evidence.append(seen("user_shstk is %s" % listed, "/proc/cpuinfo"))
        return found(refusal, "shadow-stack", *evidence)
    if errno == "EINVAL" and flags & ~_SHADOW_STACK_SET_TOKEN:
        return found(refusal, "shadow-stack", seen("flags are %#x" % flags, _ARGUMENTS), case="flags")
    if errno == "EINVAL" and address % refusal.host.page_size:
        fact = seen("the address is %#x" % address, _ARGUMENTS)
        return found(refusal, "argument.alignment", fact, what="the address")
    if errno == "ENOSPC":
        fact = seen("the size is %d bytes" % size, _ARGUMENTS)
        return found(refusal, "shadow-stack", fact, case="size", size=size)
    if errno == "ERANGE":
        return found(refusal, "shadow-stack", seen("the address is %#x" % address, _ARGUMENTS), case="low")
    if errno == "EOVERFLOW":
        return found(refusal, "argument.length", seen("the size is %#x" % size, _ARGUMENTS), case="wraps")
    return None


def mdwe_arguments(refusal: Refusal) -> Optional[Finding]:
    """PR_SET_MDWE itself: unknown bits, an older kernel, or an attempt to change it (kernel/sys.c:prctl_set_mdwe)."""
    if refusal.request.name != "prctl" or refusal.old.flags != f.PR_SET_MDWE:
        return None
    bits = seen("bits are %s" % f.named_bits((*refusal.args, 0, 0)[1], f.MDWE), _ARGUMENTS)
    if refusal.errno == "EPERM":
        return found(refusal, "argument.flags", bits, case="mdwe-kept")
    if refusal.errno != "EINVAL":
        return None
    if (0, 0) < refusal.kernel < (6, 3):
        version = seen("this is Linux %s" % refusal.host.kernel, "uname")
        return found(refusal, "argument.flags", bits, version, case="mdwe-old")
    return found(refusal, "argument.flags", bits, case="mdwe")
