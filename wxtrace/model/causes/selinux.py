"""What SELinux refused: the permissions that the kernel asked for, held against the policy's own answer.

With that answer (selinuxfs, asked at the refusal) no audit log is needed. Without it, what fits is said, and what
would settle it.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.base import POSSIBLE, Finding, Part, Refusal, found, pasteable, seen
from wxtrace.model.causes.protections import mdwe_refuses
from wxtrace.model.causes.selinux_checks import (
    INSIDE,
    LOW,
    Check,
    HeapPredicate,
    Memory,
    checks_at_mmap,
    checks_at_mprotect,
    class_of,
    heap_predicate,
    memory_of,
)
from wxtrace.model.causes.selinux_policy import active, answer_about, decide, is_granted
from wxtrace.model.event import Evidence
from wxtrace.model.restrictions import DESCRIPTOR, PolicyAnswer

__all__ = ["low_address", "policy_denies_mmap", "selinux_at_mmap", "selinux_at_mprotect"]

_CAUSES = {"execute": "file-execute", "map": "other", "read": "other", "write": "other", "mmap_zero": "mmap-zero"}
_BOOLEANS = {
    "execheap": ("selinuxuser_execheap", "allow_execheap"),
    "execstack": ("selinuxuser_execstack", "allow_execstack"),
    "execmod": ("selinuxuser_execmod", "allow_execmod"),
    "execmem": ("deny_execmem", "allow_execmem"),
    "mmap_zero": ("mmap_low_allowed",),
}
"""The names that Fedora's and Debian's policies give them; deny_execmem is on where it forbids."""
_EARLIER = frozenset({"apparmor", "smack", "ipe", "bpf"})


def _finding(
    refusal: Refusal, checks: List[Check], about: str, more: Tuple[Evidence, ...], touching: bool = False
) -> Optional[Finding]:
    decision = decide(refusal, checks, about)
    if decision is None:
        return None
    check = decision.check
    boolean = _boolean(refusal, check.permission)
    if decision.by_exclusion:
        text = "all else that is asked here is granted, so it can only have been %s" % check.permission
        more = (*more, seen(text, "/sys/fs/selinux/access"))
    case = "boolean" if boolean else ""
    if touching and check.permission == "execheap":
        case = "touching"
    state = refusal.probe.selinux
    domain = state.domain if state is not None and state.domain else refusal.probe.lsm_label
    comm = pasteable(refusal.probe.comm)
    words: Dict[str, Any] = {
        "permissions": " or ".join("%s:%s" % (one.tclass, one.permission) for one in decision.permissions),
        "domain": domain.split(":")[2] if domain and domain.count(":") >= 2 else "the program",
        "booleans": _switches([boolean, *_needed_too(refusal, checks, about)]) if boolean else None,
        "only": " -c %s" % comm if comm is not None else "",
        "quoted_path": pasteable(_path(refusal, about)),
    }
    finding = found(
        refusal,
        "selinux." + _CAUSES.get(check.permission, check.permission),
        *_evidence(refusal, checks, about, domain),
        *more,
        case=case,
        certain=_nothing_else(refusal) and not (decision.by_exclusion and _other_suspects(refusal)),
        at_most=decision.confidence,
        **words,
    )
    if decision.answered:
        return finding
    settle = found(refusal, finding.cause, case="unsettled", at_most=POSSIBLE, **words).fixes
    asked_anyway = {fix.command for fix in settle}
    return replace(finding, fixes=(*(fix for fix in finding.fixes if fix.command not in asked_anyway), *settle))


def _needed_too(refusal: Refusal, checks: List[Check], about: str) -> List[Optional[Tuple[str, str]]]:
    """The booleans that forbid what the kernel would ask next."""
    return [_boolean(refusal, check.permission) for check in checks if is_granted(refusal, check, about) is False]


def _switches(booleans: List[Optional[Tuple[str, str]]]) -> str:
    """The words of setsebool for one boolean or several."""
    known = list(dict.fromkeys(boolean for boolean in booleans if boolean is not None))
    return " ".join("%s=%s" % boolean for boolean in known) if len(known) > 1 else "%s %s" % known[0]


def _nothing_else(refusal: Refusal) -> bool:
    """Whether nothing that the kernel looks at before SELinux can have given the same EACCES."""
    modules = refusal.host.lsm
    before = modules[: modules.index("selinux")] if "selinux" in modules else []
    if any(name in _EARLIER for name in before):
        return False
    if refusal.request.name not in ("mprotect", "pkey_mprotect") or refusal.effective_mdwe is not None:
        return True
    gains = any(mdwe_refuses(part.before, refusal.wants) for part in refusal.reached())
    return not gains or refusal.kernel < (6, 3)


def _other_suspects(refusal: Refusal) -> bool:
    return any(name != "selinux" for name in refusal.module_suspects)


def _path(refusal: Refusal, about: str) -> Optional[str]:
    if about == DESCRIPTOR:
        return refusal.probe.descriptor.link if refusal.probe.descriptor is not None else None
    line = next((vma.line for vma in refusal.probe.vmas if "%#x" % vma.line.start == about), None)
    return line.path if line is not None and line.path.startswith("/") else None


def _boolean(refusal: Refusal, permission: str) -> Optional[Tuple[str, str]]:
    """The boolean that forbids this now, and the value that would allow it."""
    state = refusal.probe.selinux
    values = state.booleans if state is not None and state.booleans else refusal.host.selinux_booleans
    for name in _BOOLEANS.get(permission, ()):
        forbids = name.startswith("deny_")
        if values.get(name) is forbids:
            return name, "off" if forbids else "on"
    return None


def _evidence(refusal: Refusal, checks: List[Check], about: str, domain: Optional[str]) -> Tuple[Evidence, ...]:
    lines = []
    state = refusal.probe.selinux
    if active(refusal):
        lines.append(seen("SELinux is enforcing", "/sys/fs/selinux/enforce"))
    else:
        lines.append(seen("SELinux runs; whether it enforces cannot be seen here", "/proc/PID/attr/current"))
    if domain:
        lines.append(seen("the process runs as %s" % domain, "/proc/PID/attr/current"))
    asked = ", ".join("%s:%s" % (check.tclass, check.permission) for check in checks)
    lines.append(seen("this kernel asks the policy for %s here, in this order" % asked, "security/selinux/hooks.c"))
    told = []
    for check in checks:
        answer = answer_about(refusal, check, about)
        if answer is not None and answer not in told:
            told.append(answer)
            lines.append(_answer_line(answer, [one.permission for one in checks]))
    if state is not None and state.why_not:
        lines.append(seen("what the policy grants is not known: %s" % state.why_not, "/sys/fs/selinux/access"))
    for permission in dict.fromkeys(check.permission for check in checks):
        boolean = _boolean(refusal, permission)
        if boolean is not None:
            now = "on" if boolean[1] == "off" else "off"
            lines.append(seen("the boolean %s is %s" % (boolean[0], now), "/sys/fs/selinux/booleans"))
    return tuple(lines)


def _answer_line(answer: PolicyAnswer, asked: List[str]) -> Evidence:
    granted = ["%s" % name for name in answer.granted if name in asked]
    refused = ["%s" % name for name in answer.refused if name in asked]
    target = "" if not answer.about else " on %s (%s)" % (answer.target, answer.tclass)
    if answer.permissive:
        text = "its domain is permissive: nothing is refused to it"
    elif not refused:
        text = "the policy grants this domain %s%s" % (", ".join(granted), target)
    else:
        also = ", and grants %s" % ", ".join(granted) if granted else ""
        text = "the policy does not grant this domain %s%s%s" % (", ".join(refused), target, also)
    return seen(text, "/sys/fs/selinux/access")


def _checked_prot(refusal: Refusal) -> int:
    """With checkreqprot (up to Linux 6.3) what READ_IMPLIES_EXEC adds is not checked."""
    state = refusal.probe.selinux
    if state is not None and state.as_requested and refusal.kernel < (6, 4) and refusal.request.name != "shmat":
        return (refusal.old.prot or 0) & 7
    return refusal.wants


def _checks_of_mmap(refusal: Refusal) -> Optional[Tuple[List[Check], str]]:
    request = refusal.old
    if request.name not in ("mmap", "shmat") or refusal.errno != "EACCES" or active(refusal) is False:
        return None
    has_file = request.name == "mmap" and not request.flags & f.MAP_ANONYMOUS
    flags = request.flags if request.name == "mmap" else f.MAP_SHARED
    link = refusal.probe.descriptor.link if refusal.probe.descriptor is not None else ""
    tclass = class_of(link)
    state = refusal.probe.selinux
    if state is not None:
        tclass = next((answer.tclass for answer in state.answers if answer.about == DESCRIPTOR), tclass)
    if request.flags & f.MAP_HUGETLB and request.name == "mmap":
        has_file = True
    return checks_at_mmap(_checked_prot(refusal), flags, has_file, tclass), DESCRIPTOR if has_file else ""


def policy_denies_mmap(refusal: Refusal) -> Optional[Finding]:
    """At the kernel's own place, before all that mmap checks itself: only where the policy was asked and denies."""
    known = _checks_of_mmap(refusal)
    if known is None:
        return None
    decision = decide(refusal, *known)
    return _finding(refusal, *known, ()) if decision is not None and decision.answered else None


