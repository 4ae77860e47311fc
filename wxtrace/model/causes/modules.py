"""Refusals that only a security module other than SELinux explains: which one, by what can be excluded."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, POSSIBLE, Finding, Refusal, found, pasteable, seen
from wxtrace.model.causes.module_hooks import WITHOUT_HOOKS, answers, bpf_on_memory, excluded_by
from wxtrace.model.causes.selinux_policy import selinux_grants
from wxtrace.model.event import Evidence
from wxtrace.model.restrictions import ModuleState

__all__ = ["excluded_modules", "module_refused", "module_with_sign"]

_LSM = "/sys/kernel/security/lsm"
_SOURCES = {
    "bpf": "bpf(BPF_PROG_GET_NEXT_ID)",
    "apparmor": "/proc/PID/attr/apparmor/current",
    "smack": "security/smack/smack_lsm.c",
    "ipe": "/sys/kernel/security/ipe",
    "ima": "/sys/kernel/security/ima/policy",
}


class _Suspect(NamedTuple):
    """A module that can have refused. `sign` is what speaks for it, beside being there."""

    name: str
    sign: Optional[Evidence]


def module_with_sign(refusal: Refusal) -> Optional[Finding]:
    """The one module that something speaks for, where none of the rules before explains the refusal."""
    suspects = _suspects(refusal)
    signed = [suspect for suspect in suspects if suspect.sign is not None]
    if len(signed) != 1:
        return None
    suspect = signed[0]
    sure = len(suspects) == 1 and refusal.kernel_decided and refusal.host.lsm_known and not _has_driver(refusal)
    others = [seen("%s cannot be excluded" % other.name, _LSM) for other in suspects if other is not suspect]
    lines = [suspect.sign] if suspect.sign is not None else []
    lines.append(seen("none of the kernel's own rules explains %s" % refusal.errno, "the evidence of this call"))
    return _FINDINGS[suspect.name](refusal, (*lines, *others, *excluded_modules(refusal)), sure)


def module_refused(refusal: Refusal) -> Optional[Finding]:
    """The last resort before `unknown`: several suspects, or none that anything speaks for."""
    finding = module_with_sign(refusal)
    if finding is not None:
        return finding
    suspects = _suspects(refusal)
    return _several(refusal, suspects) if suspects and refusal.errno in ("EACCES", "EPERM") else None


def _has_driver(refusal: Refusal) -> bool:
    """A device's own mmap operation may give any errno."""
    descriptor = refusal.probe.descriptor
    return descriptor is not None and descriptor.kind != "regular file" and descriptor.link != "/dev/zero"


def excluded_modules(refusal: Refusal) -> Tuple[Evidence, ...]:
    """Which modules it was not, and why."""
    lines = []
    granted = selinux_grants(refusal)
    if granted is not None:
        lines.append(granted)
    for name in refusal.host.lsm:
        if answers(name, refusal.request.name, refusal.errno):
            why = excluded_by(name, refusal.request, refusal.wants, refusal.probe)
            if why is not None:
                lines.append(seen(why, _SOURCES[name]))
    idle = [name for name in refusal.host.lsm if name in WITHOUT_HOOKS and name != "capability"]
    if idle:
        lines.append(seen("%s: no part in memory calls" % ", ".join(idle), "their hooks in security/"))
    return tuple(lines)


def _suspects(refusal: Refusal) -> List[_Suspect]:
    request, probe = refusal.request, refusal.probe
    if refusal.request.name == "mremap" and not refusal.old.flags & f.MREMAP_FIXED:
        return []
    found_suspects = []
    for name in refusal.host.lsm:
        if not answers(name, request.name, refusal.errno):
            continue
        if excluded_by(name, request, refusal.wants, probe) is None and not _never_gains(name, refusal):
            found_suspects.append(_Suspect(name, _sign(name, probe.modules)))
    return found_suspects


def _never_gains(name: str, refusal: Refusal) -> bool:
    """IPE and IMA look at mprotect only where something becomes executable that was not."""
    if name not in ("ipe", "ima") or refusal.request.name not in ("mprotect", "pkey_mprotect"):
        return False
    parts = refusal.reached()
    return bool(parts) and all(part.before & f.PROT_EXEC for part in parts)


