"""A record of a run, whichever form it has: a journal of ours, or a timeline that somebody sent."""

from __future__ import annotations

from types import TracebackType
from typing import Callable, Iterator, Optional, Type, Union

from wxtrace.errors import RecordError
from wxtrace.model.region import Region
from wxtrace.model.story import Shown, Story
from wxtrace.printable import printable
from wxtrace.record.importing import Timeline
from wxtrace.record.journal import JournalReader
from wxtrace.record.store import open_journal

__all__ = ["Record", "open_record"]


class Record:
    """An open record. `told` knows the run, its processes and spaces; of a journal, as far as `shown` has come."""

    def __init__(self, path: str, on_origin: Optional[Callable[[Region, str], None]] = None) -> None:
        self._on_origin = on_origin
        self._file = open_journal(path)
        self._reader: Optional[JournalReader] = None
        self.told: Union[Story, Timeline]
        try:
            name = printable(path)
            if _begins_as_json(self._file.read(64)):
                self.told = Timeline(self._file, name)
            else:
                self._file.seek(0)
                self.told = Story(on_origin=on_origin)
                self._reader = JournalReader(self._file, name)
        except RecordError:
            self._file.close()
            raise

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], value: Optional[BaseException], where: Optional[TracebackType]
    ) -> None:
        self._file.close()

    @property
    def is_timeline(self) -> bool:
        """Whether it is a timeline; else a journal."""
        return self._reader is None

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
        assert self._reader is not None
        for fact in self._reader.all():
            yield from told.feed(fact)
        yield from told.finish()
        if told.run is None:
            raise RecordError("the journal holds no run: it ends before the program was started")


def open_record(path: str, on_origin: Optional[Callable[[Region, str], None]] = None) -> Record:
    """Open a journal or a timeline. Raises RecordError when it is neither, or cannot be read.

    `on_origin` hears how regions became executable, while the record is told.
    """
    return Record(path, on_origin)


def _begins_as_json(data: bytes) -> bool:
    return data.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")
