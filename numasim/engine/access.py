"""A record's way through its core's TLBs and caches, and the start of what goes beyond.

Loads and stores whose address is known are looked up at once, even if that is a little ahead of their time (a window's
length): right for what the core has to itself. Atomics and locks get an event at their own time.
"""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import EXCLUSIVE, set_of, touch
from numasim.engine.coming import hit_coming, note_coming, when_there
from numasim.engine.dram import charge
from numasim.engine.hints import look_ahead
from numasim.engine.jit import kernel, rare
from numasim.engine.joins import join, second_line
from numasim.engine.lists import push
from numasim.engine.look import look_further
from numasim.engine.ops import own_stack
from numasim.engine.packed import ADDRESS, CLASS, CLASS_MASK, KIND, KIND_MASK, SPLIT
from numasim.engine.prefetch import fetch_l1, see_load, train_streams
from numasim.engine.regions import fills_pages
from numasim.engine.requests import up_or_down
from numasim.engine.slots import (
    AT_CORE_OWN,
    AT_OWN,
    find_inflight,
    leave_core,
    nothing_inflight,
    take_slot,
    wake_at,
    writes,
)
from numasim.engine.stacks import account_private, count
from numasim.engine.state import (
    C_FILL,
    C_L1,
    C_L2,
    C_OS,
    C_SPLIT,
    C_TLB,
    E_L1_MISS,
    E_L2_HIT,
    E_LOAD,
    E_STORE,
    SLOT_SHIFT,
    WIN_SHIFT,
)
from numasim.traces.records import BRANCH, COMPUTE, LOAD, PREFETCH, STORE, UNLOCK


@kernel
def after_tick(m: Any, t: int, now: int) -> int:
    """When the thread runs again, if a timer tick has it at `now`."""
    if m.p.tick_every > 0:
        since = (now - m.front.phase[t]) % m.p.tick_every
        if since < m.p.tick_length:
            return now + m.p.tick_length - since
    return now


@kernel
def hit_l1(
    m: Any, t: int, core: int, x: int, va: int, klass: int, kind: int, at: int, ready: int, start: int, why: int
) -> int:
    """The access hits L1: when its value is there."""
    m.front.hot[t] = 1
    if start == at and kind == LOAD:
        m.out.l1[klass] += 1
    elif kind != PREFETCH:
        count(m.out, klass, E_STORE if kind == STORE else E_LOAD)
        account_private(m.out, m.win, x, klass, ready - at, why, start - ready, 0, C_L1, m.p.l1)
    if m.front.ops[t]:
        own_stack(m.win.stack, x, ready - at, why, start - ready, 0, C_L1, m.p.l1)
    if m.p.follows and kind == LOAD:
        see_load(m, t, core, klass, va, start)
    return start + (m.p.l1 if kind == LOAD else m.p.cycle)


@kernel
def held_up(m: Any, t: int, core: int, x: int, va: int, want: int, klass: int, kind: int, at: int, start: int) -> int:
    """Is the line on its way already, or no buffer free? When the value is there if that is known, -1 if the record has
    to wait, -2 if nothing holds it up."""
    o = m.core
    if nothing_inflight(m, core):
        return -2
    b = find_inflight(m, core, want)
    if b >= 0 and (kind <= STORE or kind == PREFETCH):
        if kind == PREFETCH:
            return start + m.p.cycle
        fetched = m.slot.buffer[b << SLOT_SHIFT] == 0
        end = join(m, t, core, x, b, kind, klass, at, start)
        if fetched and end != -2 and m.p.streamer:  # a prefetched line is wanted: the L2 sees that too
            train_streams(m, t, core, va, want, klass, start + m.p.l2)
        if end != -2:
            if m.p.follows > 1:
                see_joined(m, t, core, va, want, klass, kind, fetched, start)
            return end
    if o.fills[core] <= 0 or o.nfree[core] == 0 or b >= 0:
        o.queue[core] = push(m.win.next, o.queue[core], x)
        return -1
    return -2


