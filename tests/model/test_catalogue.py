"""The table of causes: complete, well-formed, and each entry held by a test."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest

from wxtrace.model.causes.catalogue import CAUSES, family, similar
from wxtrace.model.causes.entry import ANY_CALL, Cause
from wxtrace.model.enumerations import Aftermath, Confidence, Errno, Outcome
from wxtrace.model.syscalls.table import BY_NAME
from wxtrace.record.timeline import schema_text

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.id)


def test_ids_are_unique_and_of_one_form() -> None:
    assert len(CAUSES) == 70
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)?", id) for id in CAUSES)


@EVERY
def test_words_of_an_entry(cause: Cause) -> None:
    """Sentences start small and end without a stop, as they stand in the middle of a line; fixes are sentences."""
    for name in ("", *cause.cases):
        case = cause.case(name)
        assert case.sentence and not case.sentence.endswith(".")
        assert all(fix.text.endswith(".") and fix.audience in ("developer", "administrator") for fix in case.fixes)
    assert cause.when.endswith(".") and cause.when[0].isupper()
    assert len(cause.when) < 160
    assert cause.calls


@EVERY
def test_templates_have_named_words_only(cause: Cause) -> None:
    texts = [cause.case(name).sentence for name in ("", *cause.cases)]
    for name in ("", *cause.cases):
        texts += [text for fix in cause.case(name).fixes for text in (fix.text, fix.command or "")]
    for text in texts:
        assert all(word is None or word.isidentifier() for _, word, _, _ in string.Formatter().parse(text))


@EVERY
def test_the_example_is_there(cause: Cause) -> None:
    words = [word for word in (cause.example or "").split() if not word.startswith("-")]
    assert all((ROOT / "examples" / (word + ".c")).exists() for word in words)


def test_a_family_is_found_by_its_prefix_and_nothing_by_half_of_one() -> None:
    assert [cause.id for cause in family("mount")] == ["mount.noexec"]
    assert len(family("selinux")) == 7
    assert family("selin") == []


@pytest.mark.parametrize(
    "typed, meant",
    [("mdw", "mdwe"), ("execmem", "selinux.execmem"), ("selinx", "selinux"), ("limits.data", "limit.data")],
)
def test_near_matches(typed: str, meant: str) -> None:
    assert meant in similar(typed)


def test_the_schema_names_every_cause_and_everybody_who_refuses() -> None:
    definitions = json.loads(schema_text())["$defs"]
    assert set(definitions["cause"]["examples"]) == set(CAUSES)
    who = set(definitions["diagnosis"]["properties"]["refused_by"]["examples"])
    assert who <= {cause.refused_by for cause in CAUSES.values()}


def test_the_schema_has_the_words_of_the_model() -> None:
    definitions = json.loads(schema_text())["$defs"]
    diagnosis = definitions["diagnosis"]["properties"]
    assert diagnosis["confidence"]["enum"] == [str(word) for word in Confidence]
    assert diagnosis["aftermath"]["enum"] == [str(word) for word in Aftermath]
    assert definitions["outcome"]["enum"] == [str(word) for word in Outcome]


@EVERY
def test_what_a_cause_gives_is_known(cause: Cause) -> None:
    """Calls that are traced, errnos of the kernel, signals; and its outcomes are about these calls."""
    for call, gives in cause.calls.items():
        assert call in (ANY_CALL, "fault", "dlopen") or call in BY_NAME
        assert all(isinstance(given, Errno) or given.startswith("SIG") for given in gives)
    assert all(key in cause.calls for key in cause.outcomes if isinstance(key, str))
