"""The service or container that a caller belongs to: whoever set it up has bound it, if nothing in the run did."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.decoders.cgroup import Placement, placement_of
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import pasteable, seen
from wxtrace.model.event import Evidence

__all__ = ["belonging", "placement", "service_words"]

_SOURCE = "/proc/PID/cgroup"


def _cgroup(ctx: CallContext) -> Optional[str]:
    if ctx.probe.cgroup is not None:
        return ctx.probe.cgroup
    return ctx.seen_filters.origin.cgroup if ctx.seen_filters is not None else None


def placement(ctx: CallContext) -> Optional[Placement]:
    """The unit or container, where the path of the control group names one."""
    path = _cgroup(ctx)
    return placement_of(path) if path else None


def belonging(ctx: CallContext) -> Tuple[Evidence, ...]:
    """Where the caller belongs, in one line, or none."""
    place = placement(ctx)
    if place is not None:
        kind = place.kind if place.kind in ("systemd unit", "container") else place.kind + " container"
        return (seen("the process belongs to the %s %s" % (kind, place.name), _SOURCE),)
    path = _cgroup(ctx)
    return (seen("the process is in the control group %s" % path, _SOURCE),) if path and path != "/" else ()


def service_words(place: Optional[Placement]) -> Dict[str, Any]:
    """Words for commands about a unit: its quoted name (None where there is none), and how systemctl is called."""
    unit = pasteable(place.name) if place is not None and place.kind == "systemd unit" else None
    return {"unit": unit, "systemctl": "systemctl --user" if place is not None and place.user else "systemctl"}
