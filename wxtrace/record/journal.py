"""The journal: every fact of a run, append-only, framed and checksummed.

    file    "WXTRACE-JOURNAL/2\\n" frame*
    frame   length (u32) crc32 (u32) payload
    payload entry*
    entry   "S" call (72 bytes) | "J" length (u32) JSON of record/codec.py

    call    ABI (u8) flags (u8) number (u16) tid (i32) t_ns (u64) result (i64) six arguments (u64)
    flags   bits 1 and 2: who decided; bit 3: never returned; bit 4: the result is unsigned

Journals of version 1 are read as well: they have "C" entries instead, of 71 bytes without the ABI, which is bit 0 of
the flags there.

Written in batches, one frame a batch. A journal cut anywhere opens up to its last whole frame, and says so.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Any, Callable, Iterator, List, NamedTuple, Optional, Tuple, Union

from wxtrace.errors import RecordError
from wxtrace.model.enumerations import Abi
from wxtrace.model.facts import Call, Lost
from wxtrace.record.codec import fact_from_json, fact_to_json
from wxtrace.record.journalbytes import JournalBytes, Readable
from wxtrace.record.jsonstream import decode

__all__ = [
    "MAGIC",
    "NEITHER",
    "Elsewhere",
    "JournalReader",
    "JournalWriter",
    "Place",
    "Write",
    "call_at",
    "plain_head",
]

MAGIC = b"WXTRACE-JOURNAL/2\n"
_MAGICS = (MAGIC, b"WXTRACE-JOURNAL/1\n")
_ANY_VERSION = b"WXTRACE-JOURNAL/"
NEITHER = "%s is neither a wxtrace journal nor a timeline"
"""Said of what is read as a journal because it does not begin as a timeline does."""
_NEWER = "%s is a wxtrace journal of another version"
MAX_FRAME = 64 << 20
"""Bytes; a longer length field is damage, not data."""

DEFAULT_LIMIT = 1 << 30
"""Bytes of a running journal from which ordinary calls are counted and not kept."""

_HEADER = struct.Struct("<II")
_CALL = struct.Struct("<BBHiQq6Q")
_CALL_1 = struct.Struct("<BHiQq6Q")
_PLAIN = struct.Struct("<3sHiQq6Q")
_SIZE = struct.Struct("<I")
_CALL_TAG, _CALL_1_TAG, _JSON_TAG = b"S", b"C", b"J"
_ABIS = len(Abi)


Write = Callable[[memoryview], int]
"""Takes some bytes at the end of the journal, and says how many. Raises OSError."""
Elsewhere = Callable[["JournalWriter", OSError], Optional[Write]]
"""Where a journal goes on that cannot grow any more for that reason; behind its `written` bytes."""


class JournalWriter:
    """Collects entries and appends them as frames. Never raises on a full disk: it goes on `elsewhere`."""

    def __init__(self, fd: int, limit: int = DEFAULT_LIMIT, elsewhere: Optional[Elsewhere] = None) -> None:
        self.failure: Optional[OSError] = None
        """Why nothing is written any more."""
        self.limit = limit
        self._write: Write = lambda data: os.write(fd, data)
        self._elsewhere = elsewhere
        self._written = 0
        self._whole = False
        self._dropped = 0
        self._entries: List[bytes] = []
        self._raw_write(MAGIC)

    @property
    def written(self) -> int:
        """Bytes."""
        return self._written

    @property
    def holds_anything(self) -> bool:
        """Whether a whole frame is written."""
        return self._whole

    @property
    def full(self) -> bool:
        """Whether the limit is reached: ordinary calls are only counted from here on."""
        return self._written > self.limit

    @property
    def pending(self) -> bool:
        """Whether entries wait to be written."""
        return bool(self._entries)

    def call(self, call: Call, keep: bool = False) -> None:
        """Add one call. `keep` for those that a full journal may not drop."""
        if self._written > self.limit and not keep:
            self._dropped += 1
            return
        tid, t_ns, abi, number, args, result, decided = call
        flags = decided << 1
        if result is None:
            flags |= 8
            result = 0
        elif result >= 1 << 63:
            result -= 1 << 64
            flags |= 16
        self._entries.append(_CALL_TAG + _CALL.pack(abi, flags, number, tid, t_ns, result, *args))

    def plain_call(self, tid: int, t_ns: int, head: bytes, info: Tuple[int, ...], result: int) -> None:
        """Add a call that succeeded: `head` by `plain_head`, in `info` the number at 4, the arguments from 5 to 10."""
        if self._written > self.limit:
            self._dropped += 1
            return
        _, _, _, _, number, a, b, c, d, e, f, _ = info
        self._entries.append(_PLAIN.pack(head, number, tid, t_ns, result, a, b, c, d, e, f))

    def fact(self, fact: Any) -> None:
        """Add one fact that is not a call."""
        text = json.dumps(fact_to_json(fact), separators=(",", ":")).encode("ascii")
        self._entries.append(_JSON_TAG + _SIZE.pack(len(text)) + text)

    def take_dropped(self) -> int:
        """How many calls were dropped since this was last asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def flush(self) -> None:
        """Write what waits: one frame, or more where one would be longer than a reader takes."""
        batch: List[bytes] = []
        size = 0
        for entry in self._entries:
            if size + len(entry) > MAX_FRAME and batch:
                self._write_frame(batch)
                batch, size = [], 0
            batch.append(entry)
            size += len(entry)
        if batch:
            self._write_frame(batch)
        self._entries.clear()

    def _write_frame(self, entries: List[bytes]) -> None:
        payload = b"".join(entries)
        self._raw_write(_HEADER.pack(len(payload), zlib.crc32(payload)) + payload)
        self._whole = True

    def _raw_write(self, data: bytes) -> None:
        if self.failure is not None:
            return
        view = memoryview(data)
        while view and self.failure is None:
            try:
                written = self._write(view)
            except OSError as error:
                write = self._elsewhere(self, error) if self._elsewhere is not None else None
                if write is None:
                    self.failure = error
                else:
                    self._write = write
            else:
                self._written += written
                view = view[written:]


