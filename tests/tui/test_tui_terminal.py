"""What a program writes, as lines and as a screen; what is typed for it; and an emulator that fails."""

from __future__ import annotations

import subprocess
import sys
from typing import List

import pytest
from processes import until

from wxtrace.tui.emulation import Emulation
from wxtrace.tui.keyboard import key_bytes
from wxtrace.tui.output_pane import style_of
from wxtrace.tui.scrollback import Scrollback

pyte = pytest.importorskip("pyte", reason="the program's screen needs pyte: pip install '.[tui]'")


def lines(*parts: bytes) -> List[str]:
    scrollback = Scrollback()
    for part in parts:
        scrollback.feed(part)
    return scrollback.lines


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((b"one\r\ntwo\n",), ["one", "two", ""]),
        ((b"10%\r20%\r30%",), ["30%"]),
        ((b"\x1b[1;31mred\x1b[0m\x1b]0;title\x07 text",), ["red text"]),
        ((b"cut \x1b", b"[3", b"1mhere"), ["cut here"]),
        ((b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\",), ["link"]),
        ((b"a\tb\x08c\x07",), ["a       c"]),
        (("ümlaut".encode()[:1], "ümlaut".encode()[1:]), ["ümlaut"]),
        ((b"\xff\xfe",), ["\ufffd\ufffd"]),
        ((b"\xc2\x9b31m",), ["\\x9b31m"]),
    ],
)
def test_output_is_plain_lines(parts: List[bytes], expected: List[str]) -> None:
    assert lines(*parts) == expected


def test_a_flood_keeps_its_last_lines() -> None:
    kept = lines(b"".join(b"%d\n" % n for n in range(20_000)))

    assert len(kept) == 10_000
    assert kept[-2:] == ["19999", ""]


@pytest.mark.parametrize(
    ("key", "character", "expected"),
    [
        ("a", "a", b"a"),
        ("ctrl+c", None, b"\x03"),
        ("up", None, b"\x1b[A"),
        ("enter", "\r", b"\r"),
        ("f1", None, b"\x1b[[A"),
        ("alt+x", None, b"\x1bx"),
        ("left_square_bracket", "[", b"["),
        ("ü", "ü", "ü".encode()),
        ("f24", None, b""),
    ],
)
def test_a_key_is_what_a_linux_terminal_sends(key: str, character: str, expected: bytes) -> None:
    assert key_bytes(key, character) == expected


@pytest.fixture
def emulation() -> Emulation:
    """A screen of 5 by 20."""
    emulation = Emulation(5, 20)
    yield emulation  # type: ignore[misc]
    emulation.close()


def row(emulation: Emulation, number: int) -> str:
    emulation.poll()
    return "".join(text for text, _ in emulation.rows.get(number, [])).rstrip()


def test_the_emulator_draws_a_screen(emulation: Emulation) -> None:
    emulation.feed(b"plain\r\n\x1b[31mred\x1b[0m\x1b[4;3Hthere")

    until(lambda: row(emulation, 3) == "  there")
    assert row(emulation, 0) == "plain"
    assert emulation.rows[1][0] == ("red", "red default ")
    assert emulation.cursor[:2] == (3, 7)


def test_the_emulator_outlives_what_its_library_cannot_take(emulation: Emulation) -> None:
    emulation.feed(b"\x1b[99999999999999999999;99999999999999999999H\x1b[999999999999@\x1b[?99999999999999999999h")
    emulation.feed(b"\x1b[>4;2m\x1b[?4m\x1b[>c\x1b[!p\x1bP+q436f\x1b\\")
    emulation.feed(b"\x1b[H\x1b[2Jstill here")

    until(lambda: row(emulation, 0).endswith("still here"))


def test_the_emulator_follows_the_size_of_its_pane(emulation: Emulation) -> None:
    emulation.resize(3, 10)
    emulation.feed(b"\x1b[Habcdefghijklm")

    until(lambda: row(emulation, 1) == "klm")


def test_a_dead_emulator_is_only_no_screen(emulation: Emulation) -> None:
    assert emulation._process is not None
    emulation._process.kill()
    emulation.feed(b"x" * 200_000)

    until(lambda: [emulation.poll(), emulation.failed][1])
    emulation.feed(b"more")


@pytest.mark.parametrize("colours", ["", "red default b", "ff8800 brown ur", "brightblue black ", "nonsense default "])
def test_the_emulators_colours_are_styles(colours: str) -> None:
    assert style_of(colours) is not None


def test_the_screen_imports_neither_the_tracer_nor_the_emulator() -> None:
    line = "import sys, wxtrace.commands.tui, wxtrace.tui.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True, cwd="/")
    modules = set(done.stdout.split())

    assert "textual.app" in modules
    assert not {"ptrace", "pyte", "wxtrace.live"} & modules