def selinux_at_mmap(refusal: Refusal) -> Optional[Finding]:
    """mmap and shmat under a policy that could not be asked: behind what is sure by itself."""
    known = _checks_of_mmap(refusal)
    return None if known is None else _finding(refusal, *known, ())


def selinux_at_mprotect(refusal: Refusal, part: Part) -> Optional[Finding]:
    """mprotect of one VMA."""
    if refusal.errno != "EACCES" or active(refusal) is False:
        return None
    probe, memory = refusal.probe, memory_of(part)
    about = "%#x" % memory.start if memory.has_file else ""
    if probe.selinux is not None:
        tclass = next((answer.tclass for answer in probe.selinux.answers if answer.about == about and about), None)
        memory = memory._replace(tclass=tclass or memory.tclass)
    heap = heap_predicate(refusal.host.kernel)
    checks = checks_at_mprotect(
        memory, _checked_prot(refusal), probe.start_brk, probe.brk, probe.start_stack, probe.sp, heap
    )
    lines, touching = _heap_evidence(memory, probe.start_brk, probe.brk, heap)
    more = (*lines, *_stack_evidence(memory, checks, refusal), *_written_evidence(part, checks))
    return _finding(refusal, checks, about, more, touching)


def low_address(refusal: Refusal) -> Optional[Finding]:
    """memprotect:mmap_zero, asked behind the capability that answers EPERM (security/commoncap.c:cap_mmap_addr)."""
    request = refusal.old
    where = request.new_addr if request.name == "mremap" else request.addr
    fixed = bool(request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE)) or request.name != "mmap"
    if refusal.errno != "EACCES" or not fixed or where >= LOW or active(refusal) is False:
        return None
    address = seen("the address %#x is below %#x" % (where, LOW), "the arguments of the call")
    return _finding(refusal, [Check("memprotect", "mmap_zero")], "", (address,))


