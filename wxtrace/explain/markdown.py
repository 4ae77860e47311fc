"""Foreign text in Markdown, where nobody's markup comes alive: no link, mention, image, reference, formula or entity.

What trackers make of text differs, and much of it is found in the finished HTML, where an escape has gone already:
`\\@name` still calls that person on GitHub. In a code span nothing is looked for, so whatever is more than a plain word
stands in one (GitHub Flavored Markdown, "Code spans" and "Autolinks").
"""

from __future__ import annotations

import re
from typing import Iterable, Iterator

from wxtrace.explain.blocks import Block, Code, Heading

__all__ = ["code_block", "code_span", "inert", "markdown_lines"]

# Letters, digits and hyphens between common punctuation, a decimal point, or a lone sign.
_PLAIN = re.compile(r"[(\"']*(?:-?[^\W_]+(?:-[^\W_]+|['’][^\W_]+|(?<=\d)\.(?=\d)[^\W_]+)*-?)?[)\"',;:.?%…]*|[=+×→–—-]")
# A commit by its number, an issue as GH-1 or in a tracker that is linked to.
_REFERENCE = re.compile(r"[0-9a-f]{7,}|[a-z][a-z0-9]*-\d+", re.IGNORECASE)
_EDGES = "()\"',;:.?%…"
_BEHIND = ".,;:"


def inert(text: str) -> str:
    """Words that mean themselves; every other one in a code span."""
    return " ".join(word if _is_plain(word) else _in_code(word) for word in text.split(" "))


def code_span(text: str) -> str:
    """The text in as many backticks as it takes."""
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return ticks + pad + text + pad + ticks


def code_block(text: str) -> str:
    """Lines of text between fences."""
    fence = "`" * max(_longest_run(text) + 1, 3)
    return "%s\n%s\n%s" % (fence, text, fence)


def markdown_lines(blocks: Iterable[Block]) -> Iterator[str]:
    """Blocks line by line; an empty one before whatever begins something."""
    first = True
    for block in blocks:
        if isinstance(block, Heading):
            if not first:
                yield ""
            yield "## " + inert(block.text)
        elif isinstance(block, Code):
            yield ""
            yield code_block(block.text)
            yield ""
        else:
            yield "- **%s**: %s" % (block.label, inert(block.text))
        first = False


def _is_plain(word: str) -> bool:
    return _PLAIN.fullmatch(word) is not None and _REFERENCE.fullmatch(word.strip(_EDGES)) is None


def _in_code(word: str) -> str:
    """In a code span, and the punctuation of the sentence behind it: what is copied from there is the word."""
    core = word.rstrip(_BEHIND if "(" in word else _BEHIND + ")")
    return code_span(core) + word[len(core) :] if core else code_span(word)


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
