"""What the files of security modules say: a securityfs made of files, and the BPF programs of the real kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional

import pytest

from wxtrace.live.bpf_programs import security_programs
from wxtrace.live.host import security_modules
from wxtrace.live.module_evidence import module_state
from wxtrace.model.restrictions import ModuleState
from wxtrace.model.syscalls.mmap import Mmap

MMAP = Mmap(0, 4096, 5, 2, 999, 0)


def state(tmp_path: Path, *modules: str) -> Optional[ModuleState]:
    return module_state(os.getpid(), MMAP, list(modules), str(tmp_path))


def test_nothing_is_read_for_modules_without_a_say(tmp_path: Path) -> None:
    assert state(tmp_path, "lockdown", "yama", "landlock", "selinux") is None


@pytest.mark.parametrize(
    "active, expected",
    [({}, ""), ({"boot": "0"}, ""), ({"boot": "0", "site": "1"}, "site"), (None, None)],
)
def test_the_active_policy_of_ipe(tmp_path: Path, active: Optional[dict[str, str]], expected: Optional[str]) -> None:
    (tmp_path / "ipe").mkdir()
    (tmp_path / "ipe" / "enforce").write_text("1")
    if active is not None:
        (tmp_path / "ipe" / "policies").mkdir()
        for name, value in active.items():
            (tmp_path / "ipe" / "policies" / name).mkdir()
            (tmp_path / "ipe" / "policies" / name / "active").write_text(value)
    assert state(tmp_path, "ipe") == ModuleState(ipe_enforces=True, ipe_policy=expected)


@pytest.mark.parametrize(
    "policy, expected",
    [
        ("", []),
        ("measure func=MMAP_CHECK mask=MAY_EXEC\ndont_appraise fsmagic=0x1\n", []),
        ("appraise func=MMAP_CHECK mask=MAY_EXEC fowner=0\n", ["appraise func=MMAP_CHECK mask=MAY_EXEC fowner=0"]),
        ("appraise func=BPRM_CHECK\n", []),
        (None, None),
    ],
)
def test_the_rules_of_ima_for_mapped_code(tmp_path: Path, policy: Optional[str], expected: Optional[List[str]]) -> None:
    if policy is not None:
        (tmp_path / "ima").mkdir()
        (tmp_path / "ima" / "policy").write_text(policy)
    assert state(tmp_path, "ima") == ModuleState(ima_rules=expected)


def test_bpf_programs_are_roots_to_see() -> None:
    found = security_programs()
    if os.geteuid() != 0:
        assert found is None
    else:
        # A container's root may be refused as well.
        assert found is None or all(id.isdigit() and " " in text for id, text in found.items())


def test_the_modules_at_work() -> None:
    modules = security_modules()
    if modules is None:
        pytest.skip("no securityfs, and a kernel before 6.8")
    assert "capability" in modules
