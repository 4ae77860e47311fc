"""/proc/PID/cgroup: the unit or container that its path names."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxtrace.decoders.cgroup import Placement, cgroup_path, placement_of

ID = "4c6ad2be94e0ee0e2f39c3b4cd0c7f84cc6c0cbcb2a6d0b3fcd28a8f8a1d6ad1"


@pytest.mark.parametrize(
    "text, path",
    [
        (b"0::/system.slice/nginx.service\n", "/system.slice/nginx.service"),
        (b"9:name=systemd:/a\n4:memory:/longer/path\n0::/b\n", "/b"),
        (b"9:name=systemd:/a\n4:memory:/longer/path\n0::/\n", "/a"),
        (b"9:name=systemd:/\n4:memory:/longer/path\n0::/\n", "/longer/path"),
        (b"0::/with:colon\n", "/with:colon"),
        (b"0::/\n", "/"),
        (b"", None),
        (b"no colons\n1:only one\n", None),
    ],
)
def test_the_path_that_says_most(text: bytes, path: Optional[str]) -> None:
    assert cgroup_path(text) == path


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/system.slice/nginx.service", Placement("systemd unit", "nginx.service")),
        ("/system.slice/system-getty.slice/getty@tty1.service", Placement("systemd unit", "getty@tty1.service")),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/jit.service",
            Placement("systemd unit", "jit.service", True),
        ),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope", None),
        ("/user.slice/user-1000.slice/session-2.scope", None),
        ("/system.slice/docker-%s.scope" % ID, Placement("docker", ID)),
        ("/docker/%s" % ID, Placement("docker", ID)),
        ("/machine.slice/libpod-%s.scope/container" % ID, Placement("podman", ID)),
        (
            "/kubepods.slice/kubepods-pod1.slice/cri-containerd-%s.scope" % ID,
            Placement("containerd", ID),
        ),
        ("/kubepods/besteffort/pod1/%s" % ID, Placement("container", ID)),
        ("/lxc.payload.web/system.slice/nginx.service", Placement("lxc", "web")),
        ("/", None),
    ],
)
def test_the_innermost_unit_or_container(path: str, expected: Optional[Placement]) -> None:
    assert placement_of(path) == expected


@given(st.binary(max_size=300))
def test_any_text_names_something_or_nothing(text: bytes) -> None:
    path = cgroup_path(text)
    if path is not None:
        placement_of(path)
