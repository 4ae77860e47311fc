"""`wxtrace causes`: the list, one cause explained, a name that is none, and the page made from the same table."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest
from processes import run_wxtrace

from wxtrace.commands.causes import markdown
from wxtrace.model.causes.catalogue import CAUSES

pytestmark = pytest.mark.trace

Environment = Dict[str, str]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "causes.md"


def test_all_causes_are_listed_with_who_refuses(environment: Environment) -> None:
    done = run_wxtrace(environment, "causes")
    heads = [line.split()[:2] for line in done.stdout.splitlines() if line[:1].strip()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [head[0] for head in heads[: len(CAUSES)]] == list(CAUSES)
    assert ["mdwe", "kernel"] in heads


def test_one_cause_is_explained_on_one_screen(environment: Environment) -> None:
    done = run_wxtrace({**environment, "COLUMNS": "80"}, "causes", "mdwe")
    lines = done.stdout.splitlines()
    assert lines[0] == "mdwe — refused by the kernel"
    assert len(lines) < 24
    assert all(len(line) <= 80 for line in lines)
    labels = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert labels == ["when", "says", "errno", "proved", "fix", "source", "try"]
    assert "EACCES from mmap, mprotect, pkey_mprotect, shmat" in " ".join(done.stdout.split())


def test_a_family_is_listed(environment: Environment) -> None:
    done = run_wxtrace(environment, "causes", "selinux")
    assert [line.split()[0] for line in done.stdout.splitlines() if line[:1].strip()] == [
        id for id in CAUSES if id.startswith("selinux.")
    ]


def test_an_unknown_name_is_one_sentence_with_what_was_meant(environment: Environment) -> None:
    done = run_wxtrace(environment, "causes", "execme\x1b[2J")
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.count("\n") == 1 and "\x1b" not in done.stderr
    assert run_wxtrace(environment, "causes", "mdw").stderr.endswith("did you mean mdwe?\n")


def test_the_page_is_current(request: pytest.FixtureRequest) -> None:
    """`pytest --write-table tests/commands/test_causes_command.py` writes it."""
    if request.config.getoption("--write-table"):
        PAGE.write_text(markdown())
    assert PAGE.read_text() == markdown()