def _sign(name: str, state: Optional[ModuleState]) -> Optional[Evidence]:
    if state is None:
        return None
    text = None
    if name == "apparmor" and state.apparmor:
        text = "AppArmor confines the process by the profile %s" % state.apparmor
    elif name == "smack" and state.smack_mmap:
        text = "the file asks for the label %s (SMACK64MMAP), and the process runs as %s" % (
            state.smack_mmap,
            state.smack or "an unknown one",
        )
    elif name == "bpf" and state.bpf_programs:
        programs = ["%s (%s)" % (id, label) for id, label in sorted(bpf_on_memory(state.bpf_programs).items())]
        text = "BPF security programs are loaded (id, hook, name): %s" % ", ".join(programs)
    elif name == "ipe" and state.ipe_policy:
        text = "IPE enforces its policy %s" % state.ipe_policy
    elif name == "ima" and state.ima_rules:
        text = "IMA's policy has the rule “%s”" % state.ima_rules[0]
    return None if text is None else seen(text, _SOURCES[name])


def _several(refusal: Refusal, suspects: List[_Suspect]) -> Finding:
    signs = [suspect.sign for suspect in suspects if suspect.sign is not None]
    return found(
        refusal,
        "lsm.unknown",
        *signs,
        *excluded_modules(refusal),
        at_most=POSSIBLE,
        modules=", ".join(suspect.name for suspect in suspects),
    )


def _path(refusal: Refusal) -> Optional[str]:
    if refusal.request.name == "mmap":
        return refusal.probe.descriptor.link if refusal.probe.descriptor is not None else None
    return next((part.vma.line.path for part in refusal.reached() if part.vma.line.inode), None)


def _apparmor(refusal: Refusal, lines: Tuple[Evidence, ...], sure: bool) -> Finding:
    state, path = refusal.probe.modules, _path(refusal)
    label = state.apparmor if state is not None else None
    shared = refusal.request.name == "mmap" and refusal.old.flags & f.MAP_TYPE in (
        f.MAP_SHARED,
        f.MAP_SHARED_VALIDATE,
    )
    letters = [("m", f.PROT_EXEC), ("r", f.PROT_READ), ("w", f.PROT_WRITE if shared else 0)]
    wanted = "".join(letter for letter, bit in letters if refusal.wants & bit) or "r"
    printable = path if path and path.isprintable() else None
    return found(
        refusal,
        "apparmor",
        *lines,
        at_most=CONSISTENT if sure else POSSIBLE,
        label=label.partition(" (")[0] if label else "of the program",
        path=path or "this file",
        wanted=wanted,
        line='"%s" %s,' % (printable, wanted) if printable else "PATH %s," % wanted,
    )


def _ipe(refusal: Refusal, lines: Tuple[Evidence, ...], sure: bool) -> Finding:
    has_path = _path(refusal) is not None
    return found(refusal, "ipe", *lines, case="" if has_path else "no-file", at_most=CONSISTENT if sure else POSSIBLE)


def _smack(refusal: Refusal, lines: Tuple[Evidence, ...], sure: bool) -> Finding:
    path = _path(refusal)
    at_most = CONSISTENT if sure else POSSIBLE
    return found(refusal, "smack", *lines, at_most=at_most, path=path or "it maps", quoted_path=pasteable(path))


def _ima(refusal: Refusal, lines: Tuple[Evidence, ...], sure: bool) -> Finding:
    case = "" if refusal.request.name == "mmap" else "later"
    at_most = CONSISTENT if sure else POSSIBLE
    return found(refusal, "ima", *lines, case=case, at_most=at_most, path=_path(refusal) or "the file")


def _bpf(refusal: Refusal, lines: Tuple[Evidence, ...], sure: bool) -> Finding:
    state = refusal.probe.modules
    programs = sorted(bpf_on_memory(state.bpf_programs or {}).items()) if state is not None else []
    hooks = sorted({text.partition(" ")[0] for _, text in programs} - {"?"})
    program = programs[0][0] if len(programs) == 1 else None
    at_most = CONSISTENT if sure else POSSIBLE
    hook = " or ".join(hooks) or "of this call"
    return found(refusal, "bpf-lsm", *lines, at_most=at_most, hook=hook, program=program)


_FINDINGS: Dict[str, Callable[[Refusal, Tuple[Evidence, ...], bool], Finding]] = {
    "apparmor": _apparmor,
    "ipe": _ipe,
    "smack": _smack,
    "ima": _ima,
    "bpf": _bpf,
}
