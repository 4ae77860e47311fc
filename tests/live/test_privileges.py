"""Programs that would have run with the rights of their file's owner."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Iterator

import pytest
from processes import AS_NOBODY, WXTRACE

pytestmark = [
    pytest.mark.trace,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else"),
]


@pytest.fixture
def roots_id() -> Iterator[Path]:
    """A set-user-ID copy of id(1), where everybody can reach it."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    program = folder / "roots-id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        pytest.skip("/var/tmp is mounted nosuid")
    yield program
    shutil.rmtree(folder)


def test_a_set_user_id_program_deep_in_the_tree_is_said_to_have_lost_its_rights(
    environment: Dict[str, str], roots_id: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "--", "sh", "-c", "%s -u; true" % roots_id],
        env={**environment, "XDG_STATE_HOME": "/proc"},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "65534\n"
    assert "roots-id" in done.stderr and "it is set-user-ID" in done.stderr


def test_nothing_is_said_of_one_that_has_its_rights(environment: Dict[str, str], roots_id: Path) -> None:
    line = [WXTRACE, "--", "sh", "-c", "%s -u; true" % roots_id]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)

    assert done.stdout == "0\n"
    assert "set-user-ID" not in done.stderr