def plain_head(abi: int, decided: int) -> bytes:
    """How the entry of a call that succeeded begins: made once, for the calls that come by the thousand."""
    return _CALL_TAG + bytes((abi, decided << 1))


class Place(NamedTuple):
    """Where an entry starts, in bytes from the start of the file, and where its frame ends."""

    entry: int
    frame_end: int


def call_at(source: JournalBytes, entry: int) -> Call:
    """The call whose entry starts at this byte of a journal. Raises RecordError when there is none (any more)."""
    data = source.read_at(1 + _CALL.size, entry)
    try:
        if data[:1] == _CALL_TAG:
            return _call_of(data, 1)
        if data[:1] == _CALL_1_TAG:
            return _call_of_version_1(data, 1)
    except (struct.error, RecordError):
        pass
    raise RecordError("the journal has changed under our eyes, at byte %d" % entry)


def _call_of(payload: bytes, at: int) -> Call:
    fields = _CALL.unpack_from(payload, at)
    abi, flags, result = fields[0], fields[1], fields[5]
    if abi >= _ABIS:
        raise RecordError("a call by an unknown ABI")
    if flags & 8:
        result = None
    elif flags & 16:
        result += 1 << 64
    # Slices: half the time that naming each field takes.
    return Call(fields[3], fields[4], abi, fields[2], fields[6:], result, flags >> 1 & 3)


def _call_of_version_1(payload: bytes, at: int) -> Call:
    fields = _CALL_1.unpack_from(payload, at)
    flags, result = fields[0], fields[4]
    if flags & 8:
        result = None
    elif flags & 16:
        result += 1 << 64
    return Call(fields[2], fields[3], flags & 1, fields[1], fields[5:], result, flags >> 1 & 3)


