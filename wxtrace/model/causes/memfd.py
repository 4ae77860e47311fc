"""memfd.*: files in memory, how they are made, and what is sealed in them (mm/memfd.c)."""

from __future__ import annotations

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, refuses, rule
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.opened import ARGUMENTS, can_write, file_request, is_shared
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.model.syscalls.memfd import MemfdCreate

__all__ = ["FLAGS", "MEMFDS", "NOEXEC_SYSCTL", "WRITE_SEAL", "flags", "name", "noexec_sysctl", "write_seal"]

_KNOWN = 0x1F
_SINCE_6_3 = f.MFD_EXEC | f.MFD_NOEXEC_SEAL
_F_SEAL_WRITE, _F_SEAL_FUTURE_WRITE = 8, 16

WRITE_SEAL = Cause(
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
)
NOEXEC_SYSCTL = Cause(
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
)
FLAGS = Cause(
    "memfd.flags",
    "kernel",
    "The flags of memfd_create are not known, or exclude each other, or the name is longer than 249 bytes.",
    {"memfd_create": (Errno.EINVAL,)},
    (Need.ANSWERED, Need.ARGUMENTS),
    "memfd_create does not know these flags (or the name is longer than 249 bytes)",
    (developer("Try again without the newer flags (MFD_EXEC and MFD_NOEXEC_SEAL need Linux 6.3)."),),
    "mm/memfd.c:sanitize_flags",
    {
        "both": Case("MFD_EXEC and MFD_NOEXEC_SEAL exclude each other", (developer("Pass one of the two, not both."),)),
        "old": Case("this kernel ({kernel}) is older than MFD_EXEC and MFD_NOEXEC_SEAL"),
        "name": Case(
            "the name of a memfd can have 249 bytes at most", (developer("Pass a shorter name; it is only shown."),)
        ),
    },
    outcome=Outcome.PROBE,
)
MEMFDS = (WRITE_SEAL, NOEXEC_SYSCTL, FLAGS)


@rule(FLAGS)
def flags(ctx: CallContext) -> Answer:
    """Flags that the kernel does not know, or two that exclude each other."""
    assert isinstance(ctx.request, MemfdCreate)
    asked = ctx.request.flags
    shown = seen("flags are %s" % f.named_bits(asked, f.MEMFD), ARGUMENTS)
    sizes = f.HUGE_MASK << f.HUGE_SHIFT if asked & f.MFD_HUGETLB else 0
    if asked & ~(_KNOWN | sizes):
        return refuses(ctx, FLAGS, shown)
    if not asked & _SINCE_6_3:
        return LETS_THROUGH
    if ctx.kernel == (0, 0):
        return may_refuse(ctx, FLAGS, shown, without=(Need.KERNEL,))
    if ctx.kernel < (6, 3):
        return refuses(ctx, FLAGS, shown, seen("this is Linux %s" % ctx.host.kernel, "uname"), case="old")
    return refuses(ctx, FLAGS, shown, case="both") if asked & _SINCE_6_3 == _SINCE_6_3 else LETS_THROUGH


@rule(NOEXEC_SYSCTL)
def noexec_sysctl(ctx: CallContext) -> Answer:
    """vm.memfd_noexec=2 (mm/memfd.c:check_sysctl_memfd_noexec), a setting of the pid namespace."""
    assert isinstance(ctx.request, MemfdCreate)
    asked, level = ctx.request.flags, ctx.probe.sysctl.get("vm.memfd_noexec")
    # 6.3 to 6.5 refused a call without either flag as well; since 6.6 it gets MFD_NOEXEC_SEAL by itself.
    concerned = asked & f.MFD_EXEC or (ctx.kernel < (6, 6) and not asked & f.MFD_NOEXEC_SEAL)
    if not concerned or (0, 0) < ctx.kernel < (6, 3):
        return LETS_THROUGH
    if level is None:
        return cannot_tell(ctx, NOEXEC_SYSCTL, Need.SYSCTL)
    if ctx.probe.same_namespaces and level != "2":
        return LETS_THROUGH
    shown = seen("flags are %s" % f.named_bits(asked, f.MEMFD), ARGUMENTS)
    setting = seen("vm.memfd_noexec = %s" % level, "/proc/sys/vm/memfd_noexec")
    return refuses(ctx, NOEXEC_SYSCTL, shown, setting, level="2")


@rule(FLAGS)
def name(ctx: CallContext) -> Answer:
    """A name of 250 bytes or more (mm/memfd.c:alloc_name), which stands in memory and is not read."""
    assert isinstance(ctx.request, MemfdCreate)
    shown = seen("flags are %s" % f.named_bits(ctx.request.flags, f.MEMFD), ARGUMENTS)
    known = seen("this kernel knows all of these flags", "mm/memfd.c:sanitize_flags")
    return may_refuse(ctx, FLAGS, shown, known, case="name", by_exclusion=True)


@rule(WRITE_SEAL)
def write_seal(ctx: CallContext) -> Answer:
    """A shared mapping that is to be writable (mm/memfd.c:memfd_check_seals_mmap)."""
    request, descriptor = file_request(ctx), ctx.probe.descriptor
    if request is None or not is_shared(request):
        return LETS_THROUGH
    if descriptor is None:
        return cannot_tell(ctx, WRITE_SEAL, Need.DESCRIPTOR)
    if descriptor.seals is None:
        # Only files in memory have seals: F_GET_SEALS gives EINVAL for others (mm/memfd.c:memfd_file_seals_ptr).
        return cannot_tell(ctx, WRITE_SEAL, Need.SEALS) if descriptor.link.startswith("/memfd:") else LETS_THROUGH
    if not descriptor.seals & (_F_SEAL_WRITE | _F_SEAL_FUTURE_WRITE):
        return LETS_THROUGH
    fact = seen("descriptor %d (%s) has seals %#x" % (request.fd, descriptor.link, descriptor.seals), "F_GET_SEALS")
    if ctx.wants & f.PROT_WRITE:
        return refuses(ctx, WRITE_SEAL, fact)
    # Before 6.7 F_SEAL_WRITE refused even a read-only shared mapping of a descriptor that may write (commit
    # 28464bbb2ddc, which some stable kernels have as well).
    old = ctx.kernel < (6, 7) and descriptor.seals & _F_SEAL_WRITE and can_write(ctx)
    return may_refuse(ctx, WRITE_SEAL, fact, by_exclusion=True) if old else LETS_THROUGH
