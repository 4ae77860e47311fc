"""Which mode a launch takes, by what the machine and the program are."""

from __future__ import annotations

from pathlib import Path

import pytest

from wxtrace.live.modes import choose_mode
from wxtrace.model.facts import Host

HOST = Host("6.12.10", "x86_64", 4096)
ENFORCING = Host("6.12.10", "x86_64", 4096, ["selinux"], True)
PERMISSIVE = Host("6.12.10", "x86_64", 4096, ["selinux"], False)
TRUE = b"/bin/true"


@pytest.mark.parametrize(
    "asked, host, foreign, expected",
    [
        ("auto", HOST, False, (True, False)),
        ("auto", PERMISSIVE, False, (True, False)),
        ("full", HOST, False, (True, True)),
        ("auto", HOST, True, (True, True)),
        ("accelerated", HOST, True, (True, False)),
        # A filter would set NO_NEW_PRIVS, and so change what SELinux decides.
        ("auto", ENFORCING, False, (False, True)),
        ("full", ENFORCING, False, (False, True)),
        ("accelerated", ENFORCING, False, (True, False)),
    ],
)
def test_filter_and_full_mode(asked: str, host: Host, foreign: bool, expected: tuple[bool, bool]) -> None:
    use_filter, full, why = choose_mode(asked, host, TRUE, foreign)
    assert (use_filter, full) == expected
    assert bool(why) == (full or foreign)
    assert ("SELinux is enforcing" in why) == (not use_filter)


def test_a_set_user_id_program_gets_no_filter_of_an_ordinary_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "su"
    program.write_bytes(b"")
    program.chmod(0o4755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    use_filter, full, why = choose_mode("auto", HOST, bytes(program), False)
    assert (use_filter, full) == (False, True) and "set-user-ID" in why
    program.chmod(0o755)
    assert choose_mode("auto", HOST, bytes(program), False) == (True, False, "")
