"""What SELinux refused: the permissions that the kernel asked for, held against the policy's own answer.

With that answer (selinuxfs, asked at the refusal) no audit log is needed. Without it, what fits is said, and what
would settle it.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from wxtrace.model import flags as f
from wxtrace.model.causes.answer import LETS_THROUGH, Answer, may_refuse, refuses, rule, vma_rule
from wxtrace.model.causes.context import CallContext, Part
from wxtrace.model.causes.entry import Need
from wxtrace.model.causes.evidence import seen
from wxtrace.model.causes.selinux.checks import (
    INSIDE,
    LOW,
    Check,
    HeapPredicate,
    Memory,
    checks_at_mmap,
    checks_at_mprotect,
    class_of,
    heap_predicate,
    memory_of,
)
from wxtrace.model.causes.selinux.entries import (
    EXECHEAP,
    EXECMEM,
    EXECMOD,
    EXECSTACK,
    FILE_EXECUTE,
    MMAP_ZERO,
    OTHER,
)
from wxtrace.model.causes.selinux.policy import active, decide
from wxtrace.model.causes.selinux.telling import evidence_of, words_of
from wxtrace.model.event import Evidence
from wxtrace.model.restrictions import DESCRIPTOR
from wxtrace.model.syscalls.mmap import Mmap
from wxtrace.model.syscalls.mprotect import Mprotect
from wxtrace.model.syscalls.mremap import Mremap
from wxtrace.model.syscalls.remap_file_pages import RemapFilePages
from wxtrace.model.syscalls.shm import Shmat

__all__ = ["selinux_at_address", "selinux_at_mmap", "selinux_at_mprotect", "selinux_at_segment"]

_CAUSES = {
    "execmem": EXECMEM,
    "execheap": EXECHEAP,
    "execstack": EXECSTACK,
    "execmod": EXECMOD,
    "execute": FILE_EXECUTE,
    "mmap_zero": MMAP_ZERO,
}
_WITHOUT_CHECKREQPROT = (6, 4)


@rule(OTHER)
def selinux_at_segment(ctx: CallContext) -> Answer:
    """selinux_shm_shmat: nothing tells the label of a segment, so the policy cannot be asked about it."""
    if not isinstance(ctx.request, Shmat):
        return LETS_THROUGH
    write = [] if ctx.request.shmflg & f.SHM_RDONLY else [Check("shm", "write")]
    return _answer(ctx, [Check("shm", "read"), *write], "")


@rule(EXECMEM, FILE_EXECUTE, OTHER)
def selinux_at_mmap(ctx: CallContext) -> Answer:
    """selinux_mmap_file: the first thing that is asked once the descriptor is known."""
    request, state = ctx.request, ctx.probe.selinux
    if isinstance(request, Mmap):
        # Anonymous huge pages are a file of hugetlbfs.
        has_file = not request.flags & f.MAP_ANONYMOUS or bool(request.flags & f.MAP_HUGETLB)
        tclass = class_of(ctx.probe.descriptor.link if ctx.probe.descriptor is not None else "")
        if state is not None:
            tclass = next((answer.tclass for answer in state.answers if answer.about == DESCRIPTOR), tclass)
        checks = checks_at_mmap(_checked(ctx, ctx.wants, request.prot), request.flags, has_file, tclass)
        return _answer(ctx, checks, DESCRIPTOR if has_file else "")
    if isinstance(request, Shmat):
        return _answer(ctx, checks_at_mmap(ctx.wants, f.MAP_SHARED, False), "")
    part = next(iter(ctx.parts()), None)
    if not isinstance(request, RemapFilePages) or part is None or (0, 0) < ctx.kernel < (6, 12):
        return LETS_THROUGH
    memory = memory_of(part)
    asked = checks_at_mmap(ctx.wants, f.MAP_SHARED, not memory.kernel_private, memory.tclass)
    return _answer(ctx, asked, "%#x" % memory.start if memory.has_file else "")


@vma_rule(EXECHEAP, EXECSTACK, EXECMOD, EXECMEM, FILE_EXECUTE, OTHER)
def selinux_at_mprotect(ctx: CallContext, part: Part) -> Answer:
    """selinux_file_mprotect."""
    probe, memory, request = ctx.probe, memory_of(part), ctx.request
    assert isinstance(request, Mprotect)
    about = "%#x" % memory.start if memory.has_file else ""
    if probe.selinux is not None:
        tclass = next((answer.tclass for answer in probe.selinux.answers if answer.about == about and about), None)
        memory = memory._replace(tclass=tclass or memory.tclass)
    heap = heap_predicate(ctx.host.kernel)
    wants = _checked(ctx, ctx.wants_of(part), request.prot)
    checks = checks_at_mprotect(memory, wants, probe.start_brk, probe.brk, probe.start_stack, probe.sp, heap)
    lines, touching = _heap_evidence(memory, probe.start_brk, probe.brk, heap)
    more = (*lines, *_stack_evidence(memory, checks, ctx), *_written_evidence(part, checks))
    return _answer(ctx, checks, about, more, touching)


@rule(MMAP_ZERO)
def selinux_at_address(ctx: CallContext) -> Answer:
    """selinux_mmap_addr: asked behind the capability that answers EPERM (security/commoncap.c:cap_mmap_addr)."""
    request = ctx.request
    where = request.new_address if isinstance(request, Mremap) else request.start
    if isinstance(request, Mmap):
        fixed = request.flags & (f.MAP_FIXED | f.MAP_FIXED_NOREPLACE)
    elif isinstance(request, Mremap):
        fixed = request.flags & f.MREMAP_FIXED
    else:
        fixed = where
    if not fixed or where >= LOW:
        return LETS_THROUGH
    address = seen("the address %#x is below %#x" % (where, LOW), "the arguments of the call")
    return _answer(ctx, [Check("memprotect", "mmap_zero")], "", (address,))


def _checked(ctx: CallContext, wants: int, asked: int) -> int:
    """With checkreqprot (up to Linux 6.3) what READ_IMPLIES_EXEC adds is not checked."""
    state = ctx.probe.selinux
    only_asked = state is not None and state.as_requested and ctx.kernel < _WITHOUT_CHECKREQPROT
    return asked & 7 if only_asked else wants


def _answer(
    ctx: CallContext, checks: List[Check], about: str, more: Tuple[Evidence, ...] = (), touching: bool = False
) -> Answer:
    decision = None if active(ctx) is False else decide(ctx, checks, about)
    if decision is None:
        return LETS_THROUGH
    check = decision.check
    cause = _CAUSES.get(check.permission, OTHER)
    words = words_of(ctx, decision, checks, about)
    case = "boolean" if words["switch"] is not None else ""
    if touching and cause is EXECHEAP:
        case = "touching" if decision.answered else "touching-unsettled"
    elif not decision.answered:
        case = "unsettled"
    evidence = evidence_of(ctx, checks, about)
    if decision.by_exclusion:
        text = "all else that is asked here is granted, so it can only have been %s" % check.permission
        lines = (*evidence, *more, seen(text, "/sys/fs/selinux/access"))
        return may_refuse(ctx, cause, *lines, case=case, by_exclusion=True, **words)
    if decision.answered:
        return refuses(ctx, cause, *evidence, *more, case=case, at_most=decision.confidence, **words)
    at_most = decision.confidence
    return may_refuse(ctx, cause, *evidence, *more, without=(Need.POLICY,), case=case, at_most=at_most, **words)


def _stack_evidence(memory: Memory, checks: List[Check], ctx: CallContext) -> Tuple[Evidence, ...]:
    if not any(check.permission == "execstack" for check in checks):
        return ()
    if memory.start <= ctx.probe.start_stack <= memory.end:
        text, source = "it is the main stack (it holds %#x)" % ctx.probe.start_stack, "startstack in /proc/PID/stat"
    else:
        text, source = "the calling thread stands on it (its stack pointer is %#x)" % ctx.probe.sp, "the registers"
    return (seen(text, source),)


def _written_evidence(part: Part, checks: List[Check]) -> Tuple[Evidence, ...]:
    """execmod is asked for a file mapping with an anon_vma: the first private page makes it, nothing takes it away."""
    if not any(check.permission == "execmod" for check in checks):
        return ()
    vma = part.vma
    if vma.anonymous or vma.swap:
        text = "the mapping of the file holds private pages: it was written to"
    else:
        text = "the mapping could be written to; whether it ever was, no file of /proc tells for sure"
    lines = [seen(text, "Anonymous and VmFlags in /proc/PID/smaps")]
    if vma.line.path.startswith("/dev/zero"):
        lines.append(seen("a private mapping of /dev/zero counts as a file", "security/selinux/hooks.c"))
    return tuple(lines)


def _heap_evidence(
    memory: Memory, start_brk: int, brk: Optional[int], heap: HeapPredicate
) -> Tuple[Tuple[Evidence, ...], bool]:
    """What to say of memory at the heap, and whether it only touches it."""
    if not start_brk:
        return (), False
    if brk is None:
        text = "where the heap ends is not known: wxtrace came later"
        return ((seen(text, "start_brk in /proc/PID/stat"),) if memory.named_heap else ()), False
    source = "start_brk in /proc/PID/stat and the last brk call"
    inside = INSIDE.holds(memory.start, memory.end, start_brk, brk)
    if heap.holds(memory.start, memory.end, start_brk, brk) and not inside:
        text = "the memory touches the heap (%#x-%#x), but is not the heap: kernels 6.6 to 6.10 took it for heap"
        return (seen(text % (start_brk, brk), source),), True
    if not inside and HeapPredicate("overlaps").holds(memory.start, memory.end, start_brk, brk):
        text = "the mapping overlaps the heap (%#x-%#x) and reaches beyond it, so it does not count as heap"
        return (seen(text % (start_brk, brk), source),), False
    return (), False
