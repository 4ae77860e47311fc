"""What the panes say, without a screen: short calls, why, region maps and their history, process tree, header."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest

from tui.records import ANON_AT, PAGE, RW, RX, R, Recorded, index_of
from tui.screen_kit import NEW
from wxtrace.model.facts import BY_FILTER, Call
from wxtrace.model.syscalls.table import NUMBERS
from wxtrace.tui.compact_text import call_words, seconds_text, size_words, told_words
from wxtrace.tui.detail_panes import document_of, replay_at
from wxtrace.tui.event_list import row_line
from wxtrace.tui.index import Index
from wxtrace.tui.lines import Line, cut, fitted, labelled
from wxtrace.tui.listing import RowSpan
from wxtrace.tui.processes import ProcessLines, State, advice, header_line
from wxtrace.tui.regions import HistoryLines, RegionMap, map_at
from wxtrace.tui.why import why_lines


def texts(lines: List[Line]) -> List[str]:
    return [line.text for line in lines]


def why(index: Index, n: int, width: int = 80) -> List[Line]:
    return why_lines(document_of(index, n), width)


def map_of(index: Index, n: int) -> RegionMap:
    event = index.event(n)
    replay, space = replay_at(index, event)
    return map_at(event, space, replay.origins.of)


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("mmap", (0, 0x2000, 3, 0x22, (1 << 64) - 1, 0), "mmap 8K rw- anon"),
        ("mmap", (0x1000, 300, 5, 0x12, 3, 0x3000), "mmap 300 r-x fd 3 +3000 at 1000"),
        ("mprotect", (0x7F00, 41075, 1), "mprotect 7f00 40.1K r--"),
        ("madvise", (0x1000, 4096, 4), "madvise 1000 4K DONTNEED"),
        ("brk", (0,), "brk 0"),
        ("mremap", (0x1000, 4096, 1 << 20, 0), "mremap 1000 4K → 1M"),
        ("memfd_create", (0x1000, 1), "memfd_create 0x1000 MFD_CLOEXEC"),
    ],
)
def test_a_call_in_a_few_words(name: str, args: tuple[int, ...], words: str) -> None:
    padded = (*args, 0, 0, 0, 0, 0)[:6]

    assert call_words(Call(1, 1, 0, NUMBERS[0][name], padded, 0)) == words


@pytest.mark.parametrize("argv", [["./jit", "-x"], "./jit -x"])
def test_an_exec_in_a_few_words_of_a_journal_and_of_a_timeline(argv: object) -> None:
    assert told_words("exec", {"exe": "/srv/jit", "argv": argv}) == "exec ./jit -x"


def test_sizes_and_times_are_short() -> None:
    assert [size_words(n) for n in (1, 1024, 3 << 30, (1 << 20) + 1)] == ["1", "1K", "3G", "1.0M"]
    assert [seconds_text(n) for n in (1, 99 * 10**9, 100 * 10**9)] == ["0.000000", "99.000000", "100.000"]


def test_the_why_pane_names_call_reason_memory_and_what_came_of_it(journal: Path) -> None:
    index = index_of(journal)
    first, _ = index.columns.alarms

    lines = why(index, first)
    text = "\n".join(texts(lines))

    assert lines[0].text.startswith("REFUSED  mprotect(0x7f0000000000, 4096, PROT_READ|PROT_EXEC) = -1 EACCES")
    assert "exit status 1, " in text
    assert "there since the program was loaded" in text
    assert "who      jit[100], thread 100, event %d" % first in text
    assert all(len(line) <= 80 for line in texts(lines))


def test_where_memory_came_from_is_a_jump(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW)
    made = told.last.n
    told.call("mprotect", NEW, PAGE, RX)
    index = index_of(told.write(tmp_path / "j"))

    jumps = [line.jump for line in why(index, made + 1) if line.jump is not None]

    assert set(jumps) == {made}


def test_the_map_marks_what_is_new_changed_and_gone(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW, 2)
    told.call("mprotect", NEW, PAGE, R)
    told.call("munmap", NEW, PAGE)
    index = index_of(told.write(tmp_path / "j"))
    mapped = told.named("mmap")[0].n

    marks = []
    for n in (mapped, mapped + 1, mapped + 2):
        shown = map_of(index, n)
        marks.append([(row.mark, row.start, row.perms) for row in (shown[i] for i in range(len(shown))) if row.mark])
        assert shown[shown.focus].mark

    assert marks == [
        [("+", NEW, "rw-p")],
        [("~", NEW, "r--p")],
        [("−", NEW, "r--p")],
    ]


def test_the_map_marks_what_a_refused_call_aimed_at(journal: Path) -> None:
    index = index_of(journal)

    shown = map_of(index, index.columns.alarms[0])

    assert (shown[shown.focus].mark, shown[shown.focus].start) == ("!", ANON_AT)


def test_the_map_of_an_ended_space_is_the_last_one(journal: Path) -> None:
    index = index_of(journal)

    assert len(map_of(index, len(index))) == 4


def test_a_call_that_killed_its_program_has_no_result_and_the_map_that_it_met(tmp_path: Path) -> None:
    told = Recorded()
    number = NUMBERS[0]["mprotect"]
    # The register still holds the call's number: no answer was ever put there.
    told.call("mprotect", ANON_AT, PAGE, RX, result=number, decided=BY_FILTER)
    told.exit(100, signal=31)
    index = index_of(told.write(tmp_path / "j"))
    n = index.columns.alarms[0]
    shown = map_of(index, n)

    assert row_line(index, RowSpan(n, 1, 1), 80, False).spans[5].text.split() == ["?"]
    assert (shown[shown.focus].mark, shown[shown.focus].start) == ("!", ANON_AT)


def test_a_regions_history_is_every_event_that_touched_it(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW, 2)
    made = told.last.n
    told.call("mprotect", NEW, PAGE, R)
    told.call("mprotect", NEW + PAGE, PAGE, R)
    told.call("mseal", NEW, PAGE, 0)
    told.call("mprotect", ANON_AT, PAGE, R)
    index = index_of(told.write(tmp_path / "j"))
    shown = map_of(index, made + 3)
    row = next(shown[i] for i in range(len(shown)) if shown[i].start == NEW)

    lines = HistoryLines(index, row, 1, len(index))
    lines.work()

    assert [(line.jump, line.text.split()[0]) for line in lines[1:]] == [
        (made, "created"),
        (made + 1, "event"),
        (made + 3, "sealed"),
    ]


def test_a_forks_history_goes_back_to_its_parent(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW)
    made = told.last.n
    told.start(200, space=2, how="fork", parent=100)
    told.call("mprotect", NEW, PAGE, R)
    told.call("mprotect", NEW, PAGE, RX, tid=200)
    index = index_of(told.write(tmp_path / "j"))
    n = len(index)
    shown = map_of(index, n)
    row = next(shown[i] for i in range(len(shown)) if shown[i].start == NEW)

    lines = HistoryLines(index, row, 2, n)
    lines.work()

    assert [line.jump for line in lines[1:]] == [made, n]


def test_a_history_is_found_out_piece_by_piece(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW)
    for _ in range(20_000):
        told.call("mprotect", NEW, PAGE, R)
    index = index_of(told.write(tmp_path / "j", 1000))
    shown = map_of(index, len(index))
    row = next(shown[i] for i in range(len(shown)) if shown[i].start == NEW)
    lines, slices = HistoryLines(index, row, 1, len(index)), 0
    while not lines.work(0):
        slices += 1

    assert slices > 1 and len(lines) == 1 + 20_001
    assert lines[-1].jump == len(index)


def test_the_end_of_a_process_is_shown_with_the_map_that_it_had(tmp_path: Path) -> None:
    told = Recorded()
    told.start(200, space=2, how="fork", parent=100)
    told.call("mmap", 0, PAGE, RW, 0x22, (1 << 64) - 1, 0, result=NEW, tid=200)
    told.exit(200, code=0)
    ended = told.last.n
    told.call("mprotect", ANON_AT, PAGE, R)
    for record in (told.facts, told.facts[:-1]):
        told.facts = record
        shown = map_of(index_of(told.write(tmp_path / "j")), ended)
        assert NEW in [shown[i].start for i in range(len(shown))]


def test_the_tree_shows_children_under_their_parents(tmp_path: Path) -> None:
    told = Recorded()
    told.start(200, space=2, how="fork", parent=100)
    told.refuse(tid=200)
    told.exit(200, signal=9)
    lines = ProcessLines(index_of(told.write(tmp_path / "j")))
    lines.work()

    assert [line.text.split()[0] for line in lines] == ["jit[100]", "└"]
    assert "✗ 1 refused" in lines[1].text
    assert "killed by SIGKILL" in lines[1].text


def test_the_header_cuts_nothing_but_the_command(journal: Path) -> None:
    line = header_line(index_of(journal), State(), 62).text

    assert line == "./jit  exit status 1  ✗ 2 refused  14 calls  1 process  0.00 s"


def test_while_a_journal_is_read_the_header_does_not_say_that_nothing_was_refused(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW)
    index = index_of(told.write(tmp_path / "j"), follow=True)

    assert "  nothing refused yet  " in header_line(index, State(), 80).text


@pytest.mark.parametrize(
    ("gains", "words"), [(0, "No memory became executable"), (2, "2 regions became executable: press x")]
)
def test_where_nothing_was_refused_it_says_what_to_do_next(tmp_path: Path, gains: int, words: str) -> None:
    told = Recorded()
    for i in range(gains):
        told.map_anonymous(NEW + i * PAGE, prot=RX)
    told.end()
    text = "\n".join(texts(advice(index_of(told.write(tmp_path / "j")), State())))

    assert text.startswith("Nothing was refused.")
    assert words in text


@pytest.mark.parametrize(
    ("flips", "words"),
    [(5, "1 region became executable: press x"), (1001, "Memory became executable 1001 times: press x")],
)
def test_pages_that_become_executable_again_are_no_more_regions(tmp_path: Path, flips: int, words: str) -> None:
    told = Recorded()
    for _ in range(flips):
        told.call("mprotect", ANON_AT, PAGE, RX)
        told.call("mprotect", ANON_AT, PAGE, R)
    told.end()

    assert words in "\n".join(texts(advice(index_of(told.write(tmp_path / "j")), State())))


def test_what_to_do_next_is_wrapped_not_cut(tmp_path: Path) -> None:
    told = Recorded()
    told.map_anonymous(NEW, prot=RX)
    told.end()
    lines = texts(advice(index_of(told.write(tmp_path / "j")), State(), 40))

    assert max(map(len, lines)) <= 40
    assert " ".join(lines).endswith("1 region became executable: press x to see which.")


@pytest.mark.parametrize("width", [60, 80, 96, 130, 200])
def test_a_row_is_as_wide_as_the_list(journal: Path, width: int) -> None:
    index = index_of(journal)

    for n in range(1, len(index) + 1):
        assert len(row_line(index, RowSpan(n, 1, 1), width, False).text) == width


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert cut("mprotect", 5) == "mpro…"
    assert cut("漢字漢字", 5) == "漢字…"
    assert fitted(Line(labelled("why", "x" * 50, 30)[0].spans), 10).text.endswith("…")


def test_protections_on_rows(journal: Path) -> None:
    index = index_of(journal)

    assert "rw-✗r-x anon" in row_line(index, RowSpan(index.columns.alarms[0], 1, 1), 80, False).text
