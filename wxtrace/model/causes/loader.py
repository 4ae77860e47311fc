"""The dynamic loader's part in a refusal: which library wanted an executable stack, or has text relocations.

glibc up to 2.40 makes the stack executable right after it has mapped the library that wants it
(elf/dl-load.c:_dl_map_object_from_fd); a library with DT_TEXTREL has its code made writable to be relocated.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

from wxtrace.frozen import Frozen, replace
from wxtrace.model import flags as f
from wxtrace.model.causes.context import CallContext
from wxtrace.model.causes.entry import Cause, admin, developer
from wxtrace.model.causes.evidence import pasteable, seen
from wxtrace.model.enumerations import Confidence, Errno
from wxtrace.model.event import Diagnosis, Evidence, Fix
from wxtrace.model.facts import Unloading
from wxtrace.model.objects import Library
from wxtrace.model.region import Piece
from wxtrace.model.syscalls.mprotect import Mprotect

__all__ = ["LOADER", "GivenUp", "refused_by_loader", "stack_words", "with_loader"]

_EXECSTACK = Cause(
    "loader.execstack",
    "dynamic loader",
    "The dynamic loader (glibc 2.41 and later) itself refused a library that wants an executable stack.",
    {"dlopen": (Errno.EINVAL,)},
    (),
    "the loader refused {library}, not the kernel: the library asks for an executable stack",
    (
        developer(
            "Link the library with -z noexecstack (assembler files need .note.GNU-stack), or clear the mark.",
            "patchelf --clear-execstack {quoted_library}",
        ),
        admin(
            "Start the program with an executable stack (glibc 2.42; weakens the program).",
            "GLIBC_TUNABLES=glibc.rtld.execstack=2 PROGRAM",
        ),
    ),
    "glibc elf/dl-load.c, elf/dl-execstack.c",
    example="dlopen_execstack",
)
LOADER = (_EXECSTACK,)
_MOST_EVENTS = 16
"""From mapping the code of a library to giving it up: its other segments, and what other threads do meanwhile."""

_HEADERS = "the ELF program headers of the file"
_PF = ((4, "R"), (2, "W"), (1, "E"))


def stack_words(library: Library) -> str:
    """What readelf -l would show of PT_GNU_STACK."""
    if library.stack_flags is None:
        return "it has no PT_GNU_STACK header, which on x86 asks for an executable stack"
    return "its PT_GNU_STACK is %s" % ("".join(letter for bit, letter in _PF if library.stack_flags & bit) or "empty")


def with_loader(diagnosis: Diagnosis, ctx: CallContext) -> Diagnosis:
    """The same diagnosis with the library that stands behind the call, if there is one."""
    library = ctx.probe.library
    if library is None:
        return diagnosis
    name = library.path.rpartition("/")[2]
    if isinstance(ctx.request, Mprotect) and ctx.request.prot & f.GROWSDOWN:
        return _stack(diagnosis, library, name)
    if library.text_relocations:
        evidence = seen("DT_TEXTREL is set in %s" % library.path, "the dynamic section of the file")
        said = "%s has text relocations, so the loader must write to its code" % name
        fix = developer(
            "Rebuild %s with -fPIC, so that its code need not be patched when it is loaded; readelf -d shows TEXTREL "
            "as long as any object in it is built without." % name
        )
        return _with(diagnosis, said, (evidence,), fix)
    return diagnosis


def _stack(diagnosis: Diagnosis, library: Library, name: str) -> Diagnosis:
    if library.trouble:
        fact = "%s was mapped right before; its headers could not be read: %s" % (library.path, library.trouble)
        return replace(diagnosis, evidence=(*diagnosis.evidence, seen(fact, "the mmap calls")))
    fact = "%s was mapped right before, and %s" % (library.path, stack_words(library))
    evidence = (seen(fact, _HEADERS),)
    if not wants_executable_stack(library):
        return replace(diagnosis, evidence=(*diagnosis.evidence, *evidence))
    said = "the loader wanted it for %s, which asks for an executable stack" % name
    return _with(diagnosis, said, evidence, _fix(library))


def wants_executable_stack(library: Library) -> bool:
    """By its flags, or because it has none: DEFAULT_STACK_PERMS of x86 has PF_X (glibc sysdeps/x86/stackinfo.h)."""
    return not library.trouble and (library.stack_flags is None or bool(library.stack_flags & 1))


def _fix(library: Library) -> Fix:
    name = library.path.rpartition("/")[2]
    if library.stack_flags is None:
        return developer(
            "Relink %s with -z noexecstack, and give its assembler files a .note.GNU-stack section." % name
        )
    quoted = pasteable(library.path)
    return developer(
        "Link %s with -z noexecstack (assembler files need .note.GNU-stack), or clear the mark." % name,
        None if quoted is None else "patchelf --clear-execstack " + quoted,
    )


def _with(diagnosis: Diagnosis, said: str, evidence: Tuple[Evidence, ...], fix: Fix) -> Diagnosis:
    """The library's own fix takes the place of the general ones for developers."""
    others = tuple(other for other in diagnosis.fixes if other.audience != "developer")
    return replace(
        diagnosis,
        summary="%s; %s" % (diagnosis.summary, said),
        evidence=(*diagnosis.evidence, *evidence),
        fixes=(fix, *others),
    )


