"""The record of a run: where it is kept, how it is written out, and what a damaged one gives."""

from __future__ import annotations

import json
import os
import pwd
import stat
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from conftest import assert_valid
from processes import run_wxtrace

pytestmark = pytest.mark.trace

Environment = Dict[str, str]
MAGIC = b"WXTRACE-JOURNAL/2\n"


def folder(environment: Environment) -> Path:
    return Path(environment["XDG_STATE_HOME"]) / "wxtrace"


def journals(environment: Environment) -> List[Path]:
    """Oldest first."""
    return sorted(folder(environment).glob("*.journal"), key=lambda path: path.stat().st_mtime_ns)


def exported(environment: Environment, *arguments: str | Path) -> Dict[str, Any]:
    done = run_wxtrace(environment, "export", *arguments)
    assert done.returncode == 0, done.stderr
    timeline: Dict[str, Any] = json.loads(done.stdout)
    assert_valid(timeline)
    return timeline


@pytest.fixture
def kept(environment: Environment) -> Path:
    """The journal of a run of `true`."""
    run_wxtrace(environment, "--", "true")
    (path,) = journals(environment)
    return path


def test_only_the_owner_can_read_a_kept_run(environment: Environment, kept: Path) -> None:
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder(environment).stat().st_mode) == 0o700


def test_the_last_run_is_written_to_a_file(environment: Environment, kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "timeline.json"
    done = run_wxtrace(environment, "export", "-o", out)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    timeline = json.loads(out.read_text())
    assert_valid(timeline)
    assert timeline["command"]["argv"] == ["true"]


def test_a_longer_file_that_was_there_is_replaced(environment: Environment, kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "timeline.json"
    out.write_text("x" * 10_000_000)

    run_wxtrace(environment, "-o", out, "--", "true")

    assert_valid(json.loads(out.read_text()))


def test_the_newest_run_is_the_one_exported(environment: Environment, kept: Path) -> None:
    run_wxtrace(environment, "--", "sh", "-c", "exit 4")

    assert exported(environment)["command"]["exit"] == {"code": 4}


def test_the_timeline_of_the_run_and_of_its_record_are_the_same(environment: Environment, tmp_path: Path) -> None:
    out = tmp_path / "timeline.json"
    run_wxtrace(environment, "-o", out, "--", "sh", "-c", "true | true")

    (journal,) = journals(environment)
    assert exported(environment, journal) == json.loads(out.read_text())


def test_a_record_cut_short_is_told_up_to_there(environment: Environment, kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:-7])
    done = run_wxtrace(environment, "export", kept)
    timeline = json.loads(done.stdout)

    assert done.returncode == 0
    assert "ends in the middle of a frame" in timeline["incomplete"]
    assert "the record is incomplete" in done.stderr
    assert timeline["events"]
    assert_valid(timeline)


def test_a_damaged_record_is_told_up_to_there(environment: Environment, kept: Path) -> None:
    content = bytearray(kept.read_bytes())
    content[-1] ^= 0xFF
    kept.write_bytes(content)

    assert "a checksum differs" in exported(environment, kept)["incomplete"]


@pytest.mark.parametrize(
    "content",
    [b"", b"#!/bin/sh\n", MAGIC, MAGIC + b"\0" * 8, MAGIC + b"\xff" * 100, MAGIC[:5]],
    ids=["empty", "script", "nothing-in-it", "empty-frame", "garbage", "half-a-name"],
)
def test_what_is_no_record_is_one_sentence(environment: Environment, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.journal"
    path.write_bytes(content)
    done = run_wxtrace(environment, "export", path)

    assert done.returncode == 125
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("wxtrace: ")


def test_the_ten_newest_runs_are_kept(environment: Environment, kept: Path) -> None:
    aged = [folder(environment) / ("20200101-0000%02d-1.journal" % second) for second in range(14)]
    for path in aged:
        path.write_bytes(b"")
    run_wxtrace(environment, "--", "true")

    left = journals(environment)
    assert len(left) == 10
    assert kept in left and aged[-1] in left and aged[0] not in left


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_folder_that_others_can_write_to_is_not_used(environment: Environment, kept: Path, mode: int) -> None:
    folder(environment).chmod(mode)
    done = run_wxtrace(environment, "--", "sh", "-c", "exit 3")

    assert done.returncode == 3
    assert journals(environment) == [kept]
    (instead,) = (Path(environment["TMPDIR"]) / ("wxtrace-%d" % os.geteuid())).iterdir()
    assert "your state folder cannot be written: the record of this run is in %s" % instead in done.stderr
    assert exported(environment)["command"]["argv"] == ["sh", "-c", "exit 3"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_of_somebody_else_is_not_used(environment: Environment, kept: Path) -> None:
    os.chown(folder(environment), 65534, 65534)
    done = run_wxtrace(environment, "--", "true")

    assert done.returncode == 0
    assert journals(environment) == [kept]


def test_a_link_is_not_followed(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder(environment).parent.mkdir()
    folder(environment).symlink_to(tmp_path / "elsewhere")
    done = run_wxtrace(environment, "--", "true")

    assert done.returncode == 0
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null", "relative"])
def test_a_run_needs_no_state_folder(environment: Environment, tmp_path: Path, place: str) -> None:
    elsewhere = {**environment, "XDG_STATE_HOME": place, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = run_wxtrace(elsewhere, "--", "sh", "-c", "exit 3", cwd=tmp_path)

    assert done.returncode == 3
    assert not list(tmp_path.glob("*.journal")) and not (tmp_path / "relative").exists()


@pytest.fixture
def nobodys(tmp_path: Path) -> Iterator[Dict[str, str]]:
    """The environment of root by `sudo`, called by nobody, who has a state folder."""
    # Where nobody may go, unlike pytest's own folders.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        state = os.path.join(folder, "state")
        os.mkdir(state)
        user = pwd.getpwnam("nobody")
        os.chown(state, user.pw_uid, user.pw_gid)
        os.mkdir(os.path.join(folder, "temporary"))
        folders = {"XDG_STATE_HOME": state, "TMPDIR": os.path.join(folder, "temporary")}
        yield {**os.environ, **folders, "SUDO_UID": str(user.pw_uid), "NO_COLOR": "1"}


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root by sudo")
def test_under_sudo_a_run_belongs_to_who_called_it(nobodys: Environment) -> None:
    assert run_wxtrace(nobodys, "--", "true").returncode == 0

    (path,) = journals(nobodys)
    found = path.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (int(nobodys["SUDO_UID"]), 0o600)
    assert path.parent.stat().st_uid == int(nobodys["SUDO_UID"])
    assert str(path) in run_wxtrace(nobodys, "runs").stdout
    assert exported(nobodys)["command"]["argv"] == ["true"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be root by sudo")
def test_root_by_sudo_follows_no_link_of_who_called_it(nobodys: Environment, tmp_path: Path) -> None:
    os.symlink(tmp_path, folder(nobodys))
    done = run_wxtrace(nobodys, "--", "true")

    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert "your state folder cannot be written: the record of this run is in %s" % nobodys["TMPDIR"] in done.stderr
