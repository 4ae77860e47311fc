"""Descriptors: how many the tracer may have, and those that came to us and are not ours."""

from __future__ import annotations

import os
import resource
from typing import Tuple

__all__ = ["WANTED", "let_go_of_inherited", "raise_own_limit", "restore_limit"]

WANTED = 4096
"""Descriptors that a tracer of very many processes may need; less is enough for most."""

Limit = Tuple[int, int]


def raise_own_limit() -> Limit:
    """As many descriptors as we may have, for this process and its children; the limit that was in force."""
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = former
    # Only CAP_SYS_RESOURCE goes beyond the hard one (setrlimit(2)).
    for limit in ((max(soft, WANTED), max(hard, WANTED)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            break
        except (OSError, ValueError):
            continue
    return former


def restore_limit(former: Limit) -> None:
    """What `raise_own_limit` changed: the program we start has its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, former)


def let_go_of_inherited() -> None:
    """Close what came to us through exec, above the standard streams; all that we open is close-on-exec.

    The program has its own copies, and whoever reads their other ends waits for ours.
    """
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                os.close(fd)
        except OSError:
            pass  # the descriptor of this very listing
