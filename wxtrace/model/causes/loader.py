"""The dynamic loader's part in a refusal: which library wanted an executable stack, or has text relocations.

glibc up to 2.40 makes the stack executable right after it has mapped the library that wants it
(elf/dl-load.c:_dl_map_object_from_fd); a library with DT_TEXTREL has its code made writable to be relocated.
"""

from __future__ import annotations

from typing import Tuple

from wxtrace.frozen import replace
from wxtrace.model import flags as f
from wxtrace.model.causes.base import CONSISTENT, POSSIBLE, Refusal, developer, in_words, pasteable, seen
from wxtrace.model.event import Diagnosis, Evidence, Fix
from wxtrace.model.facts import Unloading
from wxtrace.model.objects import Library

__all__ = ["refused_by_loader", "stack_words", "with_loader"]

_HEADERS = "the ELF program headers of the file"
_PF = ((4, "R"), (2, "W"), (1, "E"))


def stack_words(library: Library) -> str:
    """What readelf -l would show of PT_GNU_STACK."""
    if library.stack_flags is None:
        return "it has no PT_GNU_STACK header, which on x86 asks for an executable stack"
    return "its PT_GNU_STACK is %s" % ("".join(letter for bit, letter in _PF if library.stack_flags & bit) or "empty")


def with_loader(diagnosis: Diagnosis, refusal: Refusal) -> Diagnosis:
    """The same diagnosis with the library that stands behind the call, if there is one."""
    library = refusal.probe.library
    if library is None:
        return diagnosis
    name = library.path.rpartition("/")[2]
    if (refusal.old.prot or 0) & f.GROWSDOWN:
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


def refused_by_loader(unloading: Unloading, mapped: int, unmapped: int) -> Diagnosis:
    """glibc 2.41 and later: dlopen gives such a library up without any call. `mapped`, `unmapped`: the events."""
    from wxtrace.model.causes.catalogue import CAUSES

    library = unloading.library
    name = library.path.rpartition("/")[2]
    quoted = pasteable(library.path) if library.stack_flags is not None else None
    summary, fixes = in_words("loader.execstack", library=name, quoted_library=quoted)
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
        "loader.execstack",
        CAUSES["loader.execstack"].refused_by,
        CONSISTENT if unloading.loader else POSSIBLE,
        summary,
        tuple(evidence),
        (*fixes, settles),
    )