class GivenUp(Frozen):
    """A library whose mapping one thread has just unmapped again, at event `unmapped`.

    `before`: what was mapped there. `stack`: the main stack as it is. `stack_asked`: the last event at which this
    thread asked for an executable stack and was refused, 0 for none.
    """

    unloading: Unloading
    before: Sequence[Piece]
    unmapped: int
    stack: Sequence[Piece]
    stack_asked: int = 0


def refused_by_loader(given_up: GivenUp) -> Optional[Diagnosis]:
    """glibc 2.41 and later: dlopen gives a library up that wants an executable stack, without any call.

    There is only a pattern of calls: such a library is mapped and, never relocated, unmapped again, while the stack is
    not executable and nobody asked for that.
    """
    unloading = given_up.unloading
    if not wants_executable_stack(unloading.library) or not _gives_up(unloading.loader):
        return None
    code = next((piece for piece in given_up.before if piece.prot & f.PROT_EXEC), None)
    if code is None or code.region.created_by is None or code.region.backing is None:
        return None
    mapped = code.region.created_by
    if given_up.unmapped - mapped > _MOST_EVENTS or given_up.stack_asked > mapped:
        return None
    # What the loader has relocated it makes read-only (PT_GNU_RELRO), or had writable code for a while.
    if any(piece.earlier & f.PROT_WRITE for piece in given_up.before):
        return None
    if any(piece.prot & f.PROT_EXEC for piece in given_up.stack):
        return None
    return _gave_it_up(unloading, mapped, given_up.unmapped)


def _gives_up(loader: str) -> bool:
    """Whether this loader may have refused: glibc from 2.41 on, or one that could not be told."""
    major, _, minor = loader.partition(".")
    if not loader:
        return True
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= (2, 41)


def _gave_it_up(unloading: Unloading, mapped: int, unmapped: int) -> Diagnosis:
    library = unloading.library
    name = library.path.rpartition("/")[2]
    quoted = pasteable(library.path) if library.stack_flags is not None else None
    summary, fixes = _EXECSTACK.in_words(library=name, quoted_library=quoted)
    came_and_went = "its code was mapped at event %d and unmapped at event %d, never relocated" % (mapped, unmapped)
    evidence = [
        seen("%s: %s" % (library.path, stack_words(library)), _HEADERS),
        seen(came_and_went, "the calls"),
        seen("the stack is not executable, and no call between asked for that", "the region map"),
    ]
    if unloading.loader:
        evidence.append(seen("the loader is that of glibc %s" % unloading.loader, "the file of the loader"))
    settles = developer(
        "Print what dlerror() says: “cannot enable executable stack as shared object requires” settles it."
    )
    return Diagnosis(
        _EXECSTACK.id,
        _EXECSTACK.refused_by,
        Confidence.CONSISTENT if unloading.loader else Confidence.POSSIBLE,
        summary,
        tuple(evidence),
        (*fixes, settles),
    )
