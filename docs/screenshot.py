#!/usr/bin/env python3
"""Make docs/screen.svg, the picture in the README: a refused call of an example on the real screen.

docs/screenshot.py        (the examples have to be built: make -C examples)
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from wxtrace.record.journalbytes import JournalBytes
from wxtrace.record.store import last_journal
from wxtrace.tui.app import TraceApp

ROOT = Path(__file__).resolve().parent.parent
SIZE = (132, 40)


async def picture(journal: str) -> str:
    """The screen as it opens, once it has come to rest."""
    app = TraceApp(JournalBytes(journal))
    async with app.run_test(size=SIZE) as pilot:
        app.theme = "textual-dark"  # Whatever terminal this is made on.
        while not app.index.complete or app.busy:
            await pilot.pause(0.05)
        await pilot.pause()
        return app.export_screenshot(title="wxtrace view")


def main() -> int:
    """Trace the example, and draw its record."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        wxtrace = Path(sys.executable).with_name("wxtrace")
        # By their short names, as a reader would type them.
        subprocess.run([wxtrace, "-q", "--", "./mdwe", "./jit_unchecked"], cwd=ROOT / "examples" / "build", check=False)
        svg = asyncio.run(picture(last_journal()))
    # Whatever font the reader has: nothing is fetched from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace("Fira Code", "monospace")
    (ROOT / "docs" / "screen.svg").write_text(svg, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
