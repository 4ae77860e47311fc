"""What can be done about a filter, by where it comes from or by the setting that it is the work of."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Case, admin, developer
from wxtrace.model.causes.seccomp.profiles import profile_of
from wxtrace.model.causes.surroundings import placement, service_words

__all__ = ["DOUBTS", "FIXES", "PLACES", "place_of"]

FIXES = {
    "": (
        admin(
            "Allow the call in the filter of whatever started the program: its service, its container, the sandbox "
            "around it."
        ),
    ),
    "own": (developer("Allow this call with these arguments in the seccomp filter that {who} installs."),),
    "unit": (
        admin(
            "Allow the call in the settings of the service {unit}.",
            "{systemctl} show {unit} -p SystemCallFilter -p MemoryDenyWriteExecute -p LockPersonality",
        ),
    ),
    "container": (
        admin("Start the container {container} with a seccomp profile that allows the call (--security-opt seccomp=)."),
    ),
    "write-execute": (
        developer("Keep writing and executing apart: two mappings of one memfd, one writable and one executable."),
        admin(
            "Set MemoryDenyWriteExecute=no for {service}: the filter refuses just what that setting refuses.",
            "{systemctl} edit {unit}",
        ),
    ),
    "lock-personality": (
        admin(
            "Set LockPersonality=no for {service}: the filter refuses just what that setting refuses.",
            "{systemctl} edit {unit}",
        ),
    ),
    "personality": (
        admin(
            "Start the container with a seccomp profile that allows personality(READ_IMPLIES_EXEC): the one that "
            "docker and podman use by themselves does not."
        ),
    ),
    "unsure": (developer("Look at the calls that follow: this one stood at the door while the filter was installed."),),
    "launched": (
        admin("Run the program outside of its service or container: refused there as well, it was not the filter."),
    ),
    "attached": (developer("Start the program under wxtrace instead of attaching: then who answered is seen."),),
}
DOUBTS = ("unsure", "launched", "attached")
"""Cases where it is not even certain that a filter answered."""
PLACES = {place: Case("", fixes) for place, fixes in FIXES.items() if place and place not in DOUBTS}


def place_of(ctx: CallContext, inherited: bool, result: Optional[int]) -> Tuple[str, Dict[str, Any]]:
    """Which of PLACES fits ("" for none), with the words it needs. `result`: what the filter answered, if known."""
    place = placement(ctx) if inherited else None
    words = service_words(place)
    unit = words["unit"]
    words |= {
        "service": place.name if unit is not None and place is not None else "the service (if systemd started it)",
        "container": place.name if place is not None and unit is None else None,
    }
    if not inherited:
        return "own", words
    known = profile_of(ctx, result)
    if known is not None:
        return known, words
    if place is None or (place.kind == "systemd unit" and unit is None):
        return "", words
    return ("unit" if unit is not None else "container"), words
