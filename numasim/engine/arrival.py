"""A line is back in its core: caches filled, page walks continued, locks taken, those who waited for it told."""

from typing import Any

from numasim.engine import directory, nested
from numasim.engine.cache import DIRTY, EXCLUSIVE, remove, set_of
from numasim.engine.dram import charge
from numasim.engine.fills import VICTIM, bring, put_l2, put_l3
from numasim.engine.jit import kernel, rare
from numasim.engine.lists import pop, push
from numasim.engine.locks import free_lock, take_lock
from numasim.engine.packed import CLASS, CLASS_MASK
from numasim.engine.slots import (
    AT_CORE,
    AT_DONE,
    AT_OWN,
    wake_at,
    writes,
)
from numasim.engine.stacks import account, account_joined, account_private, count, joined_stack
from numasim.engine.state import (
    C_COH,
    C_FILL,
    C_L1,
    C_LOCK,
    COUNT,
    DRAIN,
    E_LOAD,
    NOBODY,
    SLOT_SHIFT,
    WIN_SHIFT,
)
from numasim.traces.records import LOCK, UNLOCK


@kernel
def arrive(m: Any, a: int, now: int) -> bool:
    """The line reaches the core. Does a page walk go on? (False: the access has its data.)"""
    s, i = m.slot, a << SLOT_SHIFT
    core, level, line = a >> m.core.slot_bits, s.level[i], s.line[i]
    group = m.front.group[s.thread[i]]
    if s.stage[i] == AT_CORE:
        flags = 0 if s.shared[i] == directory.GRANTED else EXCLUSIVE
        if level == 0 and s.shared[i] != directory.PRIVATE:
            remove(m.l1, set_of(m.l1, core, line), line >> m.l1.bits)  # an upgrade: it may be here
            flags |= s.moved[i] & DIRTY
        if level == 0:
            flags |= writes(s.kind[i])
        if m.p.inclusion != VICTIM and s.source[i] >= 0:
            put_l3(m, core, group, line, 0, now)
        if s.buffer[i] > 0 or s.inner[i] > 0:
            bring(m, core, group, line, flags, now)
            flags &= EXCLUSIVE
        put_l2(m, core, group, line, flags, now)
    if level == 0:
        return False
    s.level[i] = nested.go_on(m, core, m.pages.block[s.va[i] >> 21] & 3, s.va[i], level)
    return True


@kernel
def let_next(m: Any, a: int, now: int) -> None:
    """Slot a's line has arrived: the next request for it is looked at."""
    s, i = m.slot, a << SLOT_SHIFT
    if s.shared[i] > directory.ASK and s.level[i] == 0:
        s.shared[i] = directory.ASK
        b = directory.release(m.dir, s.next, s.line[i])
        if b >= 0:
            charge(s, b, C_COH, now - s.arrived[b << SLOT_SHIFT])
            wake_at(m, b, now)


@kernel
def value_ready(m: Any, x: int, now: int) -> None:
    """Window entry x has its value."""
    t = x >> 8
    m.win.comp[x << WIN_SHIFT] = now
    m.front.open[t] -= 1
    m.front.latest[t] = max(m.front.latest[t], now)
    core = m.front.core[t]
    m.core.ready[core] = push(m.win.next, m.core.ready[core], x)


@rare
def complete_joined(m: Any, a: int, now: int) -> None:
    """The loads that joined slot a's fill are done; posted stores among them look again."""
    s, i, w = m.slot, a << SLOT_SHIFT, m.win
    while s.join[i] >= 0:
        x, s.join[i] = pop(w.next, s.join[i])
        word0 = w.word0[x << WIN_SHIFT]
        klass = word0 >> CLASS & CLASS_MASK
        at = w.at[x << WIN_SHIFT]
        if w.note[x << WIN_SHIFT] & 4:
            w.note[x << WIN_SHIFT] &= ~4
            core = a >> m.core.slot_bits
            m.core.ready[core] = push(w.next, m.core.ready[core], x)
            continue
        end = max(now, at + m.p.l1)
        count(m.out, klass, E_LOAD)
        if end > now:  # joined at the very end: an L1 hit
            account_private(m.out, w, x, klass, 0, C_FILL, 0, 0, C_L1, m.p.l1)
            for k in range(COUNT):
                w.stack[(x << 4) + k] = 0
            w.stack[(x << 4) + C_L1] = m.p.l1
        else:
            joined_stack(w.stack, x, s.stack, a)
            account_joined(m.out, w, x, klass, end - at)
        value_ready(m, x, end)


@rare
def locked(m: Any, a: int, now: int) -> int:
    """An atomic has its line: when it is done, -1 if it is now, -2 if it waits for a lock."""
    s, i = m.slot, a << SLOT_SHIFT
    if s.stage[i] != AT_DONE:
        s.stage[i] = AT_DONE
        charge(s, a, C_L1, m.p.atomic)
        return now + m.p.atomic
    if s.kind[i] == LOCK and not take_lock(m.sync, s.next, a, s.thread[i], s.va[i]):
        s.arrived[i] = now
        let_next(m, a, now)
        complete_joined(m, a, now)
        m.core.fills[a >> m.core.slot_bits] += 1
        m.core.inflight[a] = -2  # the line may go where it is wanted meanwhile, also to this core's other threads
        return -2
    if s.kind[i] == UNLOCK:
        b = free_lock(m.sync, s.next, s.thread, s.va[i])
        if b >= 0:  # it takes the line again, then the lock
            charge(s, b, C_LOCK, now - s.arrived[b << SLOT_SHIFT])
            s.stage[b << SLOT_SHIFT] = AT_OWN
            s.again[b << SLOT_SHIFT] = 1
            s.shared[b << SLOT_SHIFT] = directory.PRIVATE
            m.core.inflight[b] = s.want[b << SLOT_SHIFT]
            m.core.fills[b >> m.core.slot_bits] -= 1  # perhaps one too many for a while
            wake_at(m, b, now)
    return -1


@kernel
def complete(m: Any, a: int, now: int) -> None:
    """Slot a's access and those that joined it are done; its buffer goes to the next in line."""
    s, i, w, o = m.slot, a << SLOT_SHIFT, m.win, m.core
    core, t, x = a >> m.core.slot_bits, s.thread[i], s.rec[i]
    let_next(m, a, now)
    if s.join[i] >= 0:
        complete_joined(m, a, now)
    if s.probe[i]:
        o.ready[core] = push(w.next, o.ready[core], x)
    elif x >= 0:
        if m.front.ops[t]:
            for k in range(16):
                w.stack[(x << 4) + k] = s.stack[(a << SLOT_SHIFT) + k]
        value_ready(m, x, now)
    if s.demand[i] and s.probe[i] == 0:
        account(m.out, s, a, now)
    else:
        for k in range(16):
            s.stack[(a << SLOT_SHIFT) + k] = 0
    o.inflight[a] = -1
    o.free[(core << o.slot_bits) + o.nfree[core]] = a & (1 << o.slot_bits) - 1
    o.nfree[core] += 1
    o.fills[core] += s.buffer[i]
    o.prefetches[core] += 1 - s.buffer[i]
    m.front.flight[t] -= 1
    m.front.latest[t] = max(m.front.latest[t], now)
    if m.front.wait[t] == DRAIN and m.front.open[t] == 0 and m.front.flight[t] == 0:
        m.front.wait[t] = NOBODY
        wake_at(m, m.fronts + t, m.front.latest[t])
