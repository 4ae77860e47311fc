"""Which service or container a process belongs to, by the text of /proc/PID/cgroup (cgroups(7))."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional

__all__ = ["Placement", "cgroup_path", "placement_of"]

_CONTAINER = re.compile(
    r"(?:^|[/:-])(docker|libpod|crio|cri-containerd|containerd|lxc\.payload|lxc|machine)[-./]([^/]+)"
)
_BARE_ID = re.compile(r"/([0-9a-f]{64})(?:/|$)")
_UNIT = re.compile(r"([^/]+\.service)(?:/|$)")
_KINDS = {"libpod": "podman", "cri-containerd": "containerd", "lxc.payload": "lxc", "machine": "machined"}


class Placement(NamedTuple):
    """`kind`: "systemd unit", or the program that keeps the container (docker, podman, …). `user`: a user's unit."""

    kind: str
    name: str
    user: bool = False


def cgroup_path(text: bytes) -> Optional[str]:
    """The path in the unified hierarchy, else in systemd's own; the root says nothing, so then another's if longer."""
    paths = {}
    for raw in text[: 1 << 16].split(b"\n"):
        number, _, rest = raw.partition(b":")
        controllers, colon, path = rest.partition(b":")
        if colon and number.isdigit() and path.startswith(b"/"):
            paths[b"unified" if not controllers and number == b"0" else controllers] = os.fsdecode(path)
    for name in (b"unified", b"name=systemd"):
        if paths.get(name, "/") != "/":
            return paths[name]
    return max(paths.values(), key=len, default=None)


def placement_of(path: str) -> Optional[Placement]:
    """The innermost container, else the innermost unit that a cgroup path names; None where it names neither."""
    containers = list(_CONTAINER.finditer(path))
    if containers:
        kind, name = containers[-1].groups()
        return Placement(_KINDS.get(kind, kind), name.removesuffix(".scope")[:64])
    bare = _BARE_ID.search(path)
    if bare is not None:
        return Placement("container", bare.group(1))
    units = [unit for unit in _UNIT.findall(path) if not unit.startswith("user@")]
    if units:
        return Placement("systemd unit", units[-1], "/user@" in path)
    return None