@kernel
def until_miss(m: Any, t: int, core: int, x: int, now: int) -> tuple[int, int, int, int, int, bool]:
    """Window entry x has its address; as far as L1, and as far as buffers allow.

    Returns (when its value is there if that is known, -1 if it has to wait, -2 if it has missed L1 and looks further;
    when it was ready; when it starts; why not at once; its kind; whether the L1 DTLB knows its page).
    """
    w = m.win
    word0, at = w.word0[x << WIN_SHIFT], w.at[x << WIN_SHIFT]
    kind, va, klass = word0 >> KIND & KIND_MASK, word0 & ADDRESS, word0 >> CLASS & CLASS_MASK
    if kind == BRANCH or kind == COMPUTE:
        return at + m.p.cycle, at, at, C_FILL, kind, False
    ready = max(at, now)
    start, why, in_tlb = after_tick(m, t, ready), C_FILL, False
    plain = kind <= STORE or kind == PREFETCH
    if word0 >> SPLIT & 1 and plain:
        why = C_SPLIT
        ready = second_line(m, t, core, x, va, klass, start)
        if ready < 0:
            return -1, ready, start, why, kind, False
        start = after_tick(m, t, ready)
    want = tlb.physical(m.pages, va)
    if plain:
        in_tlb = tlb.first_level(m.tlb, core, m.pages.block[va >> 21] & 3, va)
        if in_tlb:
            i = touch(m.l1, set_of(m.l1, core, want), want >> m.l1.bits)
            if i >= 0 and (kind != STORE or m.l1.tag[i] & EXCLUSIVE != 0):
                m.l1.tag[i] |= 1 if kind == STORE else 0
                if kind == LOAD and start < m.core.comes[2 * core + 1]:
                    there = when_there(m.core.coming, core, want)
                    if there > start + m.p.l1:
                        if m.p.follows > 1:
                            see_load(m, t, core, klass, va, start)
                        there = hit_coming(m, t, x, klass, at, ready, start, why, there)
                        return there, ready, start, why, kind, True
                return hit_l1(m, t, core, x, va, klass, kind, at, ready, start, why), ready, start, why, kind, True
    m.front.hot[t] = 0
    end = held_up(m, t, core, x, va, want, klass, kind, at, start)
    if end == -2 and plain and kind != PREFETCH:
        count(m.out, klass, E_STORE if kind == STORE else E_LOAD)
    return end, ready, start, why, kind, in_tlb


@kernel
def go_on(m: Any, a: int, core: int, line: int, start: int, end: int, translated: int, level: int, cause: int) -> None:
    """Slot a has looked in its core's caches from start to end: it has its line there (line < 0), or leaves for it."""
    s, i = m.slot, a << SLOT_SHIFT
    charge(s, a, C_TLB, translated - start)
    s.level[i] = level
    charge(s, a, cause, end - translated)
    if line < 0:
        s.stage[i] = AT_CORE_OWN
        s.line[i] = s.want[i]
        wake_at(m, a, end)
    else:
        leave_core(m, a, core, line, level, end)


@kernel
def slot_for(m: Any, t: int, core: int, x: int, va: int, kind: int, at: int, ready: int, start: int, why: int) -> int:
    """A slot for window entry x, charged what it has waited."""
    klass = m.win.word0[x << WIN_SHIFT] >> CLASS & CLASS_MASK
    posted = kind == STORE or kind == PREFETCH or kind == UNLOCK
    a = take_slot(m, core, t, tlb.physical(m.pages, va), va, klass, kind, at, -1 if posted else x, 1)
    m.slot.demand[a << SLOT_SHIFT] = 0 if kind == PREFETCH else 1
    m.slot.number[a << SLOT_SHIFT] = m.win.number[x << WIN_SHIFT]
    charge(m.slot, a, why, ready - at)
    charge(m.slot, a, C_OS, start - ready)
    return a


@kernel
def hit_l2(
    m: Any, t: int, x: int, klass: int, kind: int, at: int, ready: int, start: int, why: int, translated: int,
    cause: int, end: int,
) -> None:  # fmt: skip
    """The access of window entry x has ended in its core's L2 (or, after a page walk there, in L1)."""
    if cause == C_L2:
        count(m.out, klass, E_L2_HIT)
    if kind != PREFETCH:
        account_private(
            m.out, m.win, x, klass, ready - at, why, start - ready, translated - start, cause, end - translated
        )
    if m.front.ops[t]:
        own_stack(m.win.stack, x, ready - at, why, start - ready, translated - start, cause, end - translated)


