"""The table of results in docs/programs.md is written by the tests themselves: pytest --write-table."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

_TABLE = Path(__file__).resolve().parents[2] / "docs" / "programs.md"
_HEAD = """\
# Real programs under wxtrace

Written by `pytest -m programs --write-table`. Each program ran with `--verify`: healthy, and with memory that may not
become executable (PR_SET_MDWE). Healthy runs gave the same output and exit status as without wxtrace, except for gdb
and strace, which need ptrace themselves. No run had a mismatch between the map and /proc/PID/maps.

| program | events, healthy | alarms, healthy | first refused under MDWE | what became of it |
| --- | --- | --- | --- | --- |
"""


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[List[Tuple[str, ...]]]:
    """Rows that tests add; a table at the end when asked for."""
    rows: List[Tuple[str, ...]] = []
    yield rows
    if not request.config.getoption("--write-table") or not rows:
        return
    table: Dict[str, List[str]] = {}
    for kind, name, first, second in rows:
        columns = table.setdefault(name, ["", "", "", ""])
        at = 0 if kind == "healthy" else 2
        columns[at : at + 2] = [first, second]
    _TABLE.parent.mkdir(exist_ok=True)
    _TABLE.write_text(_HEAD + "".join("| %s | %s |\n" % (name, " | ".join(row)) for name, row in table.items()))
