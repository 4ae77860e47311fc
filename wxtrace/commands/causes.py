"""`wxtrace causes`: every reason wxtrace can give for a refused call, and what each means."""

from __future__ import annotations

import shutil
import string
import textwrap
from typing import Dict, Iterator, List, Optional

from wxtrace.commands.arguments import Parser
from wxtrace.commands.output import write_out
from wxtrace.errors import UsageError
from wxtrace.explain.wording import by_whom
from wxtrace.model.causes.catalogue import CAUSES, family, similar
from wxtrace.model.causes.entry import ANY_CALL, Cause, Gives
from wxtrace.model.enumerations import Errno, Outcome
from wxtrace.printable import printable

__all__ = ["explained", "listed", "markdown", "run"]

_LABEL = 10
_PLACES = {
    "systemctl": "systemctl",
    "unit": "UNIT",
    "path": "PATH",
    "quoted_path": "PATH",
    "quoted_library": "LIBRARY",
    "quoted_mount": "MOUNT",
    "domain": "DOMAIN",
    "governed": "DOMAIN",
    "program": "the program",
    "setter": "",
    "may_execmem": "DOMAIN",
    "relabelled": "PATH",
    "tclass": "CLASS",
    "permission": "PERMISSION",
}
"""What stands for the words that make a command out of a template."""
_NARROWEST, _WIDEST = 60, 110


def run(arguments: List[str]) -> int:
    """Without an id all of them, one line each; with a family or an id that part. Raises UsageError for no known id."""
    parser = Parser(
        prog="wxtrace causes",
        description="List the causes that wxtrace can name, or explain one: what it means, what proves it, what to do.",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="a cause (mdwe, fd.write-mode), or a family (selinux)")
    wanted = parser.parse_args(arguments).id
    write_out("\n".join(_answer(wanted)) + "\n")
    return 0


def _answer(wanted: Optional[str]) -> Iterator[str]:
    width = min(max(shutil.get_terminal_size((_WIDEST, 24)).columns, _NARROWEST), _WIDEST)
    if wanted is None:
        yield from listed(list(CAUSES.values()), width)
        yield ""
        yield "wxtrace causes ID explains one, wxtrace causes FAMILY (fd, selinux, limit, …) lists a part."
        return
    found = family(wanted.lower().rstrip("."))
    if not found:
        raise UsageError(_unknown(wanted))
    if len(found) == 1:
        yield from explained(found[0], width)
    else:
        yield from listed(found, width)


def _unknown(wanted: str) -> str:
    near = similar(wanted)
    hint = "did you mean %s?" % " or ".join(near) if near else "wxtrace causes lists all"
    return "no cause is called “%s”; %s" % (printable(wanted, 60), hint)


def listed(causes: List[Cause], width: int) -> Iterator[str]:
    """One entry a cause: id, who refuses, when; lines behind the first are set under its sentence."""
    ids = max(len(cause.id) for cause in causes)
    who = max(len(cause.refused_by or "-") for cause in causes)
    indent = " " * (ids + who + 4)
    for cause in causes:
        head = "%-*s  %-*s  " % (ids, cause.id, who, cause.refused_by or "-")
        yield textwrap.fill(cause.when, max(width, len(indent) + 30), initial_indent=head, subsequent_indent=indent)


def explained(cause: Cause, width: int) -> Iterator[str]:
    """All of one entry."""
    yield "%s%s" % (cause.id, " — refused by %s" % by_whom(cause.refused_by) if cause.refused_by else "")
    yield from _item("when", cause.when, width)
    yield from _item("says", _as_text(cause.sentence), width)
    yield from _item("errno", _calls_text(cause), width)
    alarm = _alarm_text(cause)
    if alarm:
        yield from _item("alarm", alarm, width)
    label = "proved by"
    for need in cause.needs:
        yield from _item(label, "%s (%s)" % (need.words, need.source), width)
        label = ""
    label = "fix"
    for fix in cause.fixes:
        yield from _item(label, "%s: %s" % (fix.audience, _as_text(fix.text)), width)
        if fix.command:
            yield " " * (_LABEL + 4) + "$ " + _as_text(fix.command)
        label = ""
    label = "also"
    for text in _sentences(cause):
        yield from _item(label, text, width)
        label = ""
    if cause.source:
        yield from _item("source", cause.source, width)
    if cause.example:
        yield from _item("try", _example_text(cause.example), width)


