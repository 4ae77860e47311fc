"""Every key, on a screen of 80 by 24."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Any, Callable, List

import pytest
from textual.widgets import Input

from tui.records import ANON_AT, PAGE, RW, RX, Recorded, add, append
from tui.screen_kit import NEW, settled, shown, until_shown
from wxtrace.record.journalbytes import JournalBytes
from wxtrace.tui import exporting
from wxtrace.tui.app import TraceApp
from wxtrace.tui.help import KEYS, help_lines
from wxtrace.tui.pane import LinePane

Screen = Callable[..., None]


async def press(app: TraceApp, pilot: Any, *keys: str) -> None:
    await pilot.press(*keys)
    await settled(app, pilot)


def test_it_opens_on_the_first_refused_call_and_its_reason(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        assert app.events.selected == app.index.columns.alarms[0]
        text = shown(app)
        assert "✗ 2 refused" in text
        assert "REFUSED  mprotect(0x7f0000000000, 4096, PROT_READ|PROT_EXEC)" in text
        assert "why " in text
        assert "there since the program was loaded" in text

    screen(act)


def test_n_and_capital_n_go_from_refused_to_refused(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        first, second = app.index.columns.alarms
        await press(app, pilot, "n")
        assert app.events.selected == second
        await press(app, pilot, "n")
        assert app.events.selected == second
        assert "That was the last refused call." in shown(app)
        await press(app, pilot, "N")
        assert app.events.selected == first

    screen(act)


def test_the_why_pane_comes_back_from_behind_the_map_as_wide_as_before(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        before = app.why.lines
        await press(app, pilot, "m")
        await press(app, pilot, "escape")
        assert app.why.lines == before

    screen(act)


def test_a_filter_that_lists_nothing_says_how_to_leave_it(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "x")
        assert len(app.events.listing) == 0
        assert "No event is listed: Esc lists all." in shown(app)

    screen(act)


def test_an_answers_key_means_nothing_to_the_screen_below(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        theme = app.theme
        await press(app, pilot, "y")
        await press(app, pilot, "d")
        assert len(app.screen_stack) == 1
        assert app.theme == theme

    screen(act)


@pytest.mark.parametrize("key", ["q", "ctrl+q", "ctrl+c"])
def test_a_key_leaves_an_ended_run(screen: Screen, key: str) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await pilot.press(key)
        await pilot.pause()
        assert app.return_value == 0

    screen(act)


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (["g"], 0),
        (["G"], -1),
        (["home", "j", "down", "k"], 1),
        (["end", "up"], -2),
        (["g", "pagedown"], None),
        (["G", "pageup"], None),
    ],
)
def test_the_cursor_moves(screen: Screen, keys: List[str], row: Any) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, *keys)
        count = len(app.events.listing)
        if row is None:
            page = app.events.size.height - 1
            assert app.events.cursor in (min(page, count - 1), max(count - 1 - page, 0))
        else:
            assert app.events.cursor == row % count

    screen(act)


def test_enter_unfolds_a_row_and_then_goes_to_the_why_pane(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        rows = len(app.events.listing)
        app.events.select(3)
        assert app.events.listing[app.events.cursor].times == 10
        await press(app, pilot, "enter")
        assert len(app.events.listing) == rows + 9
        await press(app, pilot, "enter")
        assert app.why.has_focus

    screen(act)


def test_enter_on_a_jump_goes_there_and_b_comes_back(tmp_path: Path, screen: Screen) -> None:
    told = Recorded()
    told.map_anonymous(NEW)
    made = told.last.n
    told.call("mprotect", NEW, PAGE, RX)

    async def act(app: TraceApp, pilot: Any) -> None:
        app.events.select(made + 1)
        await settled(app, pilot)
        app.why.focus()
        app.why.go_to(next(i for i, line in enumerate(app.why.lines) if line.jump == made))
        await press(app, pilot, "enter")
        assert app.events.selected == made
        await press(app, pilot, "b")
        assert app.events.selected == made + 1

    screen(act, told.write(tmp_path / "j"))


def test_slash_searches_and_a_full_stop_searches_on(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "g", "slash", *"mprotect", "enter")
        first = app.events.selected
        assert first is not None
        assert app.index.columns.kind_of(first).name == "mprotect"
        await press(app, pilot, "full_stop", "full_stop")
        assert app.events.selected > first
        await press(app, pilot, "slash")
        await press(app, pilot, *["backspace"] * 8, *"xyzzy", "enter")
        assert "Nothing matches “xyzzy”." in shown(app)

    screen(act)


def test_f_filters_and_escape_lists_all(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "f", *"unmap", "enter")
        assert app.events.listing.matched == 1
        assert "call unmap: 1 of" in shown(app)
        await press(app, pilot, "escape")
        assert app.events.listing.matched == len(app.index)

    screen(act)


def test_f_says_what_an_address_looks_like(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "f", "tab", "tab", *"heap", "enter")
        assert app.screen.query_one("#region")
        await press(app, pilot, *["backspace"] * 4, *"%x" % ANON_AT, "enter")
        assert app.events.listing.wanted.region == (ANON_AT, ANON_AT + 1)
        assert app.events.listing.matched == 2

    screen(act)


def test_r_and_x_list_what_was_refused_and_what_became_executable(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "r")
        assert app.events.listing.matched == 2
        await press(app, pilot, "r", "x")
        assert app.events.listing.matched == 0
        await press(app, pilot, "x")
        assert app.events.listing.matched == len(app.index)

    screen(act)


def test_u_shows_each_event(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "u")
        assert len(app.events.listing) == len(app.index)
        await press(app, pilot, "u")
        assert len(app.events.listing) < len(app.index)

    screen(act)


def test_m_shows_the_map_and_enter_a_regions_history(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "m")
        assert app.map.has_focus
        await until_shown(app, pilot, "! A 7f0000000000-7f0000004000")
        await press(app, pilot, "enter")
        assert "What became of these pages" in shown(app)
        await press(app, pilot, "enter")
        assert app.events.selected == app.index.columns.alarms[0]
        await press(app, pilot, "m")
        assert app.why.display

    screen(act)


def test_w_and_tab_go_from_pane_to_pane(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "w")
        assert app.why.has_focus
        await press(app, pilot, "tab")
        assert app.events.has_focus
        await press(app, pilot, "shift+tab")
        assert app.why.has_focus

    screen(act)


def test_t_says_where_a_programs_output_is(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "t")
        assert "Output is only shown while a program runs" in shown(app)

    screen(act)


def test_p_shows_the_tree_and_enter_lists_one_process(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "p")
        assert "jit[100]  ./jit" in shown(app)
        await press(app, pilot, "enter")
        assert app.events.listing.wanted.process == "100"

    screen(act)


def test_the_question_mark_names_every_key(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "question_mark")
        text = shown(app)
        assert all(key.text in text for key in KEYS)
        await press(app, pilot, "escape")
        assert app.events.has_focus

    screen(act, size=(120, 60))


def test_every_key_is_in_the_command_palette(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert all("%s (%s)" % (key.text, key.shown) in titles for key in KEYS if not key.action.startswith("app."))

    screen(act)


def test_e_exports_the_timeline(screen: Screen, tmp_path: Path) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "e", "j")
        app.screen.query_one(Input).value = str(tmp_path / "out.json")
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        assert "Written" in shown(app)

    screen(act)
    assert '"schema": "wxtrace-timeline/1"' in (tmp_path / "out.json").read_text().replace('":"', '": "')


def test_an_export_that_fails_says_why(journal: Path, tmp_path: Path) -> None:
    failure = asyncio.run(exporting.export(JournalBytes(str(journal)), "json", str(tmp_path / "no" / "out.json")))

    assert failure is not None
    assert "No such file or directory" in failure


def test_y_copies_the_call_and_the_diagnosis(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "y", "c")
        assert app.clipboard.startswith("mprotect(0x7f0000000000, 4096, PROT_READ|PROT_EXEC) = -1 EACCES")
        await press(app, pilot, "y", "d")
        assert app.clipboard.startswith("```\nREFUSED  mprotect(0x7f0000000000")
        assert app.clipboard.endswith("Seen in `./jit` with wxtrace 0.\n")

    screen(act)


def test_capital_f_follows_the_newest(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "F")
        assert app.events.follow
        assert app.events.cursor == len(app.events.listing) - 1
        await press(app, pilot, "k")
        assert not app.events.follow

    screen(act)


def test_d_is_dark_or_light(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        dark = app.current_theme.dark
        await press(app, pilot, "d")
        assert app.current_theme.dark is not dark

    screen(act)


def test_q_quits(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await pilot.press("q")
        await pilot.pause()
        assert app.return_value == 0

    screen(act)


def test_the_mouse_chooses_a_row(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "g")
        await pilot.click(app.events, offset=(5, 3))
        await settled(app, pilot)
        assert app.events.cursor == 2

    screen(act)


def test_it_is_laid_out_anew_when_the_window_changes(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        assert not app.map.display
        await pilot.resize_terminal(160, 50)
        await settled(app, pilot)
        assert app.map.display
        await until_shown(app, pilot, "! A 7f0000000000")
        await pilot.resize_terminal(80, 24)
        while app.map.display:
            await pilot.pause(0.01)
        await until_shown(app, pilot, "REFUSED  mprotect(0x7f0000000000, 4096, PROT_READ|PROT_EXEC)")
        assert not app.map.display
        assert all(len(line) == 80 for line in shown(app).split("\n"))

    screen(act)


def test_a_first_refused_call_is_announced_to_who_looks_elsewhere(
    tmp_path: Path, refused: Recorded, screen: Screen
) -> None:
    fd = os.open(tmp_path / "live", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    writer = append(fd, refused.facts[:8])

    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "g")
        add(writer, refused.facts[8:])
        while len(app.index) < len(refused.events):
            await pilot.pause(0.01)
        await settled(app, pilot)
        assert app.events.cursor == 0
        assert "Refused: mprotect 7f0000000000 4K r-x, EACCES" in shown(app)

    screen(act, tmp_path / "live", growing=True)
    os.close(fd)


def test_a_healthy_run_says_what_to_press(tmp_path: Path, screen: Screen) -> None:
    told = Recorded()
    told.map_anonymous(NEW, prot=RX)
    told.map_anonymous(NEW + PAGE, prot=RW)
    told.end()

    async def act(app: TraceApp, pilot: Any) -> None:
        assert "1 region became executable: press x to see which." in shown(app)
        assert "nothing refused" in shown(app)

    screen(act, told.write(tmp_path / "j"))


def test_a_jump_to_what_the_filter_hides_lists_all_again(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "f", *"unmap", "enter")
        await press(app, pilot, "n")
        assert app.events.selected == app.index.columns.alarms[1]
        assert "The filter hid that event" in shown(app)

    screen(act)


def test_no_line_of_the_help_is_cut_on_the_narrowest_screen(screen: Screen) -> None:
    async def act(app: TraceApp, pilot: Any) -> None:
        await press(app, pilot, "question_mark")
        room = app.screen.query_one(LinePane).size.width
        assert [line.text for line in help_lines() if len(line.text) > room] == []

    screen(act)
