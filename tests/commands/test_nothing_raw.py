"""What somebody put into an argument or a file's name reaches no terminal as it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Dict, List

import pytest
from processes import run_wxtrace

Environment = Dict[str, str]
EVIL = "\x1b]0;owned\x07\x1b[31m\r\x9b\u202e"
LINES = [
    [EVIL],
    ["--" + EVIL],
    ["-p", EVIL],
    ["-p", "1", EVIL],
    ["--mode", EVIL, "--", "true"],
    ["--only", EVIL, "--", "true"],
    ["-o", "/no/such/" + EVIL, "--", "true"],
    ["-o", "-", "--", EVIL],
    ["--log", "/no/such/" + EVIL, "--", "true"],
    ["--", EVIL],
    ["--", "/no/such/" + EVIL],
    ["--", "/" + EVIL + "/.."],
    ["tui", "--" + EVIL],
    ["tui", "--", EVIL],
    ["causes", EVIL],
    ["causes", "mdwe", EVIL],
    ["export", EVIL],
    ["export", "--" + EVIL],
    ["export", "-o", "/no/such/" + EVIL],
    ["report", EVIL],
    ["report", "--format", EVIL],
    ["report", "--format", "text", EVIL, EVIL],
    ["view", EVIL],
    ["view", "--" + EVIL],
    ["runs", EVIL],
    ["schema", EVIL],
]


def assert_harmless(text: str) -> None:
    assert [char for char in text if char != "\n" and not char.isprintable()] == []


@pytest.mark.parametrize("line", LINES, ids=lambda line: " ".join(line).replace(EVIL, "EVIL"))
def test_no_sentence_carries_an_argument_raw(environment: Environment, tmp_path: Path, line: List[str]) -> None:
    done = run_wxtrace(environment, *line, cwd=tmp_path)

    assert_harmless(done.stdout + done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.trace
@pytest.mark.parametrize("options", [["--all"], ["-q"], ["--only", EVIL]], ids=["all", "quiet", "only"])
def test_no_name_of_a_program_or_file_is_shown_raw(
    environment: Environment, examples: Path, tmp_path: Path, options: List[str]
) -> None:
    home = tmp_path / EVIL
    home.mkdir()
    program = home / (EVIL + "jit")
    shutil.copy(examples / "jit_unchecked", program)
    evil = {**environment, "XDG_STATE_HOME": str(home)}
    command = [str(examples / "mdwe"), str(program), EVIL]
    runs = [
        run_wxtrace(evil, *options, "-o", home / "run.json", "--log", home / "log", "--", *command),
        run_wxtrace(evil, *options, "--", *command),
        run_wxtrace({**evil, "TMPDIR": "/dev/null"}, *options, "--", *command, cwd="/", preexec_fn=no_large_file),
        run_wxtrace(evil, "runs"),
        run_wxtrace(evil, "report"),
        run_wxtrace(evil, "report", "--format", "markdown", "--redact", home / "run.json"),
        run_wxtrace(evil, "export", home / "run.json"),
    ]

    assert "owned" in "".join(done.stdout + done.stderr for done in runs)
    for done in runs:
        # The program's own output is its own.
        assert_harmless(done.stderr + (done.stdout if done.args[1] in ("runs", "report", "export") else ""))
    assert_harmless((home / "log").read_text())


def no_large_file() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_a_locale_without_our_signs_gets_others(environment: Environment) -> None:
    """Quotation marks, × and … of ours, and whatever a name holds."""
    done = run_wxtrace({**environment, "PYTHONIOENCODING": "ascii"}, "causes", "mdwe")
    wrong = run_wxtrace({**environment, "PYTHONIOENCODING": "ascii"}, "café")

    assert done.returncode == 0 and "mdwe" in done.stdout
    assert "Traceback" not in done.stderr + wrong.stderr
    assert os.fsencode(wrong.stderr).isascii()
