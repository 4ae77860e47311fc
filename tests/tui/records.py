"""Journals for the screen, written from hand-made facts as the tracer would write them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "model"))

from stories import ANON_AT, FILE_AT, MAPS, PAGE, RW, RX, R, Told, file_line

from wxtrace.model.facts import RunEnded
from wxtrace.record.journal import JournalWriter
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui.index import Index

__all__ = ["ANON_AT", "FILE_AT", "MAPS", "PAGE", "RW", "RX", "R", "Recorded", "file_line", "index_of"]

MMAP_ANON = 0x22
NO_FD = (1 << 64) - 1


class Recorded(Told):
    """A story whose facts can be written to a journal."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        self.facts: List[Any] = []
        super().__init__(*arguments, **keywords)

    def feed(self, *facts: Any) -> None:
        self.facts += facts
        super().feed(*facts)

    def map_anonymous(self, at: int, pages: int = 1, prot: int = RW, tid: int = 100) -> None:
        self.call("mmap", 0, pages * PAGE, prot, MMAP_ANON, NO_FD, 0, result=at, tid=tid)

    def end(self, code: int = 0) -> None:
        self.exit(100, code=code)
        self.feed(RunEnded(self.now()))

    def write(self, path: Path, each: int = 7) -> Path:
        """In frames of a few facts each."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        append(fd, self.facts, each)
        os.close(fd)
        return path


def append(fd: int, facts: List[Any], each: int = 7) -> JournalWriter:
    """A journal with these facts, left open for more."""
    writer = JournalWriter(fd)
    add(writer, facts, each)
    return writer


def add(writer: JournalWriter, facts: List[Any], each: int = 7) -> None:
    for i, fact in enumerate(facts):
        if type(fact).__name__ == "Call":
            writer.call(fact)
        else:
            writer.fact(fact)
        if i % each == each - 1:
            writer.flush()
    writer.flush()


def index_of(path: Path, follow: bool = False) -> Index:
    """Read to its end."""
    index = Index(JournalBytes(str(path)), follow)
    while index.advance(10):
        pass
    return index
