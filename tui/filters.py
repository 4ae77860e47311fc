"""Which events are listed, and which one a search finds."""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Tuple

from wxtrace.tui.columns import Columns, Kind, Who

__all__ = ["ALL", "Filter", "address_in", "matcher", "search_matcher"]


class Filter(NamedTuple):
    """Everything must hold; empty text holds for all. `region` is a range of addresses of one space."""

    refused: bool = False
    gains_exec: bool = False
    process: str = ""
    call: str = ""
    path: str = ""
    region: Optional[Tuple[int, int]] = None

    def words(self) -> str:
        """For people: `refused · call mprotect`; empty when all is listed."""
        words = ["refused"] if self.refused else []
        words += ["gains exec"] if self.gains_exec else []
        words += ["%s %s" % (name, getattr(self, name)) for name in ("process", "call", "path") if getattr(self, name)]
        if self.region is not None:
            words.append(
                "region %x-%x" % self.region if self.region[1] - self.region[0] > 1 else "region %x" % self.region[0]
            )
        return " · ".join(words)


ALL = Filter()
"""Lists every event."""


def matcher(wanted: Filter, columns: Columns) -> Optional[Callable[[int], bool]]:
    """Whether event n is listed; None when all are."""
    if wanted == ALL:
        return None
    kinds: List[bool] = []
    whos: List[bool] = []

    def matches(n: int) -> bool:
        while len(kinds) < len(columns.kinds):
            kinds.append(_kind_matches(wanted, columns.kinds[len(kinds)]))
        if not kinds[columns.kind[n - 1]]:
            return False
        while len(whos) < len(columns.whos):
            whos.append(_who_matches(wanted, columns.whos[len(whos)]))
        if not whos[columns.who[n - 1]]:
            return False
        if wanted.region is None:
            return True
        return columns.low[n - 1] < wanted.region[1] and columns.high[n - 1] > wanted.region[0]

    return matches


def _kind_matches(wanted: Filter, kind: Kind) -> bool:
    if (wanted.refused and not kind.alarm) or (wanted.gains_exec and not kind.gains_exec):
        return False
    if wanted.call and wanted.call.lower() not in kind.name:
        return False
    return wanted.path.lower() in kind.path.lower()


def _who_matches(wanted: Filter, who: Who) -> bool:
    return (
        not wanted.process
        or wanted.process in (str(who.pid), str(who.tid))
        or (wanted.process.lower() in who.title.lower())
    )


def address_in(text: str) -> Optional[int]:
    """The address that somebody typed, with or without 0x; None for other text."""
    text = text.strip().lower()
    digits = text[2:] if text.startswith("0x") else text
    if not digits or len(digits) > 16 or (not text.startswith("0x") and len(digits) < 6):
        return None
    try:
        return int(digits, 16)
    except ValueError:
        return None


def search_matcher(text: str, columns: Columns) -> Callable[[int], bool]:
    """Whether event n is what was searched for: a word of its call, result, memory, file or process, or an address."""
    address = address_in(text)
    wanted = text.strip().lower()
    kinds: List[bool] = []
    whos: List[bool] = []

    def matches(n: int) -> bool:
        while len(kinds) < len(columns.kinds):
            kinds.append(wanted in columns.kinds[len(kinds)].text())
        while len(whos) < len(columns.whos):
            who = columns.whos[len(whos)]
            whos.append(wanted in ("%s %d %d" % (who.title, who.pid, who.tid)).lower())
        if kinds[columns.kind[n - 1]] or whos[columns.who[n - 1]]:
            return True
        return address is not None and columns.low[n - 1] <= address < columns.high[n - 1]

    return matches