class JournalReader:
    """Reads facts from a journal, finished or still being written; from `start` on, a place it was at before.

    `available` raises RecordError on what is no journal and on damage; `all` only on what is no journal.
    """

    def __init__(self, file: Readable, name: str, start: Optional[Place] = None) -> None:
        self._file = file
        self._name = name
        self._buffer = b""
        self._position = 0
        self._opened = False
        self._damage: Optional[str] = None
        # What is left of the frame that `start` lies in; its checksum was found right the first time.
        self._begun = 0
        if start is not None:
            file.seek(start.entry)
            self._position, self._begun = start.entry, start.frame_end - start.entry
            self._opened = True

    def available(self) -> Iterator[Union[Call, Any]]:
        """Every fact in the whole frames that are there now; call again when the file has grown."""
        while True:
            payload = self._frame()
            if payload is None:
                return
            for _, fact in self._entries(payload):
                yield fact

    def placed(self) -> Iterator[Tuple[Place, Union[Call, Any]]]:
        """As `available`, each fact with its place."""
        while True:
            payload = self._frame()
            if payload is None:
                return
            end = self._position
            start = end - len(payload)
            for at, fact in self._entries(payload):
                yield Place(start + at, end), fact

    @property
    def position(self) -> int:
        """Bytes of the file that were taken; of the last frame perhaps not every fact was given yet."""
        return self._position

    @property
    def opened(self) -> bool:
        """Whether it has begun as a journal does."""
        return self._opened

    @property
    def cut(self) -> Optional[str]:
        """What is wrong with the end of a journal that nobody writes to any more; None when nothing is."""
        if self._damage is not None:
            return "the journal is " + self._damage
        if self._buffer:
            return "the journal ends in the middle of a frame, after byte %d" % self._position
        return None

    def all(self) -> Iterator[Union[Call, Any]]:
        """Every fact of a finished journal up to where it is cut or damaged, and then a `Lost` that says where."""
        try:
            yield from self.available()
        except RecordError:
            if self._damage is None:
                raise
            yield Lost("the journal is " + self._damage)
            return
        if not self._opened:
            raise RecordError(NEITHER % self._name)
        if self.cut is not None:
            yield Lost(self.cut)

    def _need(self, size: int) -> bool:
        while len(self._buffer) < size:
            chunk = self._file.read(max(size - len(self._buffer), 1 << 16))
            if not chunk:
                return False
            self._buffer += chunk
        return True

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        self._position += size
        return taken

    def _frame(self) -> Optional[bytes]:
        if not self._opened:
            if not self._need(len(MAGIC)):
                return None
            magic = self._take(len(MAGIC))
            if magic not in _MAGICS:
                newer = magic.startswith(_ANY_VERSION)
                raise RecordError((_NEWER if newer else NEITHER) % self._name)
            self._opened = True
        if self._begun:
            if not self._need(self._begun):
                return None
            begun, self._begun = self._begun, 0
            return self._take(begun)
        if not self._need(_HEADER.size):
            return None
        length, checksum = _HEADER.unpack_from(self._buffer)
        if length > MAX_FRAME:
            raise self._damaged("at byte %d: a frame of %d bytes" % (self._position, length))
        if not self._need(_HEADER.size + length):
            return None
        payload = self._take(_HEADER.size + length)[_HEADER.size :]
        if zlib.crc32(payload) != checksum:
            raise self._damaged("before byte %d: a checksum differs" % self._position)
        return payload

    def _damaged(self, what: str) -> RecordError:
        self._damage = "damaged " + what
        return RecordError("%s is %s" % (self._name, self._damage))

    def _entries(self, payload: bytes) -> Iterator[Tuple[int, Union[Call, Any]]]:
        """Each fact of a frame, with where its entry starts there."""
        at = 0
        size = len(payload)
        try:
            while at < size:
                entry = at
                tag = payload[at : at + 1]
                at += 1
                if tag == _CALL_TAG:
                    call = _call_of(payload, at)
                    at += _CALL.size
                    yield entry, call
                elif tag == _CALL_1_TAG:
                    call = _call_of_version_1(payload, at)
                    at += _CALL_1.size
                    yield entry, call
                elif tag == _JSON_TAG:
                    (length,) = _SIZE.unpack_from(payload, at)
                    at += _SIZE.size
                    text = payload[at : at + length]
                    at += length
                    yield entry, fact_from_json(decode(text.decode("ascii")))
                else:
                    raise RecordError("an entry of unknown kind")
        except (struct.error, ValueError, RecursionError, RecordError) as error:
            raise self._damaged("before byte %d: %s" % (self._position, error)) from None