def _item(label: str, text: str, width: int) -> Iterator[str]:
    head = "  %-*s" % (_LABEL, label)
    for line in textwrap.wrap(text, width - len(head), break_long_words=False, break_on_hyphens=False):
        yield head + line
        head = " " * len(head)


def _as_text(template: str) -> str:
    """A template with `…` for what only a refused call knows."""
    return "".join(
        text + (_PLACES.get(name, "…") if name is not None else "")
        for text, name, _, _ in string.Formatter().parse(template)
    )


def _sentences(cause: Cause) -> List[str]:
    """What else it says, each once, without those that have no words of their own."""
    texts = [_as_text(case.sentence) for case in cause.cases.values() if case.sentence]
    own = _as_text(cause.sentence)
    return [text for text in dict.fromkeys(texts) if text != own and len(text.replace("…", "").split()) > 2]


def _calls_text(cause: Cause) -> str:
    if ANY_CALL in cause.calls:
        return "any call; %s" % _gives_text(cause.calls[ANY_CALL])
    by_errno: Dict[str, List[str]] = {}
    for call, gives in cause.calls.items():
        by_errno.setdefault(_gives_text(gives), []).append(call)
    return "; ".join("%s from %s" % (errnos, ", ".join(calls)) for errnos, calls in by_errno.items())


def _gives_text(gives: Gives) -> str:
    names = [given.name if isinstance(given, Errno) else given for given in gives]
    return ", ".join("no errno" if name == "NONE" else name for name in names) or "any errno"


_ALARMS = {
    Outcome.REFUSED: "yes",
    Outcome.FAILED: "no, such a call could never work",
    Outcome.PROBE: "no, healthy programs try this to find out what they may",
}


def _alarm_text(cause: Cause) -> str:
    """Whether it is shouted, where it is not always: "" for that."""
    exceptions = {word if isinstance(word, str) else word.name: said for word, said in cause.outcomes.items()}
    if cause.outcome is Outcome.REFUSED and all(said is Outcome.REFUSED for said in exceptions.values()):
        return ""
    by_outcome: Dict[Outcome, List[str]] = {}
    for word, said in exceptions.items():
        by_outcome.setdefault(said, []).append(word)
    parts = ["%s with %s" % (_ALARMS[said], " or ".join(words)) for said, words in by_outcome.items()]
    return "; ".join([*parts, ("otherwise " if parts else "") + _ALARMS[cause.outcome]])


def _example_text(example: str) -> str:
    return "make -C examples && wxtrace -- %s" % " ".join(
        word if word.startswith("-") else "examples/build/" + word for word in example.split()
    )


def markdown() -> str:
    """docs/causes.md."""
    lines = [
        "# Causes",
        "",
        "Every reason that wxtrace can give for a call that failed; `wxtrace causes` shows the same in a terminal.",
        "The ids are stable: they stand in the timeline as `diagnosis.cause`. A cause is `proved` only where all that",
        "is listed under “proved by” was seen. Made from the entries in `wxtrace/model/causes/`.",
        "",
        "| cause | refused by | when |",
        "| --- | --- | --- |",
    ]
    lines += [
        "| [`%s`](#%s) | %s | %s |" % (cause.id, _anchor(cause.id), cause.refused_by or "", cause.when)
        for cause in CAUSES.values()
    ]
    for cause in CAUSES.values():
        lines += ["", "## %s" % cause.id, "", cause.when, ""]
        lines.append("- **says** %s" % _as_text(cause.sentence))
        lines += ["- **also says** %s" % text for text in _sentences(cause)]
        lines.append("- **errno** %s" % _calls_text(cause))
        if _alarm_text(cause):
            lines.append("- **alarm** %s" % _alarm_text(cause))
        if cause.needs:
            lines.append("- **proved by** %s" % "; ".join("%s (%s)" % (n.words, n.source) for n in cause.needs))
        for fix in cause.fixes:
            command = " `%s`" % _as_text(fix.command) if fix.command else ""
            lines.append("- **fix, %s** %s%s" % (fix.audience, _as_text(fix.text), command))
        if cause.source:
            lines.append("- **source** %s" % cause.source)
        if cause.example:
            lines.append("- **try** `%s`" % _example_text(cause.example))
    return "\n".join(lines) + "\n"


def _anchor(id: str) -> str:
    """As GitHub makes it of a heading: dots go."""
    return id.replace(".", "")
