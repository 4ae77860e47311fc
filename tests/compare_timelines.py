"""What a change of the model changes: journals told again, and held against the timelines made of them before.

    python tests/compare_timelines.py OLD [NEW]

OLD holds journals, NAME.journal, each beside its timeline, NAME.json, in folders of any depth: before the change,
`wxtrace export -o NAME.json NAME.journal` wrote it. Each journal is exported by the present version. With NEW nothing
is: the timelines of OLD are held against those of the same name in NEW. Everything is compared but `tool.version`.
Differences that are alike but for their numbers are counted together. The exit status is 1 where anything differs,
2 where there is nothing to compare.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from wxtrace.commands import export
from wxtrace.explain.wording import plural
from wxtrace.printable import printable

__all__ = ["Difference", "differences", "main"]

EXAMPLES = 5
WIDTH = 500
"""Characters of one side of a difference."""

_ABSENT = "(nothing)"
_is_number = re.compile(r"0x[0-9a-f]+|[0-9]+")
# An event's number changes with the model: one event more or less shifts all that follow. Its moment does not.
_KEYS = {"processes": ("proc",), "spaces": ("id",), "regions": ("id",), "events": ("t_ns", "tid", "call")}
_OWN_KINDS = ("outcome", "cause", "confidence", "summary", "evidence", "fixes", "touched", "diagnosis")
"""Members of an event and of its diagnosis that are a kind by their own name; the others by their path."""


class Difference(NamedTuple):
    """`where`: the event or record, as far as there is one; `old` and `new`: only what differs of it."""

    kind: str
    run: str
    where: str
    old: str
    new: str


def differences(run: str, old: Dict[str, Any], new: Dict[str, Any]) -> Iterator[Difference]:
    """Everything in which two timelines of one run differ, but for the version of the tool."""
    for name, before, after in _pairs(old, new):
        if name in _KEYS and _ABSENT not in (before, after):
            one, other = (_by_key(side, _KEYS[name]) for side in (before, after))
            for (key, _), record, changed in _pairs(one, other):
                if name == "events":
                    yield from _of_event(run, record, changed)
                else:
                    yield from _of_value(name, run, "%s %s" % (_KEYS[name][0], key[0]), record, changed)
            orders = [[key for key in side if key in one and key in other] for side in (one, other)]
            if orders[0] != orders[1]:
                yield Difference(name + ".order", run, "", *_texts(*orders))
        elif isinstance(before, dict) and isinstance(after, dict):
            for member, had, has in _pairs(before, after):
                if (name, member) != ("tool", "version"):
                    yield from _of_value("%s.%s" % (name, member), run, "", had, has)
        else:
            yield from _of_value(name, run, "", before, after)


def _of_event(run: str, old: Any, new: Any) -> Iterator[Difference]:
    event = new if old is _ABSENT else old
    where = "event %d, %s" % (event["n"], event["call"])
    if _ABSENT in (old, new):
        yield from _of_value("events", run, where, old, new)
        return
    for name, before, after in _pairs(old, new):
        if name == "diagnosis" and isinstance(before, dict) and isinstance(after, dict):
            for member, one, other in _pairs(before, after):
                kind = member if member in _OWN_KINDS else "diagnosis." + member
                yield from _of_value(kind, run, where, one, other)
        else:
            kind = name if name in _OWN_KINDS else "events." + name
            yield from _of_value(kind, run, where, before, after)


def _of_value(kind: str, run: str, where: str, old: Any, new: Any) -> Iterator[Difference]:
    if old != new:
        if isinstance(old, dict) and isinstance(new, dict):
            pairs = [(name, *sides) for name, *sides in _pairs(old, new) if sides[0] != sides[1]]
            old, new = ({name: sides[at] for name, *sides in pairs} for at in (0, 1))
        elif isinstance(old, list) and isinstance(new, list):
            gone, come = [item for item in old if item not in new], [item for item in new if item not in old]
            # Else it is their order, or how often one of them is there.
            old, new = (gone, come) if gone or come else (old, new)
        yield Difference(kind, run, where, *_texts(old, new))


def _by_key(records: List[Dict[str, Any]], members: Tuple[str, ...]) -> Dict[Any, Dict[str, Any]]:
    """By these members, and the how-manieth with them it is."""
    met: Counter[Any] = Counter()
    found = {}
    for record in records:
        key = tuple(record[member] for member in members)
        found[key, met[key]] = record
        met[key] += 1
    return found


def _pairs(old: Dict[Any, Any], new: Dict[Any, Any]) -> Iterator[Tuple[Any, Any, Any]]:
    """Each key with what stands for it on both sides."""
    for key in [*old, *(key for key in new if key not in old)]:
        yield key, old.get(key, _ABSENT), new.get(key, _ABSENT)


def _texts(*sides: Any) -> List[str]:
    """Where they are long, from shortly before they part."""
    whole = [side if isinstance(side, str) else json.dumps(side, ensure_ascii=False) for side in sides]
    if max(map(len, whole)) > WIDTH:
        parting = next((at for at, (one, other) in enumerate(zip(*whole)) if one != other), min(map(len, whole)))
        start = max(parting - WIDTH // 10, 0)
        whole = ["…" + text[start:] if start else text for text in whole]
    return [printable(text, WIDTH) for text in whole]


def _replayed(name: str, old: Path) -> List[Difference]:
    journal, before = old / (name + ".journal"), old / (name + ".json")
    if not (journal.exists() and before.exists()):
        return [_one_is_missing(name, before, journal)]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        after = Path(folder, "timeline.json")
        try:
            export.run(["-o", str(after), str(journal)])
        except Exception as error:  # A journal that breaks the model is one difference; the other ones are told, too.
            why = printable("%s: %s" % (type(error).__name__, error), WIDTH)
            return [Difference("replay", name, "", "a timeline", why)]
        return _compared(name, before, after)


def _beside(name: str, old: Path, new: Path) -> List[Difference]:
    before, after = old / (name + ".json"), new / (name + ".json")
    if not (before.exists() and after.exists()):
        return [_one_is_missing(name, before, after)]
    return _compared(name, before, after)


def _one_is_missing(name: str, *paths: Path) -> Difference:
    return Difference("runs", name, "", *(path.name if path.exists() else _ABSENT for path in paths))


def _compared(name: str, *paths: Path) -> List[Difference]:
    texts = [path.read_text("ascii") for path in paths]
    if texts[0] == texts[1]:
        return []
    old, new = map(json.loads, texts)
    found = list(differences(name, old, new))
    if not found and old["tool"] == new["tool"]:
        # Values that Python takes for equal (1 and true), members in another order.
        return [Difference("form", name, "", *_texts(*texts))]
    return found


def _names(folder: Path, suffix: str) -> List[str]:
    return sorted(str(path.relative_to(folder))[: -len(suffix)] for path in folder.rglob("*" + suffix))


def _told(found: List[Difference]) -> Iterator[str]:
    kinds: Dict[str, Dict[Tuple[str, str], List[Difference]]] = defaultdict(lambda: defaultdict(list))
    for one in found:
        kinds[one.kind][_is_number.sub("0", one.old), _is_number.sub("0", one.new)].append(one)
    for kind in sorted(kinds, key=lambda kind: (kind not in _OWN_KINDS, kind)):
        groups = kinds[kind]
        members = [one for group in groups.values() for one in group]
        yield "%s: %d in %s" % (kind, len(members), plural(len({one.run for one in members}), "run"))
        largest = sorted(groups.values(), key=len, reverse=True)
        for group in largest[:EXAMPLES]:
            yield "  %d×, as in %s" % (len(group), ", ".join(filter(None, (group[0].run, group[0].where))))
            yield "      old  " + group[0].old
            yield "      new  " + group[0].new
        if len(largest) > EXAMPLES:
            rest = largest[EXAMPLES:]
            yield "  and %d× in %d other ways" % (sum(map(len, rest)), len(rest))


def main(arguments: Optional[List[str]] = None) -> int:
    """Compare, and print what was found; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="journals with the timelines made of them before")
    parser.add_argument("new", type=Path, metavar="NEW", nargs="?", help="timelines to hold against those of OLD")
    options = parser.parse_args(arguments)
    old, new = options.old, options.new
    if new is None:
        names, compare = sorted({*_names(old, ".journal"), *_names(old, ".json")}), partial(_replayed, old=old)
    else:
        names, compare = sorted({*_names(old, ".json"), *_names(new, ".json")}), partial(_beside, old=old, new=new)
    if not names:
        sys.stderr.write("there is nothing to compare in %s\n" % printable(str(old)))
        return 2
    with ProcessPoolExecutor() as pool:
        found = [one for several in pool.map(compare, names) for one in several]
    for line in _told(found):
        print(line)
    said = "no difference"
    if found:
        said = "%s in %s" % (plural(len(found), "difference"), plural(len({one.run for one in found}), "run"))
    print("%s compared, all but tool.version: %s" % (plural(len(names), "run"), said))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
