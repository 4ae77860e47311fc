"""Text that anybody wrote, in Markdown: it is shown, and does nothing."""

from __future__ import annotations

import pytest

from wxtrace.explain.markdown import code_block, inert

MarkdownIt = pytest.importorskip("markdown_it", reason="comes with textual").MarkdownIt

ALIVE = [
    "@octocat",
    "(@octocat)",
    "a\\@octocat",
    "org/repo#12",
    "#12",
    "GH-12",
    "gh-12:",
    "TICKET-7",
    "!12",
    "deadbeef",
    "(0a1b2c3).",
    "https://example.org/x",
    "HTTP://example.org",
    "ftp://example.org",
    "www.example.org",
    "example.org",
    "name@example.org",
    "mailto:name@example.org",
    "~~gone~~",
    "~label",
    "$x^2$",
    "$`x`$",
    "&lt;b&gt;",
    "&#64;name",
    "<script>",
    "![x](https://example.org/x.png)",
    "[^1]",
    "[ ]",
    "**loud**",
    "_low_",
    ":smile:",
    "a|b",
    "`rm`",
    "``",
    "`",
    "\\x1b[31m",
    "C:\\users",
]
PLAIN = [
    'MDWE: the process has given up making memory executable, and this memory was not (yet) "executable" before.',
    "4 KiB of anonymous memory, 0.012 s after the start; 50 %, r-x and rw- = -1 EACCES, 0x7f2000000000-0x7f2000001000",
    "It’s größer – and don't ask …",
]


@pytest.mark.parametrize("word", ALIVE)
@pytest.mark.parametrize("around", ["%s", "before %s after", "%s %s"])
def test_what_trackers_look_for_stands_in_code(word: str, around: str) -> None:
    text = around.replace("%s", word)
    (paragraph,) = [token for token in MarkdownIt("commonmark").parse("- **why**: " + inert(text)) if token.children]

    shown = "".join(token.content for token in paragraph.children)
    assert shown == "why: " + text
    outside = [token.content for token in paragraph.children if token.type == "text"]
    assert not any(word in text for text in outside)
    assert {token.type for token in paragraph.children} <= {"text", "code_inline", "strong_open", "strong_close"}


@pytest.mark.parametrize("text", PLAIN)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert inert(text) == text


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("MemoryDenyWriteExecute=no).", "`MemoryDenyWriteExecute=no`)."),
        ("---p,", "`---p`,"),
        ("out/hs:", "`out/hs`:"),
        ("(+0x122f)", "`(+0x122f)`"),
        ("PR_SET_MDWE", "`PR_SET_MDWE`"),
        (":/.", "`:/`."),
    ],
)
def test_punctuation_stands_behind_the_code(word: str, expected: str) -> None:
    assert inert(word) == expected


def test_a_fence_is_longer_than_any_in_it() -> None:
    text = "```\n@octocat\n````"
    (token,) = MarkdownIt("commonmark").parse(code_block(text))

    assert (token.type, token.content) == ("fence", text + "\n")
