"""A record of a run, whichever form it has: a journal of ours, or a timeline that somebody sent."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Callable, Iterator, Optional, Type, Union

from wxtrace.errors import RecordError
from wxtrace.model.facts import Lost, RunEnded
from wxtrace.model.region import Region
from wxtrace.model.replay import Replay, Shown
from wxtrace.record.importing import Timeline
from wxtrace.record.journal import JournalReader
from wxtrace.record.journalbytes import Cursor, JournalBytes

__all__ = ["ENDS_EARLY", "Record", "begins_as_json", "facts_of", "open_record"]

ENDS_EARLY = "the journal ends before the run did"
"""Said of one that nobody writes to any more, where it does: its tracer was killed, or found no room."""


class Record:
    """An open record. `told` knows the run, its processes and spaces; of a journal, as far as `shown` has come."""

    def __init__(self, path: str, on_origin: Optional[Callable[[Region, str], None]] = None) -> None:
        self._on_origin = on_origin
        self._bytes = JournalBytes(path)
        self.told: Union[Replay, Timeline]
        try:
            if begins_as_json(self._bytes):
                self.told = Timeline(self._bytes.cursor(), self._bytes.name)
            else:
                self.told = Replay(on_origin=on_origin)
        except RecordError:
            self._bytes.close()
            raise

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        self._bytes.close()

    @property
    def is_timeline(self) -> bool:
        """Whether it is a timeline; else a journal."""
        return isinstance(self.told, Timeline)

    def shown(self) -> Iterator[Shown]:
        """Everything the record tells, once. Raises RecordError on the first fault of what is no journal of ours."""
        told = self.told
        if isinstance(told, Timeline):
            if self._on_origin is not None:
                for region, word in told.regions():
                    if word is not None:
                        self._on_origin(region, word)
            yield from told.shown()
            return
        for fact in facts_of(self._bytes.cursor()):
            yield from told.feed(fact)
        yield from told.finish()
        if told.run is None:
            raise RecordError("the journal holds no run: it ends before the program was started")


def open_record(path: str, on_origin: Optional[Callable[[Region, str], None]] = None) -> Record:
    """Open a journal or a timeline. Raises RecordError when it is neither, or cannot be read.

    `on_origin` hears how regions became executable, while the record is told.
    """
    return Record(path, on_origin)


def begins_as_json(record: JournalBytes) -> bool:
    """Whether it is a timeline, if it is anything of ours. Raises RecordError when it cannot be read."""
    return record.read_at(64, 0).lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")


def facts_of(journal: Cursor) -> Iterator[Any]:
    """Every fact of a journal, and a `Lost` where it has no end, unless its run still goes on. Raises RecordError."""
    ended = False
    for fact in JournalReader(journal, journal.name).all():
        ended = ended or isinstance(fact, (RunEnded, Lost))
        yield fact
    if not ended and not journal.source.still_written:
        yield Lost(ENDS_EARLY)