@kernel
def execute(m: Any, t: int, x: int, a: int, now: int) -> int:
    """Window entry x has its address; or, a >= 0, slot a goes on in its core's caches (a step of its page walk has
    come, or an atomic's time). When the record's value is there, or -1 while that is open."""
    s, core, group, fresh = m.slot, m.front.core[t], m.front.group[t], a < 0
    ready, start, why, level, known_page = now, now, C_FILL, 0, 0
    if fresh:
        end, ready, start, why, kind, in_tlb = until_miss(m, t, core, x, now)
        if end != -2:
            return end
        word0, at = m.win.word0[x << WIN_SHIFT], m.win.at[x << WIN_SHIFT]
        va, klass = word0 & ADDRESS, word0 >> CLASS & CLASS_MASK
        known_page = 1 if in_tlb else -1
        if kind > STORE and kind != PREFETCH:  # an atomic looks at its line at its own time
            a = slot_for(m, t, core, x, va, kind, at, ready, start, why)
            s.stage[a << SLOT_SHIFT] = AT_OWN
            wake_at(m, a, start)
            return start + m.p.cycle if kind == UNLOCK else -1
    else:
        i = a << SLOT_SHIFT
        va, kind, level, klass, at = s.va[i], s.kind[i], s.level[i], s.klass[i], now
        if s.stage[i] == AT_OWN and level == 0:
            known_page = 0 if tlb.first_level(m.tlb, core, m.pages.block[va >> 21] & 3, va) else -1
            if s.probe[i] == 0 and s.again[i] == 0:
                count(m.out, klass, E_STORE)
    want = tlb.physical(m.pages, va)
    line, end, translated, level, cause = look_further(
        m, core, group, va, klass, want, level, start, writes(kind), known_page
    )
    own = level == 0 and (fresh or s.probe[a << SLOT_SHIFT] == 0)  # else a step of a page walk, or another line of it
    if own and kind == LOAD and (line >= 0 or cause == C_L2):
        count(m.out, klass, E_L1_MISS)
    if own and not fresh and kind <= STORE and line < 0 and cause == C_L2:
        count(m.out, klass, E_L2_HIT)
    if fresh and line < 0:
        if cause == C_L2:
            note_coming(m.core, core, want, end)
        hit_l2(m, t, x, klass, kind, at, ready, start, why, translated, cause, end)
    else:
        if fresh:
            a = slot_for(m, t, core, x, va, kind, at, ready, start, why)
        go_on(m, a, core, line, start, end, translated, level, cause)
        if not fresh:
            return -1
        look_ahead(m, t, core, m.win.number[x << WIN_SHIFT])
    if level == 0:
        after_miss(m, t, core, va, want, klass, kind, end)
    if kind != LOAD:
        return start + m.p.cycle  # posted
    return end if line < 0 else -1


@kernel
def after_miss(m: Any, t: int, core: int, va: int, want: int, klass: int, kind: int, now: int) -> None:
    """The prefetchers see an access that missed L1."""
    if m.p.streamer:
        train_streams(m, t, core, va, want, klass, now)
    if m.p.follows and kind == LOAD:
        see_load(m, t, core, klass, va, now)
    if m.p.up_down and fills_pages(m.core.regions, core, klass):
        up_or_down(m, t, core, klass, va, want, now)
    if m.p.next_line:
        fetch_l1(m, t, core, klass, va + 64, now)


@rare
def see_joined(m: Any, t: int, core: int, va: int, want: int, klass: int, kind: int, fetched: bool, now: int) -> None:
    """The prefetchers see an access to a line that is on its way. fetched: with an L2 prefetch."""
    if kind == LOAD:
        see_load(m, t, core, klass, va, now)
    if fetched and m.p.up_down and fills_pages(m.core.regions, core, klass):
        up_or_down(m, t, core, klass, va, want, now + m.p.l2)
