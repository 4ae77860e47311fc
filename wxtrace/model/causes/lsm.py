"""The security modules other than SELinux: who may have refused, by their hooks and by what their files exclude.

Linux 6.18, grep of mmap_file, file_mprotect, mmap_addr and shm_shmat: lockdown, LoadPin, Yama, SafeSetID, TOMOYO,
Landlock and EVM have none of them. munmap, brk, madvise and mseal have no hook at all, mremap only that of a new
address. That one of these modules did refuse is nowhere to be read: they are named where nothing else explains it.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, cannot_tell, may_refuse, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import ANY_ERRNO, Case, Cause, Need, admin, developer
from wxtrace.model.causes.evidence import pasteable, seen
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap

__all__ = [
    "APPARMOR",
    "BPF_LSM",
    "IMA",
    "IPE",
    "LSM_UNKNOWN",
    "SMACK",
    "apparmor_at_mmap",
    "apparmor_at_mprotect",
    "bpf_at_address",
    "bpf_at_mmap",
    "bpf_at_mprotect",
    "either",
    "excluded",
    "ima_at_mmap",
    "ima_at_mprotect",
    "ipe_at_mmap",
    "ipe_at_mprotect",
    "smack_at_mmap",
    "unlisted_at_mmap",
    "unlisted_at_mprotect",
]

_GAIN = {"mmap": (Errno.EACCES,), "mprotect": (Errno.EACCES,), "pkey_mprotect": (Errno.EACCES,)}

APPARMOR = Cause(
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
)
IPE = Cause(
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
)
SMACK = Cause(
    "smack",
    "Smack",
    "The file carries a Smack label for mapping (SMACK64MMAP) that the program's rules do not satisfy.",
    {"mmap": (Errno.EACCES,)},
    (Need.ANSWERED, Need.DESCRIPTOR, Need.POLICY),
    "Smack: the file {path} carries a label that this program may not map",
    (
        admin(
            "Add a rule for the program's label, or take SMACK64MMAP off the file.",
            "getfattr -n security.SMACK64MMAP {quoted_path}",
        ),
    ),
    "security/smack/smack_lsm.c:smack_mmap_file",
)
IMA = Cause(
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
)
BPF_LSM = Cause(
    "bpf-lsm",
    "BPF program",
    "A BPF program attached to a memory hook of the kernel refused, with an errno of its own choice.",
    {"mmap": ANY_ERRNO, "mprotect": ANY_ERRNO, "pkey_mprotect": ANY_ERRNO, "shmat": ANY_ERRNO, "mremap": ANY_ERRNO},
    (Need.ANSWERED, Need.POLICY),
    "a BPF program attached to the kernel's hook {hook} probably answered {errno}",
    (admin("Find out who loaded the program, and ask there.", "bpftool prog show id {program}"),),
    "security/bpf/hooks.c",
)
_DENIED = (Errno.EACCES, Errno.EPERM)
LSM_UNKNOWN = Cause(
    "lsm.unknown",
    "a security module",
    "A security module is at work and nothing else explains the refusal, but which one it was cannot be told.",
    {"mmap": _DENIED, "mprotect": _DENIED, "pkey_mprotect": _DENIED, "shmat": _DENIED},
    (Need.ANSWERED, Need.POLICY),
    "one of the security modules at work ({modules}) probably refused: no rule of the kernel explains {errno}",
    (admin("Look for the refusal in the kernel log and the audit log.", "journalctl -k -g DENIED"),),
    "security/security.c",
)

_LSM = "/sys/kernel/security/lsm"
_ENTRIES = {"apparmor": APPARMOR, "smack": SMACK, "bpf": BPF_LSM, "ipe": IPE, "ima": IMA}
_TITLES = {"apparmor": "AppArmor", "smack": "Smack", "ima": "IMA", "ipe": "IPE"}
_SOURCES = {
    "bpf": "bpf(BPF_PROG_GET_NEXT_ID)",
    "apparmor": "/proc/PID/attr/apparmor/current",
    "smack": "security/smack/smack_lsm.c",
    "ipe": "/sys/kernel/security/ipe",
    "ima": "/sys/kernel/security/ima/policy",
}
_WITHOUT_HOOKS = frozenset({"lockdown", "loadpin", "yama", "safesetid", "tomoyo", "landlock", "evm"})
_BPF_HOOKS: Mapping[str, Tuple[str, ...]] = {
    "mmap": ("mmap_file", "mmap_addr"),
    "shmat": ("shm_shmat", "mmap_file", "mmap_addr"),
    "mprotect": ("file_mprotect",),
    "pkey_mprotect": ("file_mprotect",),
    "mremap": ("mmap_addr",),
}


class _Memory(NamedTuple):
    """What a module is asked about. `gains`: it was not executable and is to be."""

    has_file: bool
    path: Optional[str]
    wants: int
    shared: bool
    gains: bool


def _of_call(ctx: CallContext) -> _Memory:
    """The memory that a call makes; for mprotect all of the range at once."""
    request = ctx.request
    if isinstance(request, Mprotect):
        each = [_of_part(ctx, part) for part in ctx.reached()]
        gains = any(memory.gains for memory in each) or (not each and bool(ctx.wants & f.PROT_EXEC))
        shared, has_file = any(memory.shared for memory in each), any(memory.has_file for memory in each)
        return _Memory(has_file, None, ctx.wants, shared, gains)
    gains = bool(ctx.wants & f.PROT_EXEC)
    if not isinstance(request, Mmap):
        return _Memory(False, None, ctx.wants, True, gains)
    has_file = not request.flags & f.MAP_ANONYMOUS
    link = ctx.probe.descriptor.link if ctx.probe.descriptor is not None else None
    shared = request.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE)
    return _Memory(has_file, link if has_file else None, ctx.wants, shared, gains)


def _of_part(ctx: CallContext, part: Part) -> _Memory:
    line, wants = part.vma.line, ctx.wants_of(part)
    gains = bool(wants & f.PROT_EXEC and not part.before & f.PROT_EXEC)
    return _Memory(line.inode != 0, line.path if line.inode else None, wants, line.perms[3:] == "s", gains)


def _excluded_by(name: str, ctx: CallContext, memory: _Memory) -> Optional[str]:
    """Why a module that is at work cannot have refused; None where it can have."""
    state = ctx.probe.modules
    if name == "bpf":
        if state is None or state.bpf_programs is None or _bpf_programs(ctx):
            return None
        loaded = "no BPF security program is attached to a hook of memory calls"
        return loaded if state.bpf_programs else "no BPF security program is loaded"
    if name in ("apparmor", "smack", "ima") and not memory.has_file:
        return "%s only looks at files, and this memory belongs to none" % _TITLES[name]
    if name in ("ipe", "ima") and not memory.gains:
        return "%s only looks at what becomes executable" % _TITLES[name]
    if state is None:
        return None
    if name == "apparmor" and state.apparmor is not None:
        if state.apparmor == "unconfined" or state.apparmor.endswith("(complain)"):
            return "AppArmor's profile of the program is %s, which refuses nothing" % state.apparmor
    if name == "ipe" and (state.ipe_enforces is False or state.ipe_policy == ""):
        return "IPE does not enforce" if state.ipe_enforces is False else "IPE has no active policy"
    if name == "ima" and state.ima_rules == []:
        return "no rule of IMA's policy appraises mapped code"
    return None


def _bpf_programs(ctx: CallContext) -> Dict[str, str]:
    """Those of the loaded programs that this call runs into, or may ("?" for a hook that is not known), by id."""
    state = ctx.probe.modules
    hooks = (*_BPF_HOOKS.get(ctx.request.name, ()), "?")
    programs = state.bpf_programs or {} if state is not None else {}
    return {id: text for id, text in sorted(programs.items()) if text.partition(" ")[0] in hooks}


def _sign(name: str, ctx: CallContext) -> Optional[Evidence]:
    """What speaks for a module, beside its being there."""
    state, text = ctx.probe.modules, None
    if state is None:
        return None
    if name == "apparmor" and state.apparmor:
        text = "AppArmor confines the process by the profile %s" % state.apparmor
    elif name == "smack" and state.smack_mmap:
        text = "the file asks for the label %s (SMACK64MMAP), and the process runs as %s" % (
            state.smack_mmap,
            state.smack or "an unknown one",
        )
    elif name == "bpf" and state.bpf_programs:
        programs = ["%s (%s)" % one for one in _bpf_programs(ctx).items()]
        text = "BPF security programs are loaded (id, hook, name): %s" % ", ".join(programs)
    elif name == "ipe" and state.ipe_policy:
        text = "IPE enforces its policy %s" % state.ipe_policy
    elif name == "ima" and state.ima_rules:
        text = "IMA's policy has the rule “%s”" % state.ima_rules[0]
    return None if text is None else seen(text, _SOURCES[name])


def _may_have_refused(name: str, ctx: CallContext, memory: _Memory, case: str = "", **words: Any) -> Answer:
    """The answer of one module: never that it refuses for certain."""
    if name not in ctx.host.lsm or _excluded_by(name, ctx, memory) is not None:
        return LETS_THROUGH
    cause, sign = _ENTRIES[name], _sign(name, ctx)
    if sign is None:
        # Nothing speaks for it: it is one of those that cannot be excluded, with the errnos that modules give.
        gives = cause.gives(ctx.request.name) or _DENIED
        errno = gives[0] if len(gives) == 1 and isinstance(gives[0], Errno) else None
        need, possible = Need.BPF_PROGRAMS if name == "bpf" else Need.POLICY, Confidence.POSSIBLE
        among = LSM_UNKNOWN
        return may_refuse(ctx, among, errno=errno, without=(need,), at_most=possible, among=among, modules=name)
    sure = ctx.kernel_decided and ctx.host.lsm_known and not _has_driver(ctx)
    at_most = Confidence.CONSISTENT if sure else Confidence.POSSIBLE
    return may_refuse(ctx, cause, sign, case=case, at_most=at_most, among=LSM_UNKNOWN, modules=name, **words)


def _has_driver(ctx: CallContext) -> bool:
    """A device's own mmap operation may give any errno."""
    descriptor = ctx.probe.descriptor
    return descriptor is not None and descriptor.kind != "regular file" and descriptor.link != "/dev/zero"


