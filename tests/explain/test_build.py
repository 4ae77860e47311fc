"""One explanation, and every page over it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "model"))

from stories import ANON_AT, PAGE, RX, R, Told

from wxtrace.explain.blocks import Item, event_blocks
from wxtrace.explain.build import Context, explain, regions_in
from wxtrace.explain.document import Document
from wxtrace.explain.markdown import markdown_lines
from wxtrace.explain.plain import plain_lines
from wxtrace.model.enumerations import Aftermath, Confidence, Outcome
from wxtrace.model.event import Amendment, Attempt, Diagnosis, Ending, Event, Evidence, Fallback, Fix, Partial, Touched

EVENT = Event(
    8,
    10**9,
    1,
    100,
    101,
    1,
    "mprotect",
    Outcome.REFUSED,
    errno="EACCES",
    details={},
    touched=[Touched(1, 0x1000 * i, 0x1000 * (i + 1), "rw-p", "r-x", None, "anon") for i in range(1, 7)],
    diagnosis=Diagnosis(
        "mdwe",
        "kernel",
        Confidence.PROVED,
        "no\x1b way",
        (Evidence("it\nsays so", "status"),),
        (Fix("you", "do it", "run\x07 it"),),
        Partial(1, 6),
    ),
)


def explained(amendment: Amendment | None = None, fallback: Fallback | None = None) -> Document:
    return explain(EVENT, Context("jit[100]", amendment=amendment, fallback=fallback))


def test_nothing_in_it_reaches_a_terminal_raw() -> None:
    document = explained()

    assert document.why == "no\\x1b way"
    assert document.evidence == (Evidence("it\\nsays so", "status"),)
    assert document.fixes == (Fix("you", "do it", "run\\x07 it"),)


def test_parts_that_are_left_out_are_counted() -> None:
    document = explained()

    assert (len(document.memory), document.unlisted) == (4, 2)


def test_who_refused_stands_as_in_a_sentence() -> None:
    assert explained().cause == ("mdwe", "the kernel", Confidence.PROVED)


def test_all_attempts_of_an_amendment_replace_those_that_were_known() -> None:
    first, second, third = Attempt(8, "a", "mdwe"), Attempt(9, "b", "mdwe"), Attempt(10, "c", None)
    early = Fallback((first, second), (8, 9))
    all_of_them = Amendment(8, Aftermath.RECOVERED, fallback=Fallback((first, second, third), (8, 9)))
    known, replaced = explained(fallback=early).attempts, explained(all_of_them, early).attempts

    assert known is not None and len(known.attempts) == 2
    assert replaced is not None and len(replaced.attempts) == 3


def test_memory_is_told_with_the_event_that_made_it() -> None:
    told = Told()
    told.call("mmap", 0, PAGE, 3, 0x22, (1 << 64) - 1, 0, result=0x7F2000000000)
    made = told.last.n
    told.call("mprotect", 0x7F2000000000, PAGE, R)
    [memory] = explain(told.last, Context("jit[100]", regions_in(told.replay.space_of(100)))).memory

    assert memory.made_at == made
    assert memory.made_by.startswith("mmap(NULL, 4096, PROT_READ|PROT_WRITE")
    assert memory.change == "now r--p"


def test_memory_that_was_found_says_so() -> None:
    told = Told()
    event = told.refuse()
    [memory] = explain(event, Context("jit[100]", regions_in(told.replay.space_of(100)))).memory

    assert (memory.made_at, memory.found) == (None, "there since the program was loaded")


def test_a_region_that_is_mapped_there_now_is_not_taken_for_the_one_before() -> None:
    told = Told()
    event = told.refuse()
    told.call("mmap", ANON_AT, PAGE, RX, 0x32, (1 << 64) - 1, 0, result=ANON_AT)

    assert regions_in(told.replay.space_of(100))(event.touched[0]) is None


def test_an_event_without_diagnosis_tells_its_details() -> None:
    event = EVENT._replace(diagnosis=None, outcome=Outcome.OK, details={"argv": ["a", "b\n"]})

    assert explain(event, Context("jit[100]")).details == (("argv", "a b\\n"),)


def test_a_report_tells_of_the_first_attempt_how_all_went_and_of_a_later_one_whose_it_is() -> None:
    fallback = Fallback((Attempt(8, "a", "mdwe"), Attempt(9, "b", None)), (8,))
    later = Fallback((Attempt(3, "a", "mdwe"), Attempt(8, "b", "mdwe")), (3, 8))

    def after(fallback: Fallback) -> list[str]:
        blocks = event_blocks(explained(Amendment(8, Aftermath.RECOVERED, fallback=fallback)))
        return [block.text for block in blocks if isinstance(block, Item) and block.label in ("then", "tried")]

    assert after(fallback) == [
        "tried 2 ways to get executable memory; the 2nd worked: b",
        "event 8: a: mdwe",
        "event 9: b: worked",
    ]
    assert after(later) == ["a further attempt of the search that began with event 3"]


def test_plain_text_and_markdown_say_the_same() -> None:
    document = explained(Amendment(8, Aftermath.EXITED, ending=Ending(1, None, 3)))
    plain = " ".join(plain_lines(event_blocks(document, 2)))
    marked = " ".join(markdown_lines(event_blocks(document, 2)))

    for text in ("jit[100], 2 times", "exit status 1, 3 traced calls later", "1 of 6 pages changed all the same"):
        assert text in plain
    assert marked.replace("`", "").replace("- **then**: ", "").count("exit status 1, 3 traced calls later") == 1
