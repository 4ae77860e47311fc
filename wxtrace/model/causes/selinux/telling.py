"""The words of a refusal by SELinux: what was asked of the policy, what it answered, and what would allow it."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import pasteable, seen
from wxtrace.model.causes.selinux.checks import Check, is_labelled_by_place
from wxtrace.model.causes.selinux.policy import Decision, active, answer_about, is_granted
from wxtrace.model.event import Evidence
from wxtrace.model.restrictions import DESCRIPTOR, PolicyAnswer

__all__ = ["evidence_of", "words_of"]

_BOOLEANS = {
    "execheap": ("selinuxuser_execheap", "allow_execheap"),
    "execstack": ("selinuxuser_execstack", "allow_execstack"),
    "execmod": ("selinuxuser_execmod", "allow_execmod"),
    "execmem": ("deny_execmem", "allow_execmem"),
    "mmap_zero": ("mmap_low_allowed",),
}
"""The names that Fedora's and Debian's policies give them; deny_execmem is on where it forbids."""
_GOVERNED: Mapping[str, Tuple[str, ...]] = {
    "unconfined_t": tuple(_BOOLEANS),
    "user_t": ("execmem", "execstack"),
    "staff_t": ("execmem", "execstack"),
}
"""The domains of users, for which these booleans were made; of a service's domain only the policy itself can tell."""


def words_of(ctx: CallContext, decision: Decision, checks: List[Check], about: str) -> Dict[str, Any]:
    """The words of an entry's templates; None for those of fixes that do not apply."""
    check, domain = decision.check, _domain_type(ctx)
    asked_next = [other for other in checks if is_granted(ctx, other, about) is False and other != check]
    boolean = _boolean(ctx, check.permission)
    governs = domain is not None and check.permission in _GOVERNED.get(domain, ())
    switches = [one for one in (boolean, *(_boolean(ctx, other.permission) for other in asked_next)) if one is not None]
    perhaps = [] if governs else _may_govern(ctx, check.permission, domain)
    comm, path = pasteable(ctx.probe.comm), _mislabelled(ctx, check, about)
    return {
        "permissions": " or ".join("%s:%s" % (one.tclass, one.permission) for one in decision.permissions),
        "domain": domain or "the program",
        "switch": boolean[0] if boolean is not None and governs else None,
        "booleans": _switches(switches) if boolean is not None and governs else None,
        "governed": pasteable(domain) if perhaps else None,
        "perhaps": ", ".join(perhaps) or None,
        "tclass": check.tclass,
        "permission": check.permission,
        "may_execmem": domain if is_granted(ctx, Check("process", "execmem"), "") else None,
        "only": " -c %s" % comm if comm is not None else "",
        "relabelled": path,
        "quoted_path": pasteable(path),
    }


def _domain(ctx: CallContext) -> Optional[str]:
    state = ctx.probe.selinux
    return state.domain if state is not None and state.domain else ctx.probe.lsm_label


def _domain_type(ctx: CallContext) -> Optional[str]:
    """`user_t` of `user_u:user_r:user_t:s0`."""
    domain = _domain(ctx)
    return domain.split(":")[2] if domain and domain.count(":") >= 2 else None


def _switches(booleans: List[Tuple[str, str]]) -> str:
    """The words of setsebool for one boolean or several."""
    known = list(dict.fromkeys(booleans))
    return " ".join("%s=%s" % boolean for boolean in known) if len(known) > 1 else "%s %s" % known[0]


def _mislabelled(ctx: CallContext, check: Check, about: str) -> Optional[str]:
    """The path of a file whose label is not that of its place, or may not be."""
    path, state = _path(ctx, about), ctx.probe.selinux
    if path is None or not is_labelled_by_place(path):
        return None
    answer, place = answer_about(ctx, check, about), state.place_labels.get(about) if state is not None else None
    if answer is None or place is None:
        return path
    # restorecon changes the type alone, unless it is forced (restorecon(8)), and nothing without a label of its place.
    wanted = place.split(":")[2:3]
    return path if wanted and answer.target.split(":")[2:3] != wanted else None


def _path(ctx: CallContext, about: str) -> Optional[str]:
    if about == DESCRIPTOR:
        return ctx.probe.descriptor.link if ctx.probe.descriptor is not None else None
    line = next((vma.line for vma in ctx.probe.vmas if "%#x" % vma.line.start == about), None)
    return line.path if line is not None and line.path.startswith("/") else None


def _values(ctx: CallContext) -> Mapping[str, bool]:
    state = ctx.probe.selinux
    return state.booleans if state is not None and state.booleans else ctx.host.selinux_booleans


def _boolean(ctx: CallContext, permission: str) -> Optional[Tuple[str, str]]:
    """The boolean that forbids this now, and the value that would allow it."""
    for name in _BOOLEANS.get(permission, ()):
        forbids = name.startswith("deny_")
        if _values(ctx).get(name) is forbids:
            return name, "off" if forbids else "on"
    return None


def _may_govern(ctx: CallContext, permission: str, domain: Optional[str]) -> List[str]:
    """Booleans that are off, and that by their names may allow it to this domain: its own first."""
    if domain is None:
        return []
    stem = domain[:-2] if domain.endswith("_t") else domain
    own = [name for name, value in sorted(_values(ctx).items()) if not value and name.startswith(stem + "_")]
    general = _boolean(ctx, permission)
    return [name for name in own if permission in name] + ([general[0]] if general is not None else [])


def evidence_of(ctx: CallContext, checks: List[Check], about: str) -> Tuple[Evidence, ...]:
    """What was asked, what the policy answered, and what the booleans are."""
    lines = []
    state, domain = ctx.probe.selinux, _domain(ctx)
    if active(ctx):
        lines.append(seen("SELinux is enforcing", "/sys/fs/selinux/enforce"))
    else:
        lines.append(seen("SELinux runs; whether it enforces cannot be seen here", "/proc/PID/attr/current"))
    if domain:
        lines.append(seen("the process runs as %s" % domain, "/proc/PID/attr/current"))
    asked = ", ".join("%s:%s" % (check.tclass, check.permission) for check in checks)
    lines.append(seen("this kernel asks the policy for %s here, in this order" % asked, "security/selinux/hooks.c"))
    told = []
    for check in checks:
        answer = answer_about(ctx, check, about)
        if answer is not None and answer not in told:
            told.append(answer)
            lines.append(_answer_line(answer, [one.permission for one in checks]))
    if state is not None and state.why_not:
        lines.append(seen("what the policy grants is not known: %s" % state.why_not, "/sys/fs/selinux/access"))
    for permission in dict.fromkeys(check.permission for check in checks):
        boolean = _boolean(ctx, permission)
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
