"""Programs with a leak check that ptrace is needed for: warned of before it fails, and owned up to when it did."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Dict, Tuple

import pytest
from processes import run_wxtrace

WAYS = [("-fsanitize=address",), ("-fsanitize=address", "-static-libasan"), ("-fsanitize=leak",)]
IN_THE_WAY = "wxtrace was in the way of %s: result and output are not the program's own"


def sanitized(folder: Path, *flags: str) -> Path:
    program = folder / "checked"
    source = folder / "checked.c"
    source.write_text("int main(void) { return 0; }\n")
    if subprocess.run(["cc", *flags, "-o", str(program), str(source)], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("the compiler has no %s here" % " ".join(flags))
    return program


@pytest.mark.trace
@pytest.mark.parametrize("flags", WAYS, ids=" ".join)
def test_the_warning_comes_before_the_check_fails(
    environment: Dict[str, str], tmp_path: Path, flags: Tuple[str, ...]
) -> None:
    done = run_wxtrace(environment, "--", sanitized(tmp_path, *flags))
    own = [line for line in done.stderr.splitlines() if line.startswith(("wxtrace: ", "IN THE WAY"))]

    assert "checked is built with" in own[0] and "LSAN_OPTIONS=detect_leaks=0" in own[0]
    assert own[1].startswith("IN THE WAY")
    assert own[2:4] == ["wxtrace: " + IN_THE_WAY % "checked", "wxtrace: no other call was refused"]
    assert "nothing was refused" not in done.stderr
    assert IN_THE_WAY % "checked" in run_wxtrace(environment, "report").stdout


@pytest.mark.trace
@pytest.mark.parametrize("flags", WAYS, ids=" ".join)
@pytest.mark.parametrize("inside", [False, True])
def test_nothing_is_said_where_the_check_is_left_out(
    environment: Dict[str, str], tmp_path: Path, flags: Tuple[str, ...], inside: bool
) -> None:
    option = "LSAN_OPTIONS=detect_leaks=0"
    program = sanitized(tmp_path, *flags)
    line = ["env", option, program] if inside else [program]
    name, _, value = option.partition("=")
    done = run_wxtrace({**environment, **({} if inside else {name: value})}, "--", *line)

    assert done.returncode == 0
    assert "Sanitizer" not in done.stderr and "nothing was refused" in done.stderr