def either(ctx: CallContext, answers: Sequence[Answer]) -> Answer:
    """What to say where several modules may have refused and nothing tells which."""
    names = dict.fromkeys(str(answer.words["modules"]) for answer in answers)
    signs = dict.fromkeys(sign for answer in answers for sign in answer.evidence)
    return may_refuse(
        ctx, LSM_UNKNOWN, *signs, at_most=Confidence.POSSIBLE, among=LSM_UNKNOWN, modules=", ".join(names)
    )


def excluded(ctx: CallContext, errno: Errno) -> Tuple[Evidence, ...]:
    """Which modules did not give this errno, and why."""
    lines: List[Evidence] = []
    for name in ctx.host.lsm:
        if name in _ENTRIES and _ENTRIES[name].promises(ctx.request.name, errno):
            why = _excluded_by(name, ctx, _of_call(ctx))
            if why is not None:
                lines.append(seen(why, _SOURCES[name]))
    idle = [name for name in ctx.host.lsm if name in _WITHOUT_HOOKS]
    if idle:
        lines.append(seen("%s: no part in memory calls" % ", ".join(idle), "their hooks in security/"))
    return tuple(lines)


@rule(APPARMOR, LSM_UNKNOWN)
def apparmor_at_mmap(ctx: CallContext) -> Answer:
    """apparmor_mmap_file."""
    return _apparmor(ctx, _of_call(ctx))


