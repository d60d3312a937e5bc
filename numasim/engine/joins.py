"""Accesses that need a second line: one that is on its way already, or the other half of one split over two."""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import set_of, touch
from numasim.engine.jit import kernel, rare
from numasim.engine.lists import push
from numasim.engine.slots import AT_BUS, AT_OWN, find_inflight, take_slot, wake_at
from numasim.engine.stacks import account_private, count, note_join
from numasim.engine.state import (
    C_FABRIC,
    C_FILL,
    C_L1,
    C_MEM_WAIT,
    E_JOIN,
    E_SPLIT,
    E_STORE,
    SLOT_SHIFT,
    WIN_SHIFT,
)
from numasim.traces.records import LOAD, PREFETCH, STORE


@rare
def join(m: Any, t: int, core: int, x: int, b: int, kind: int, klass: int, at: int, start: int) -> int:
    """The line is on its way with slot b. When the record's value is there (posted stores: at once), -1 while open,
    -2 if the record must wait for a fill buffer first."""
    s, i = m.slot, b << SLOT_SHIFT
    if s.buffer[i] == 0:  # a prefetch: the load takes it over with a fill buffer
        if m.core.fills[core] <= 0:
            return -2
        m.core.fills[core] -= 1
        m.core.prefetches[core] += 1
        s.buffer[i] = 1
    count(m.out, klass, E_JOIN)
    if kind == STORE and s.shared[i] == 0 and s.level[i] == 0 and s.kind[i] <= PREFETCH:
        s.kind[i] = STORE
        count(m.out, klass, E_STORE)
        account_private(m.out, m.win, x, klass, 0, C_FILL, 0, 0, C_L1, m.p.l1)
        return start + m.p.cycle
    waiting = C_MEM_WAIT if s.stage[i] == AT_BUS else C_FABRIC
    note_join(m.win.stack, x, s.stack, b, s.t0[i], at, waiting)
    s.join[i] = push(m.win.next, s.join[i], x)
    if kind == STORE:
        m.win.note[x << WIN_SHIFT] |= 4  # looks again when the line is there
    return -1


@kernel
def split_penalty(m: Any, t: int, core: int, x: int, va: int, klass: int, start: int) -> int:
    """The second line of a split access: when the access can go on, -1 while that line is fetched, -2 if no fill
    buffer is free."""
    second = (va | 63) + 1
    line = tlb.physical(m.pages, second)
    if touch(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) >= 0:
        return start + m.p.split
    if m.core.fills[core] <= 0 or m.core.nfree[core] == 0:
        return -2
    if find_inflight(m, core, line) >= 0:
        return start + m.p.split
    a = take_slot(m, core, t, line, second, klass, LOAD, start, x, 1)
    m.slot.probe[a << SLOT_SHIFT] = 1
    m.slot.stage[a << SLOT_SHIFT] = AT_OWN
    wake_at(m, a, start)
    return -1


@rare
def second_line(m: Any, t: int, core: int, x: int, va: int, klass: int, start: int) -> int:
    """A split access: when its own line's turn comes, -1 if the other one has to come first (and it waits for that)."""
    w = m.win
    if w.note[x << WIN_SHIFT] & 2:
        return start
    ready = split_penalty(m, t, core, x, va, klass, start)
    if ready == -2:
        m.core.queue[core] = push(w.next, m.core.queue[core], x)
        return -1
    count(m.out, klass, E_SPLIT)
    w.note[x << WIN_SHIFT] |= 2
    return ready
