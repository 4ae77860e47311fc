"""Fault signals as events: what memory they hit, and which refused call stands behind them."""

from __future__ import annotations

from typing import Any, Dict

from wxtrace.model.aftermath import refused_behind, refused_just_before
from wxtrace.model.causes.fault.place import place_of_fault
from wxtrace.model.causes.fault.signals import Fault, explain, signal_name
from wxtrace.model.enumerations import Outcome
from wxtrace.model.event import Event, Touched
from wxtrace.model.facts import SignalStop
from wxtrace.model.processes import Pending, TaskState
from wxtrace.model.trace_state import TraceState

__all__ = ["fault_event", "signal_name"]


def fault_event(trace: TraceState, task: TaskState, stop: SignalStop) -> Event:
    """The event of one fault; the refused call behind it and the fault name each other."""
    if stop is task.process.last_fault:
        task.process.last_fault = None
    refused = refused_behind(task.process.pending, stop.addr)
    asked_there = refused is not None
    if refused is None:
        refused = refused_just_before(task.process.pending, stop.tid)
    space = task.state.space
    piece = space.at(stop.addr) if stop.addr is not None else None
    if piece is None and stop.addr is not None and stop.line is not None:
        # No call tells when a stack grew.
        space.absorb_growth([stop.line])
        piece = space.at(stop.addr)
    related = refused.event.n if refused is not None else None
    details: Dict[str, Any] = {
        "signal": signal_name(stop.signo),
        "si_code": stop.code,
        "si_addr": None if stop.addr is None else hex(stop.addr),
        "ip": hex(stop.ip),
    }
    touched = []
    if piece is not None and stop.addr is not None:
        page = stop.addr & ~(trace.page_size - 1)
        region, perms = piece.region, piece.perms
        touched = [
            Touched(region.id, page, page + trace.page_size, perms, None, perms, region.provenance, piece.sealed_by)
        ]
    faked = refused is not None and refused.event.outcome == Outcome.FAKED
    place = place_of_fault(stop, space, piece)
    diagnosis = explain(Fault(stop, task.process.pid, piece, place, related, asked_there, faked))
    event = trace.event(task, stop.t_ns, "fault", Outcome.FAILED, details=details, touched=touched, diagnosis=diagnosis)
    pending = Pending(event, task.process)
    task.process.pending[event.n] = pending
    if refused is not None:
        refused.faulted = True
        refused.related.append(event.n)
        pending.related.append(refused.event.n)
    return event