@vma_rule(APPARMOR, LSM_UNKNOWN)
def apparmor_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """apparmor_file_mprotect."""
    return _apparmor(ctx, _of_part(ctx, part))


def _apparmor(ctx: CallContext, memory: _Memory) -> Answer:
    letters = [("m", f.PROT_EXEC), ("r", f.PROT_READ), ("w", f.PROT_WRITE if memory.shared else 0)]
    wanted = "".join(letter for letter, bit in letters if memory.wants & bit)
    if not wanted:
        return LETS_THROUGH
    state, path = ctx.probe.modules, memory.path
    label = state.apparmor if state is not None else None
    printable = path if path and path.isprintable() else None
    return _may_have_refused(
        "apparmor",
        ctx,
        memory,
        label=label.partition(" (")[0] if label else "of the program",
        path=path or "this file",
        wanted=wanted,
        line='"%s" %s,' % (printable, wanted) if printable else "PATH %s," % wanted,
    )


@rule(IPE, LSM_UNKNOWN)
def ipe_at_mmap(ctx: CallContext) -> Answer:
    """ipe_mmap_file."""
    return _ipe(ctx, _of_call(ctx))


@vma_rule(IPE, LSM_UNKNOWN)
def ipe_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """ipe_file_mprotect."""
    return _ipe(ctx, _of_part(ctx, part))