def _stack_evidence(memory: Memory, checks: List[Check], refusal: Refusal) -> Tuple[Evidence, ...]:
    if not any(check.permission == "execstack" for check in checks):
        return ()
    if memory.start <= refusal.probe.start_stack <= memory.end:
        text, source = "it is the main stack (it holds %#x)" % refusal.probe.start_stack, "startstack in /proc/PID/stat"
    else:
        text, source = "the calling thread stands on it (its stack pointer is %#x)" % refusal.probe.sp, "the registers"
    return (seen(text, source),)


def _written_evidence(part: Part, checks: List[Check]) -> Tuple[Evidence, ...]:
    """execmod is asked for a file mapping with an anon_vma: the first private page makes it, nothing takes it away."""
    if not any(check.permission == "execmod" for check in checks):
        return ()
    vma = part.vma
    if vma.anonymous or vma.swap:
        text = "the mapping of the file holds private pages: it was written to"
    else:
        text = "the mapping could be written to; whether it ever was, no file of /proc tells for sure"
    lines = [seen(text, "Anonymous and VmFlags in /proc/PID/smaps")]
    if vma.line.path.startswith("/dev/zero"):
        lines.append(seen("a private mapping of /dev/zero counts as a file", "security/selinux/hooks.c"))
    return tuple(lines)


def _heap_evidence(
    memory: Memory, start_brk: int, brk: Optional[int], heap: HeapPredicate
) -> Tuple[Tuple[Evidence, ...], bool]:
    """What to say of memory at the heap, and whether it only touches it."""
    if not start_brk:
        return (), False
    if brk is None:
        text = "where the heap ends is not known: wxtrace came later"
        return ((seen(text, "start_brk in /proc/PID/stat"),) if memory.named_heap else ()), False
    source = "start_brk in /proc/PID/stat and the last brk call"
    inside = INSIDE.holds(memory.start, memory.end, start_brk, brk)
    if heap.holds(memory.start, memory.end, start_brk, brk) and not inside:
        text = "the memory touches the heap (%#x-%#x), but is not the heap: kernels 6.6 to 6.10 took it for heap"
        return (seen(text % (start_brk, brk), source),), True
    if not inside and HeapPredicate("overlaps").holds(memory.start, memory.end, start_brk, brk):
        text = "the mapping overlaps the heap (%#x-%#x) and reaches beyond it, so it does not count as heap"
        return (seen(text % (start_brk, brk), source),), False
    return (), False
