"""Export in a process of its own: the screen goes on answering while it is written."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Optional

from wxtrace.commands.output import OutputFile
from wxtrace.errors import WxtraceError
from wxtrace.printable import printable
from wxtrace.record.journalbytes import JournalBytes

__all__ = ["export"]


async def export(record: JournalBytes, what: str, name: str) -> Optional[str]:
    """Write the timeline (`json`) or the report (`md`) of a record; what went wrong, or None."""
    path, journal = os.path.expanduser(name), record.path
    if journal is None or not record.in_file:
        return "this run cannot be exported: no file has all of its record"
    arguments = ["export", "-o", path, journal] if what == "json" else ["report", "--format", "markdown", journal]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wxtrace",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    text, said = await process.communicate()
    if process.returncode:
        return printable(said.decode("utf-8", "replace").strip().rpartition("wxtrace: ")[2]) or "it failed"
    if what != "json":
        try:
            with OutputFile(path) as out:
                out.write(text.decode("utf-8", "replace"))
        except WxtraceError as error:
            return str(error)
    return None