def _ipe(ctx: CallContext, memory: _Memory) -> Answer:
    return _may_have_refused("ipe", ctx, memory, case="" if memory.has_file else "no-file")


@rule(SMACK, LSM_UNKNOWN)
def smack_at_mmap(ctx: CallContext) -> Answer:
    """smack_mmap_file; mprotect has no hook of Smack's."""
    memory = _of_call(ctx)
    path = memory.path or "it maps"
    return _may_have_refused("smack", ctx, memory, path=path, quoted_path=pasteable(memory.path))


@rule(IMA, LSM_UNKNOWN)
def ima_at_mmap(ctx: CallContext) -> Answer:
    """ima_file_mmap."""
    memory = _of_call(ctx)
    return _may_have_refused("ima", ctx, memory, path=memory.path or "the file")


@vma_rule(IMA, LSM_UNKNOWN)
def ima_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """ima_file_mprotect."""
    memory = _of_part(ctx, part)
    return _may_have_refused("ima", ctx, memory, case="later", path=memory.path or "the file")


@rule(BPF_LSM, LSM_UNKNOWN)
def bpf_at_mmap(ctx: CallContext) -> Answer:
    """Programs on mmap_file, and on the hooks of an address and of a segment beside it."""
    return _bpf(ctx) if ctx.request.name != "mremap" else LETS_THROUGH


@vma_rule(BPF_LSM, LSM_UNKNOWN)
def bpf_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """Programs on file_mprotect, which may look at any VMA."""
    return _bpf(ctx)


@rule(BPF_LSM)
def bpf_at_address(ctx: CallContext) -> Answer:
    """Programs on mmap_addr, asked about the target of mremap."""
    request = ctx.request
    fixed = isinstance(request, Mremap) and request.flags & f.MREMAP_FIXED
    return _bpf(ctx) if fixed and _sign("bpf", ctx) is not None else LETS_THROUGH


def _bpf(ctx: CallContext) -> Answer:
    programs = _bpf_programs(ctx)
    hooks = sorted({text.partition(" ")[0] for text in programs.values()} - {"?"})
    program = next(iter(programs)) if len(programs) == 1 else None
    return _may_have_refused("bpf", ctx, _of_call(ctx), hook=" or ".join(hooks) or "of this call", program=program)


@rule(LSM_UNKNOWN)
def unlisted_at_mmap(ctx: CallContext) -> Answer:
    """Any module, where their list cannot be read."""
    return LETS_THROUGH if ctx.host.lsm_known else cannot_tell(ctx, LSM_UNKNOWN, Need.MODULES)


@vma_rule(LSM_UNKNOWN)
def unlisted_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """The same for a VMA."""
    return LETS_THROUGH if ctx.host.lsm_known else cannot_tell(ctx, LSM_UNKNOWN, Need.MODULES)
