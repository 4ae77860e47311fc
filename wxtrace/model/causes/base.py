"""What a rule sees and what it answers.

A rule is a function from `Refusal` to a `Finding` or None. It is handed everything as values; where a value is
None or empty it was not readable, and the rule must settle for less confidence or no answer. The words of its
answer, and the evidence that a proof takes, stand in the table of causes.
"""

from __future__ import annotations

import re
import shlex
from string import Formatter
from typing import Callable, Dict, Optional, Tuple

from wxtrace.frozen import Frozen
from wxtrace.model.causes.context import CallContext, Installed, Part
from wxtrace.model.causes.entry import admin, developer
from wxtrace.model.enumerations import Confidence
from wxtrace.model.event import Evidence, Fix

__all__ = [
    "CONSISTENT",
    "POSSIBLE",
    "PROVED",
    "Finding",
    "Installed",
    "Part",
    "Refusal",
    "Rule",
    "admin",
    "developer",
    "found",
    "in_words",
    "number_of",
    "pasteable",
    "seen",
    "size_text",
]

_DECIMAL = re.compile("[0-9]{1,19}")
_HEXADECIMAL = re.compile("[0-9a-f]{1,16}")
_RELEASE = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
PROVED, CONSISTENT, POSSIBLE = Confidence.PROVED, Confidence.CONSISTENT, Confidence.POSSIBLE


Refusal = CallContext


class Finding(Frozen):
    """One rule's answer."""

    cause: str
    confidence: Confidence
    summary: str
    evidence: Tuple[Evidence, ...] = ()
    fixes: Tuple[Fix, ...] = ()
    related: Tuple[int, ...] = ()
    case: str = ""


Rule = Callable[[Refusal], Optional[Finding]]


def seen(fact: str, source: str) -> Evidence:
    """One piece of evidence."""
    return Evidence(fact, source)


def found(
    refusal: Refusal,
    cause: str,
    *evidence: Evidence,
    case: str = "",
    certain: bool = True,
    at_most: Confidence = PROVED,
    related: Tuple[int, ...] = (),
    **words: object,
) -> Finding:
    """What the table says about `cause` here. Proved only where the rule is `certain` and all its needs are met, and
    never where some of the evidence is older than the call.

    `words` fill the templates of the entry; errno, call and kernel are always there.
    """
    # Most programs are refused nothing, and never need the table.
    from wxtrace.model.causes.catalogue import CAUSES
    from wxtrace.model.causes.needs import unmet

    missing = unmet(CAUSES[cause].needs, refusal)
    if at_most == PROVED and (missing or not certain or refusal.probe.short):
        at_most = CONSISTENT
    known = {"errno": refusal.errno, "call": refusal.request.name, "kernel": refusal.host.kernel, **words}
    summary, fixes = in_words(cause, case, **known)
    return Finding(cause, at_most, summary, evidence, fixes, related, case)


def in_words(cause: str, case: str = "", **words: object) -> Tuple[str, Tuple[Fix, ...]]:
    """Sentence and fixes of one case of a cause.

    A command that lacks a word (None, or not given) is left out, and a fix that speaks of one that is None with it.
    """
    from wxtrace.model.causes.catalogue import CAUSES

    said, known = CAUSES[cause].case(case), _Words(words)
    fixes = tuple(
        fix._replace(text=fix.text.format_map(known), command=_command(fix.command, words))
        for fix in said.fixes
        if all(words.get(word, "") is not None for _, word, _, _ in Formatter().parse(fix.text) if word)
    )
    return said.sentence.format_map(known), fixes


class _Words(Dict[str, object]):
    """A sentence with a gap is better than none."""

    def __missing__(self, word: str) -> str:
        return "…"


def _command(template: Optional[str], words: Dict[str, object]) -> Optional[str]:
    if template is None:
        return None
    try:
        return template.format_map({word: value for word, value in words.items() if value is not None})
    except KeyError:
        return None


def number_of(text: Optional[str]) -> Optional[int]:
    """A number as /proc writes it; None for anything else, which only a damaged record can hold."""
    return int(text) if text is not None and _DECIMAL.fullmatch(text) else None


def pasteable(name: Optional[str]) -> Optional[str]:
    """A name from the target, quoted for a shell; None where it has characters that are not safe to paste."""
    return shlex.quote(name) if name and name.isprintable() else None


def size_text(size: int) -> str:
    """4 KiB, 1.5 MiB: a size in bytes for people."""
    if size < 1024:
        return "%d bytes" % size
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return ("%.1f %s" % (value, unit)).replace(".0 ", " ")
