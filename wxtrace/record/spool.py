"""Room for what is put aside while it is worked on: a temporary file, or memory where no folder takes one."""

from __future__ import annotations

import os
from typing import IO, Any

__all__ = ["open_spool"]


def open_spool(mode: str = "w+b") -> IO[Any]:
    """A file without a name, gone when it is closed."""
    # The program must not wait for this import.
    import tempfile

    encoding = None if "b" in mode else "ascii"
    try:
        return tempfile.TemporaryFile(mode, encoding=encoding)
    except OSError:
        return os.fdopen(os.memfd_create("wxtrace"), mode, encoding=encoding)
