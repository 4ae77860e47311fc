"""Descriptors that are not ours: the program has its own copies, and whoever reads their other ends waits for ours."""

from __future__ import annotations

import os

__all__ = ["let_go_of_inherited"]


def let_go_of_inherited() -> None:
    """Close what came to us through exec, above the standard streams; all that we open is close-on-exec."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                os.close(fd)
        except OSError:
            pass  # the descriptor of this very listing
