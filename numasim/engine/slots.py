"""Slots: what is on its way for a core, and the stages it passes."""

from typing import Any

from numasim.engine import tlb
from numasim.engine.directory import is_shared
from numasim.engine.dram import charge
from numasim.engine.jit import kernel, rare
from numasim.engine.state import C_FABRIC, FEW, SLOT_SHIFT
from numasim.traces.records import LOAD, PREFETCH

(AT_OWN, AT_L3, AT_DIRECTORY, AT_TRACKER, AT_LINK, AT_MEMORY, AT_BUS, AT_GIVER, AT_HOME, AT_CORE, AT_CORE_OWN,
 AT_DONE) = range(12)  # fmt: skip
# up to AT_L3 a slot has not asked the directory; from AT_CORE on it acts in its core


@kernel
def wake_at(m: Any, actor: int, when: int) -> None:
    """The scheduler gives the actor an event at `when`."""
    m.woken[0] += 1
    m.woken[m.woken[0]] = actor
    m.when[m.woken[0]] = when


@kernel
def writes(kind: int) -> int:
    """Does the kind need the line exclusively?"""
    return 1 if kind != LOAD and kind != PREFETCH else 0


@kernel
def find_inflight(m: Any, core: int, line: int) -> int:
    """The slot that brings the line to this core, -1. (All are compared: a loop of fixed length is vectorised.)"""
    o, found = m.core, -1
    first = core << o.slot_bits
    for k in range(FEW):
        if o.inflight[first + k] == line:
            found = first + k
    return max(found, find_further(o.inflight, first + FEW, first + o.slots, line)) if o.slots > FEW else found


@rare
def find_further(inflight: Any, first: int, end: int, line: int) -> int:
    """The same among a core's slots beyond the first few."""
    found = -1
    for a in range(first, end):
        if inflight[a] == line:
            found = a
    return found


@kernel
def nothing_inflight(m: Any, core: int) -> bool:
    """Are all slots of the core free?"""
    return m.core.nfree[core] == m.core.slots


@kernel
def take_slot(
    m: Any, core: int, t: int, want: int, va: int, klass: int, kind: int, t0: int, rec: int, buffer: int
) -> int:
    """A free slot for a line, its stack empty. The caller has checked that a buffer of that kind is free."""
    o = m.core
    if buffer:
        o.fills[core] -= 1
    else:
        o.prefetches[core] -= 1
    o.nfree[core] -= 1
    a = core << o.slot_bits | o.free[(core << o.slot_bits) + o.nfree[core]]
    s, i = m.slot, a << SLOT_SHIFT
    o.inflight[a] = want
    s.want[i] = want
    s.va[i] = va
    s.klass[i] = klass
    s.kind[i] = kind
    s.t0[i] = t0
    s.rec[i] = rec
    s.join[i] = -1
    s.thread[i] = t
    s.buffer[i] = buffer
    s.probe[i] = 0
    s.again[i] = 0
    s.inner[i] = 0
    s.moved[i] = 0
    s.demand[i] = buffer
    s.level[i] = 0
    s.shared[i] = 0
    m.front.flight[t] += 1
    return a


@kernel
def leave_core(m: Any, a: int, core: int, line: int, level: int, when: int) -> None:
    """The request leaves for the L3 at `when`."""
    s, i = m.slot, a << SLOT_SHIFT
    s.line[i] = line
    s.level[i] = level
    s.stage[i] = AT_L3
    charge(s, a, C_FABRIC, m.p.mesh)
    if m.p.coherent:
        s.page[i] = tlb.page_index(m.pages, s.va[i])
        if is_shared(m.dir, s, m.core, AT_L3, AT_CORE_OWN, core, s.page[i]) and level == 0:
            s.shared[i] = 1
    wake_at(m, a, when + m.p.mesh)
