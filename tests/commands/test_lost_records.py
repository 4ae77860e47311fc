"""Where a record cannot be written, everything is told all the same, and what became of the record is said."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from conftest import assert_valid
from processes import DEADLINE, WXTRACE, run_wxtrace

pytestmark = pytest.mark.trace

Environment = Dict[str, str]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system that is full")


@pytest.fixture
def refused(examples: Path) -> List[str]:
    """A command that is refused one call, and goes on."""
    return [str(examples / "mdwe"), str(examples / "jit_unchecked")]


@pytest.fixture
def elsewhere(environment: Environment, tmp_path: Path) -> Environment:
    """With a state folder, on which something can be mounted."""
    (tmp_path / "state" / "wxtrace").mkdir(mode=0o700, parents=True)
    return environment


def in_own_mounts(environment: Environment, mounts: List[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """wxtrace after these commands, which nobody else sees the effect of."""
    line = shlex.join([str(WXTRACE), *arguments])
    script = "set -e; umask 077; %s; exec %s" % ("; ".join(mounts), line)
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
    )


def full(folder: str, left: int = 0) -> List[str]:
    """Mount a file system there that has so many bytes left."""
    quoted = shlex.quote(folder)
    return [
        "mkdir -p %s" % quoted,
        "mount -t tmpfs -o size=64k none %s" % quoted,
        "mkdir -p %s/wxtrace %s/wxtrace-0" % (quoted, quoted),
        "head -c %d /dev/zero > %s/filling" % ((64 << 10) - left, quoted),
    ]


def closed(folder: str) -> List[str]:
    """Mount a file system there that nobody can write to."""
    return ["mkdir -p %s" % shlex.quote(folder), "mount -t tmpfs -o ro none %s" % shlex.quote(folder)]


@as_root
@pytest.mark.root
@pytest.mark.parametrize("left", [0, 4096])
def test_a_full_state_folder_makes_the_record_go_on_in_tmpdir(
    elsewhere: Environment, refused: List[str], left: int
) -> None:
    state = elsewhere["XDG_STATE_HOME"]
    done = in_own_mounts(elsewhere, full(state, left), "--", *refused)

    (journal,) = (Path(elsewhere["TMPDIR"]) / "wxtrace-0").glob("*.journal")
    assert "takes no more (No space left on device): the record of this run goes on in %s" % journal in done.stderr
    assert "your state folder cannot be written: the record of this run is in %s" % journal in done.stderr
    assert "REFUSED  mprotect" in done.stderr and "mprotect 1× EACCES" in done.stderr
    exported = json.loads(run_wxtrace(elsewhere, "export").stdout)
    assert exported["incomplete"] is None and exported["summary"]["by_cause"] == {"mdwe": 1}


@as_root
@pytest.mark.root
@pytest.mark.parametrize("left", [0, 4096])
def test_what_no_folder_takes_is_told_and_said_to_be_lost(
    elsewhere: Environment, refused: List[str], left: int
) -> None:
    mounts = [*full(elsewhere["XDG_STATE_HOME"], left), *closed(elsewhere["TMPDIR"])]
    done = in_own_mounts(elsewhere, mounts, "--", *refused)

    assert "REFUSED  mprotect" in done.stderr and "mprotect 1× EACCES" in done.stderr
    assert "takes no more (No space left on device): what follows is told here, and kept nowhere" in done.stderr
    said = "is lost from some point on (No space" if left else "this run was not kept: No space left on device"
    assert said in done.stderr


@as_root
@pytest.mark.root
def test_without_any_folder_the_timeline_is_written_all_the_same(
    elsewhere: Environment, refused: List[str], tmp_path: Path
) -> None:
    mounts = [*closed(elsewhere["XDG_STATE_HOME"]), *closed(elsewhere["TMPDIR"])]
    done = in_own_mounts(elsewhere, mounts, "-o", str(tmp_path / "timeline.json"), "--", *refused)

    timeline = json.loads((tmp_path / "timeline.json").read_text())
    assert_valid(timeline)
    assert timeline["incomplete"] is None and timeline["summary"]["by_cause"] == {"mdwe": 1}
    assert "this run was not kept: neither your state folder nor TMPDIR can be written" in done.stderr


@pytest.mark.parametrize("limit", [0, 4096])
def test_a_limit_for_files_loses_the_record_and_nothing_that_is_told(
    elsewhere: Environment, refused: List[str], limit: int
) -> None:
    done = run_wxtrace(
        elsewhere,
        "--",
        *refused,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert "REFUSED  mprotect" in done.stderr and "mprotect 1× EACCES" in done.stderr
    assert "(File too large, by RLIMIT_FSIZE (ulimit -f)): what follows is told here, and kept nowhere" in done.stderr
    if limit:
        cut = run_wxtrace(elsewhere, "report")
        assert "incomplete" in cut.stdout and "nothing was refused" not in cut.stdout


def test_a_record_that_ends_before_its_run_did_is_incomplete(
    elsewhere: Environment, kept_with: Callable[[int], Path]
) -> None:
    """A frame is whole or not there: nothing else shows where the writer was killed."""
    cut = kept_with(2)
    exported = json.loads(run_wxtrace(elsewhere, "export", cut).stdout)

    assert exported["incomplete"] == "the journal ends before the run did"


@pytest.fixture
def kept_with(elsewhere: Environment, tmp_path: Path) -> Callable[[int], Path]:
    """The journal of a run, cut behind so many of its frames."""

    def cut(frames: int) -> Path:
        run_wxtrace(elsewhere, "--", "true")
        (path,) = (tmp_path / "state" / "wxtrace").glob("*.journal")
        data = path.read_bytes()
        end = data.index(b"\n") + 1
        for _ in range(frames):
            end += 8 + int.from_bytes(data[end : end + 4], "little")
        path.write_bytes(data[:end])
        return path

    return cut


def test_a_log_that_takes_no_more_is_told_on_stderr(elsewhere: Environment, refused: List[str]) -> None:
    done = run_wxtrace(elsewhere, "--log", "/dev/full", "--", *refused)

    first, rest = done.stderr.split("\n", 1)
    assert first == (
        "wxtrace: cannot write /dev/full any more (No space left on device): what is missing there follows"
    )
    assert "REFUSED  mprotect" in rest and "wxtrace: mprotect 1× EACCES" in rest


def test_a_journal_is_replaced_by_its_own_timeline_and_never_emptied(elsewhere: Environment) -> None:
    run_wxtrace(elsewhere, "--", "sh", "-c", "exit 4")
    (path,) = Path(elsewhere["XDG_STATE_HOME"]).glob("*/*.journal")
    done = run_wxtrace(elsewhere, "export", "-o", path, path)

    assert (done.returncode, done.stderr) == (0, "")
    timeline: Dict[str, Any] = json.loads(path.read_text())
    assert_valid(timeline)
    assert timeline["command"]["exit"] == {"code": 4}


@as_root
@pytest.mark.root
def test_a_disk_that_is_full_leaves_the_file_that_was_there(elsewhere: Environment, tmp_path: Path) -> None:
    run_wxtrace(elsewhere, "--", "true")
    small = str(tmp_path / "small")
    mounts = [*full(small, 4096), "echo kept > %s/timeline.json" % small]
    script = "%s export -o %s/timeline.json; cat %s/timeline.json; ls %s" % (WXTRACE, small, small, small)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", "; ".join([*mounts, script])],
        env=elsewhere,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )

    assert "wxtrace: cannot write %s/timeline.json: No space left on device\n" % small in done.stderr
    assert done.stdout == "kept\nfilling\ntimeline.json\nwxtrace\nwxtrace-0\n"
