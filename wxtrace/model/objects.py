"""What a refused call was about: descriptors, mounts, shared memory segments, libraries.

Part of the facts (`wxtrace.model.facts`). None stands for what could not be read.
"""

from __future__ import annotations

from typing import Optional

from wxtrace.frozen import Frozen

__all__ = ["Descriptor", "Library", "MountFact", "Segment"]


class MountFact(Frozen):
    """The mount a file lies on, in the target's own mount namespace."""

    point: str
    options: str
    fstype: str
    super_options: str


class Descriptor(Frozen):
    """A descriptor named by a refused call. `flags` as open(2) set them; `seals` as F_GET_SEALS answers.

    `huge_page_size`: bytes of the pages of a file of huge pages, None for any other.
    """

    link: str
    flags: Optional[int] = None
    kind: Optional[str] = None
    mount: Optional[MountFact] = None
    seals: Optional[int] = None
    append_only: Optional[bool] = None
    huge_page_size: Optional[int] = None


class Segment(Frozen):
    """A SysV shared memory segment; `removed`: it goes when the last process lets go of it.

    `size` in bytes. `creator`: the user who made it, which `uid` need not be any more.
    """

    mode: int
    uid: int
    gid: int
    removed: bool
    size: Optional[int] = None
    creator: Optional[int] = None


class Library(Frozen):
    """What the ELF headers of a mapped file say; nothing for sure when there was `trouble` reading them.

    `stack_flags` are the PF_ bits of PT_GNU_STACK, None where that header is missing.
    """

    path: str
    stack_flags: Optional[int] = None
    text_relocations: bool = False
    trouble: str = ""
