"""remap_file_pages (mm/mmap.c:SYSCALL_DEFINE5(remap_file_pages))."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["RemapFilePages"]


class RemapFilePages(NamedTuple):
    """remap_file_pages(2). `offset` in bytes."""

    addr: int
    size: int
    prot: int
    offset: int
    flags: int

    @property
    def name(self) -> str:
        return "remap_file_pages"

    @property
    def start(self) -> int:
        return self.addr

    @property
    def length(self) -> int:
        return self.size
