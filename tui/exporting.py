"""Export in a process of its own: the screen goes on answering while it is written."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Optional

from wxtrace.printable import printable

__all__ = ["export"]


async def export(journal: str, what: str, name: str) -> Optional[str]:
    """Write the timeline (`json`) or the report (`md`) of `journal`; what went wrong, or None."""
    path = os.path.expanduser(name)
    if what == "json":
        arguments, output = ["export", "-o", path, journal], asyncio.subprocess.DEVNULL
    else:
        arguments = ["report", "--format", "markdown", journal]
        try:
            output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
        except OSError as error:
            return "%s cannot be written: %s" % (printable(path), error.strerror)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wxtrace",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
    finally:
        if output >= 0:
            os.close(output)
    if process.returncode:
        return printable(said.decode("utf-8", "replace").strip().rpartition("wxtrace: ")[2]) or "it failed"
    return None
