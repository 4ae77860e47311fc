"""What views say of executable memory: how much there came to be and how, and how searches for it ended."""

from __future__ import annotations

from typing import Counter, Dict, List, Mapping, Optional, Set, Tuple

from wxtrace.explain.wording import fallback_text, plural
from wxtrace.model.causes.evidence import size_text
from wxtrace.model.event import Event, Fallback
from wxtrace.model.origins import PLAIN
from wxtrace.model.region import Region
from wxtrace.model.trampolines import SHORT, TRICKS, maker_of
from wxtrace.printable import printable

__all__ = ["ExecutableMemory", "Searches", "counts_text"]

_MOST = 20
_MOST_GAINS = 4096


def counts_text(counts: Counter[str]) -> Optional[str]:
    """`3 regions became executable: 2 written then flipped, 1 dual mapping`; None when none did in such a way."""
    made = {word: counts[word] for word in SHORT if counts[word] > 0}
    if not made:
        return None
    parts = ["%d %s" % (count, SHORT[word]) if len(made) > 1 else SHORT[word] for word, count in made.items()]
    return "%s became executable: %s" % (plural(sum(made.values()), "region"), ", ".join(parts))


class Searches:
    """The searches for executable memory that were told of, by the first event of each."""

    def __init__(self) -> None:
        self._fallbacks: Dict[int, Fallback] = {}

    def take(self, fallback: Fallback) -> bool:
        """Keep how far one search has come; whether it is news that it ended well."""
        first = fallback.attempts[0].n
        told = self._fallbacks.get(first)
        self._fallbacks[first] = fallback
        return told is None and fallback.worked is not None

    def endings(self, kinds: Mapping[int, object], kind: object) -> List[str]:
        """How the searches ended that have a refused call of this kind; told in full with the kind of the first."""
        words: List[str] = []
        for fallback in self._fallbacks.values():
            found = [kinds.get(attempt.n) for attempt in fallback.attempts]
            if kind not in found:
                continue
            text = fallback_text(fallback) if found[0] == kind else "a further attempt of that search"
            if text not in words:
                words.append(text)
        return words[:3]


class _Gain:
    """The calls that made pages of one region executable: the first of them, and which pages."""

    def __init__(self, n: int, call: str, who: str) -> None:
        self.n = n
        self.call = call
        self.who = who
        self.count, self.last = 0, -1
        self.parts: Set[Tuple[int, int]] = set()

    def joined(self) -> List[Tuple[int, int]]:
        """Start and end of each stretch, lowest first."""
        found: List[Tuple[int, int]] = []
        for start, end in sorted(self.parts):
            if found and start <= found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((start, end))
        return found


class ExecutableMemory:
    """The regions of a run that became executable in another way than by mapping a file as it was."""

    def __init__(self) -> None:
        self._words: Dict[int, str] = {}
        self._regions: Dict[int, Region] = {}
        self._others: Set[int] = set()
        self._gains: Dict[int, _Gain] = {}

    @property
    def more(self) -> int:
        """How many regions there are beside those with a text."""
        return len(self._others)

    def take(self, region: Region, word: str) -> None:
        """One word about one region; a later one replaces it."""
        if word in PLAIN:
            return
        if region.id not in self._regions and len(self._regions) >= _MOST:
            self._others.add(region.id)
            return
        self._regions[region.id], self._words[region.id] = region, word

    def event(self, event: Event, who: str) -> None:
        """Which pages a call of `who` made executable: often few of a region."""
        for part in event.touched if event.call is not None else ():
            if part.region is None or part.after is None or part.after[2] != "x":
                continue
            if part.before is not None and part.before[2] == "x":
                continue
            if part.region not in self._gains and len(self._gains) >= _MOST_GAINS:
                continue
            gain = self._gains.setdefault(part.region, _Gain(event.n, event.name, who))
            gain.count += event.n != gain.last
            gain.last = event.n
            if len(gain.parts) < _MOST_GAINS:
                gain.parts.add((part.start, part.end))

    def texts(self) -> List[str]:
        """One line a region: where, what, how it came to be executable, and whose it is where that can be told."""
        return [self._text(region, self._words[region.id]) for region in self._regions.values()]

    def _text(self, region: Region, word: str) -> str:
        path = region.backing.path if region.backing is not None else ""
        gain = self._gains.get(region.id)
        parts = gain.joined() if gain is not None else [(region.start, region.end)]
        words = "%#x-%#x, %s of %s" % (
            parts[0][0],
            parts[-1][1],
            size_text(sum(end - start for start, end in parts)),
            printable(path, 200) if path else region.provenance,
        )
        if len(parts) > 1:
            words += " in %d parts" % len(parts)
        if region.created_by is not None:
            words += ", from event %d" % region.created_by
        if gain is not None:
            words += ", executable by %s at event %d in %s" % (gain.call, gain.n, gain.who)
            if gain.count > 1:
                words += " and %s more" % plural(gain.count - 1, "call")
        maker = printable(maker_of(region, word), 200)
        return "%s: %s: %s%s" % (words, word, TRICKS[word], " (%s)" % maker if maker else "")
