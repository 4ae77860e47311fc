"""Blocks as plain text."""

from __future__ import annotations

from typing import Iterable, Iterator

from wxtrace.explain.blocks import Block, Code, Heading

__all__ = ["plain_lines"]


def plain_lines(blocks: Iterable[Block]) -> Iterator[str]:
    """Line by line; an empty one before whatever begins something."""
    first = True
    for block in blocks:
        if isinstance(block, Heading):
            if not first:
                yield ""
            yield block.text
            yield "=" * len(block.text)
        elif isinstance(block, Code):
            yield ""
            yield block.text
        else:
            yield "  %-9s %s" % block
        first = False
