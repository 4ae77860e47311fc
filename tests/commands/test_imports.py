"""What is not needed is not imported: for licences' sake, and for a quick start."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Callable, Dict, List, Set

import pytest

pytestmark = pytest.mark.trace

RUN = """
import sys
from wxtrace.__main__ import main
try:
    main(sys.argv[2:])
except SystemExit:
    pass
with open(sys.argv[1], "w") as file:
    file.write(" ".join(sys.modules))
"""


@pytest.fixture
def imported_by(tmp_path: Path, environment: Dict[str, str]) -> Callable[..., Set[str]]:
    """Run one command and give the packages that its front has imported."""

    def run(*arguments: str) -> Set[str]:
        line = [sys.executable, "-c", RUN, str(tmp_path / "modules"), *arguments]
        subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return {name.partition(".")[0] for name in (tmp_path / "modules").read_text().split()}

    return run


@pytest.mark.parametrize(
    "command", [["--version"], ["schema"], ["--verify", "--", "true"], ["export", "-o", "/dev/null"]]
)
def test_the_front_never_imports_the_tracer_or_the_screen(
    imported_by: Callable[..., Set[str]], command: List[str]
) -> None:
    imported_by("--", "true")

    assert not {"ptrace", "textual", "sortedcontainers"} & imported_by(*command)


def test_the_version_costs_nothing(imported_by: Callable[..., Set[str]]) -> None:
    assert not {"construct", "elftools", "ptrace", "ctypes"} & imported_by("--version")


@pytest.mark.parametrize("name", ["decoders", "tui"])
def test_our_folders_are_nobodys_packages(name: str) -> None:
    elsewhere = [path for path in sys.path if "site-packages" in path]

    assert PathFinder.find_spec(name, elsewhere) is None
