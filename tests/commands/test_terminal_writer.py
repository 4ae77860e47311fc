"""Lines that are held back until the caller of a refused call is known."""

from __future__ import annotations

import io

import pytest

from wxtrace.commands import terminal_writer as module
from wxtrace.commands.terminal_writer import Page
from wxtrace.explain.wording import caller_texts
from wxtrace.model.frames import ANONYMOUS, Frame


def test_a_filled_gap_lets_everything_go_in_order() -> None:
    stream = io.StringIO()
    page = Page(stream)
    page.line("REFUSED")
    page.gap(7, [])
    page.line("why")
    page.write()
    before = stream.getvalue()

    assert page.fill(7, ["caller", "its caller"])
    page.write()
    assert (before, stream.getvalue()) == ("", "REFUSED\ncaller\nits caller\nwhy\n")
    assert page.held_for is None


def test_one_gap_holds_the_other() -> None:
    stream = io.StringIO()
    page = Page(stream)
    page.gap(1, [])
    page.gap(2, [])
    page.line("end")
    page.fill(2, ["second"])
    page.write()
    assert stream.getvalue() == ""
    page.fill(1, [])
    page.write()

    assert stream.getvalue() == "second\nend\n"


def test_a_gap_is_given_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELD_SECONDS", 0.0)
    stream = io.StringIO()
    page = Page(stream)
    page.line("REFUSED")
    page.gap(7, ["not known yet"])
    page.write()

    assert stream.getvalue() == "REFUSED\nnot known yet\n"
    assert not page.fill(7, ["caller"])


def test_the_last_page_is_not_held() -> None:
    stream = io.StringIO()
    page = Page(stream)
    page.gap(7, [])
    page.line("nothing more")
    page.write(everything=True)

    assert stream.getvalue() == "nothing more\n"


LIBC = Frame("/lib/libc.so.6", 0x100, "mprotect")


def test_the_callers_begin_outside_the_c_library() -> None:
    callers = [Frame("/bin/jit", 0x11F0, "flip"), Frame("/bin/jit", 0x1300, "main"), LIBC]

    assert caller_texts([LIBC, *callers]) == ["flip in /bin/jit (+0x11f0)", "main in /bin/jit (+0x1300)"]


def test_code_of_no_file_is_told_in_words() -> None:
    assert caller_texts([Frame("/opt/engine", 16), Frame(ANONYMOUS, 5)]) == [
        "/opt/engine (+0x10)",
        "code in anonymous memory (compiled at run time?), 0x5 bytes behind its start",
    ]


def test_names_from_a_file_are_harmless() -> None:
    (text,) = caller_texts([Frame("/tmp/\x1b[2J", 1, "a" * 5000 + "\x07")])

    assert text.isprintable() and len(text) < 400
