"""What is known of the descriptor that mmap was given: how it was opened, and what is behind it."""

from __future__ import annotations

from typing import Optional

from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.evidence import number_of, pasteable, seen
from wxtrace.model.event import Evidence
from wxtrace.model.syscalls.mmap import Mmap

__all__ = [
    "ARGUMENTS",
    "PERF_EVENT",
    "can_read",
    "can_write",
    "default_huge_page_size",
    "file_request",
    "huge_page_size",
    "is_shared",
    "offered_sizes",
    "opened",
    "quoted",
    "shown",
]

ARGUMENTS = "the arguments of the call"
PERF_EVENT = "anon_inode:[perf_event]"
"""The link of a descriptor from perf_event_open."""
_ACCESS_MODE = 3
_NAMES = {0: "O_RDONLY", 1: "O_WRONLY", 2: "O_RDWR", 3: "for ioctl alone"}


def file_request(ctx: CallContext) -> Optional[Mmap]:
    """The mmap of a descriptor; None for every other call, and for anonymous memory, whose descriptor is ignored."""
    request = ctx.request
    return request if isinstance(request, Mmap) and not request.flags & f.MAP_ANONYMOUS else None


def is_shared(request: Mmap) -> bool:
    """Whether a shared mapping is asked for."""
    return request.flags & f.MAP_TYPE in (f.MAP_SHARED, f.MAP_SHARED_VALIDATE)


def _mode(ctx: CallContext) -> Optional[int]:
    descriptor = ctx.probe.descriptor
    return None if descriptor is None or descriptor.flags is None else descriptor.flags & _ACCESS_MODE


def can_read(ctx: CallContext) -> Optional[bool]:
    """Whether it was opened for reading (FMODE_READ); None where that is not known."""
    mode = _mode(ctx)
    return None if mode is None else mode in (0, 2)


def can_write(ctx: CallContext) -> Optional[bool]:
    """Whether it was opened for writing (FMODE_WRITE); None where that is not known."""
    mode = _mode(ctx)
    return None if mode is None else mode in (1, 2)


def shown(ctx: CallContext, request: Mmap) -> Evidence:
    """What the descriptor is."""
    descriptor = ctx.probe.descriptor
    link = descriptor.link if descriptor is not None and descriptor.link else "not known"
    return seen("descriptor %d is %s" % (request.fd, link), "/proc/PID/fd")


def opened(ctx: CallContext, request: Mmap) -> Evidence:
    """What the descriptor is, and how it was opened."""
    descriptor, mode = ctx.probe.descriptor, _mode(ctx)
    link = descriptor.link if descriptor is not None and descriptor.link else "this descriptor"
    how = _NAMES[mode] if mode is not None else "in a way that is not known"
    return seen("descriptor %d (%s) was opened %s" % (request.fd, link, how), "/proc/PID/fdinfo/%d" % request.fd)


def quoted(ctx: CallContext) -> Optional[str]:
    """The path for a command; a file without a name has none."""
    link = ctx.probe.descriptor.link if ctx.probe.descriptor is not None else ""
    return None if link.endswith(" (deleted)") else pasteable(link)


def offered_sizes(ctx: CallContext) -> Optional[list[int]]:
    """The sizes of huge pages that this machine offers, in bytes; None where they were not read."""
    sizes = ctx.probe.huge_pages
    return None if sizes is None else sorted(size for size in map(number_of, sizes) if size)


def default_huge_page_size(ctx: CallContext) -> int:
    """Bytes of a huge page where the flags name no size."""
    return ctx.probe.meminfo.get("Hugepagesize") or 2 << 20


def huge_page_size(ctx: CallContext) -> Optional[int]:
    """Bytes of the huge pages that mmap is to map; None where they are ordinary ones."""
    request = ctx.request
    if not isinstance(request, Mmap):
        return None
    if not request.flags & f.MAP_ANONYMOUS:
        return ctx.probe.descriptor.huge_page_size if ctx.probe.descriptor is not None else None
    if not request.flags & f.MAP_HUGETLB:
        return None
    chosen = request.flags >> f.HUGE_SHIFT & f.HUGE_MASK
    return 1 << chosen if chosen else default_huge_page_size(ctx)
