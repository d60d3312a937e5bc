"""A miss beyond its core, stage by stage: L3, directory, links, memory, and back; and what happens when it is home."""

from typing import Any

from numasim.engine import directory, dram, links, tlb
from numasim.engine.cache import DIRTY, EXCLUSIVE, remove, set_of, sliced_set_of, touch
from numasim.engine.dram import charge
from numasim.engine.fills import VICTIM, bring, put_l2, put_l3
from numasim.engine.jit import kernel, rare
from numasim.engine.lists import pop, push
from numasim.engine.packed import CLASS, CLASS_MASK
from numasim.engine.slots import (
    AT_BUS,
    AT_CORE,
    AT_CORE_OWN,
    AT_DIRECTORY,
    AT_DONE,
    AT_GIVER,
    AT_L3,
    AT_LINK,
    AT_MEMORY,
    AT_OWN,
    wake_at,
    writes,
)
from numasim.engine.stacks import account, account_joined, account_private, count, joined_stack
from numasim.engine.state import (
    C_COH,
    C_FABRIC,
    C_FILL,
    C_L1,
    C_L3,
    C_LINK,
    C_LINK_WAIT,
    C_LOCK,
    COUNT,
    DRAIN,
    E_HIT,
    E_HITM,
    E_INVALIDATED,
    E_L3,
    E_L3_MISS,
    E_LOCAL,
    E_LOAD,
    E_REMOTE,
    EVENT_WORDS,
    K_COUNTING,
    NOBODY,
    SLOT_BITS,
    SLOT_SHIFT,
    WIN_SHIFT,
)
from numasim.traces.records import ATOMIC, LOCK, PREFETCH, UNLOCK


@kernel
def to_memory(m: Any, a: int, now: int) -> int:
    """The request leaves its domain's L3 for the line's node."""
    s, i = m.slot, a << SLOT_SHIFT
    node = s.line[i] >> m.pages.node_shift
    here = m.core.vertex[a >> SLOT_BITS]
    count(m.out, s.klass[i], E_LOCAL if m.core.node[a >> SLOT_BITS] == node else E_REMOTE)
    count(m.out, s.klass[i], E_L3_MISS)
    if m.control[K_COUNTING]:
        m.dram.traffic[(m.front.group[s.thread[i]] * m.dram.nodes + node) * 2] += 1
    charge(s, a, C_FABRIC, m.p.controller)
    s.to[i] = m.dram.vertex[node]
    if here == s.to[i]:
        s.stage[i] = AT_MEMORY
        return now + m.p.controller
    s.vertex[i] = here
    s.stage[i] = AT_LINK
    s.then[i] = AT_MEMORY
    s.data[i] = 0
    return now


@kernel
def look_up_l3(m: Any, a: int, now: int) -> int:
    """The domain's own L3 (its look-up time has been paid): when the slot acts next."""
    s, i = m.slot, a << SLOT_SHIFT
    core, line = a >> SLOT_BITS, s.line[i]
    count(m.out, s.klass[i], E_L3)
    if touch(m.l3, sliced_set_of(m.l3, m.core.domain[core], line), line >> m.l3.bits) >= 0:
        charge(s, a, C_FABRIC, m.p.mesh)
        s.source[i] = -1
        s.stage[i] = AT_CORE
        return now + m.p.mesh
    return to_memory(m, a, now)


@kernel
def at_directory(m: Any, a: int, now: int) -> int:
    """A line of a shared page: who gives it? When the slot acts next, -1 if the line is on its way to another core."""
    s, i, p = m.slot, a << SLOT_SHIFT, m.p
    core, line = a >> SLOT_BITS, s.line[i]
    if directory.is_busy(m.dir, line):
        s.arrived[i] = now
        directory.wait(m.dir, s.next, line, a)
        return -1
    directory.hold(m.dir, line, a)
    giver, domain, exclusive, killed, dirty = directory.ask(
        m.dir, m.l1, m.l2, m.l3, m.core.domain, core, line, s.page[i], writes(s.kind[i])
    )
    s.shared[i] = directory.EXCLUSIVELY if exclusive else directory.GRANTED
    s.moved[i] = dirty
    if killed:
        m.out.events[s.klass[i] * EVENT_WORDS + E_INVALIDATED] += killed
    if giver == directory.MEMORY:
        return look_up_l3(m, a, now)
    count(m.out, s.klass[i], E_HITM if dirty else E_HIT)
    snoop = (p.snoop if giver != directory.CACHE else 0) + (p.dirty if giver == directory.CORE_DIRTY else 0)
    charge(s, a, C_COH, snoop)
    s.source[i] = -1
    if domain == m.core.domain[core]:
        charge(s, a, C_FABRIC, p.mesh)
        s.stage[i] = AT_CORE
        return now + snoop + p.mesh
    s.vertex[i] = m.core.vertex[core]
    s.to[i] = m.links.domain_vertex[domain]
    s.stage[i] = AT_LINK
    s.then[i] = AT_GIVER
    s.data[i] = 0
    s.bank[i] = snoop
    return now


@kernel
def over_link(m: Any, a: int, now: int) -> int:
    """One hop. On arrival at the last vertex the slot's stage becomes `then`."""
    s, i, net = m.slot, a << SLOT_SHIFT, m.links
    edge = net.hop[s.vertex[i] * net.vertices + s.to[i]]
    start, sent = links.send(net, m.control, edge, s.line[i], s.data[i], now)
    arrives = sent + net.latency[edge]
    charge(s, a, C_LINK_WAIT, start - now)
    charge(s, a, C_LINK, arrives - start)
    s.vertex[i] = net.target[edge]
    if s.vertex[i] != s.to[i]:
        return arrives
    s.stage[i] = s.then[i]
    if s.then[i] == AT_CORE:
        charge(s, a, C_FABRIC, m.p.mesh)
        return arrives + m.p.mesh
    charge(s, a, C_FABRIC, m.p.home)
    if s.then[i] == AT_MEMORY:
        return arrives + m.p.home + m.p.controller
    return arrives + m.p.home + s.bank[i]


@kernel
def head_home(m: Any, a: int, now: int) -> int:
    """The line is at slot.vertex's end of the fabric and starts back: when the slot acts next."""
    s, i = m.slot, a << SLOT_SHIFT
    here = m.core.vertex[a >> SLOT_BITS]
    if s.to[i] == here:
        charge(s, a, C_FABRIC, m.p.mesh)
        s.stage[i] = AT_CORE
        return now + m.p.mesh
    s.vertex[i] = s.to[i]
    s.to[i] = here
    s.data[i] = 1
    s.stage[i] = AT_LINK
    s.then[i] = AT_CORE
    return now


@kernel
def take_bus(m: Any, a: int, now: int, start: int) -> int:
    """Slot a takes its channel's bus; its bank, and one from outside, go on. When slot a acts next."""
    s, d = m.slot, m.dram
    b = s.bank[a << SLOT_SHIFT]
    data, ch = dram.pass_data(d, s, m.control, m.links, a, now, start)
    if d.chan[(ch << dram.CHAN) + dram.OVERFLOW] >= 0:
        x, ready = dram.from_overflow(d, s, ch, b, now)
        if x >= 0:
            s.stage[x << SLOT_SHIFT] = AT_BUS
            wake_at(m, x, ready)
    if d.bank[(b << dram.BANK) + dram.BUSY] < 0 and d.bank[(b << dram.BANK) + dram.TAIL] >= 0:
        x, ready = dram.turn(d, s, ch, b, now)
        s.stage[x << SLOT_SHIFT] = AT_BUS
        wake_at(m, x, ready)
    return head_home(m, a, data)


@kernel
def choose(m: Any, ch: int, now: int) -> tuple[int, int, int]:
    """A channel's bus may be free, and requests wait for it: (slot that takes it or -1, its start; when the channel
    looks again if nobody took it)."""
    d, c = m.dram, ch << dram.CHAN
    if d.chan[c + dram.BUS] > now:  # a batch of writes came between
        return -1, -1, d.chan[c + dram.BUS]
    a, start = dram.choose(d, m.slot, ch, now)
    return a, start, -1


@kernel
def look_again(m: Any, ch: int) -> int:
    """A request of those waiting took the bus: when the channel acts next, -1 if none is left."""
    d, c = m.dram, ch << dram.CHAN
    if d.chan[c + dram.READY] < 0:
        d.chan[c + dram.ARMED] = 0
        return -1
    return d.chan[c + dram.BUS]


@kernel
def step(m: Any, a: int, now: int) -> tuple[int, int, int, int]:
    """Slot a acts beyond its core: (when it acts next, -1 if others decide that; a channel that must act, when; -1;
    when its data passes the bus it now takes, -1 if it does not)."""
    s, i = m.slot, a << SLOT_SHIFT
    stage = s.stage[i]
    if stage == AT_L3:
        charge(s, a, C_L3, m.p.l3)
        if s.shared[i] == directory.ASK and s.level[i] == 0:
            s.stage[i] = AT_DIRECTORY
            return now + m.p.l3, -1, -1, -1
        return look_up_l3(m, a, now + m.p.l3), -1, -1, -1
    if stage == AT_LINK:
        return over_link(m, a, now), -1, -1, -1
    if stage == AT_MEMORY:
        node = s.line[i] >> m.pages.node_shift
        if m.dram.kind[node] == dram.CURVE:
            return head_home(m, a, dram.by_curve(m.dram, s, m.control, m.links, a, node, now)), -1, -1, -1
        s.stage[i] = stage = AT_BUS
        t = dram.arrive(m.dram, s, a, node, s.line[i], now)
        if t != now:
            return t, -1, -1, -1
    if stage == AT_BUS:
        start, channel = dram.at_bus(m.dram, s, a, now)
        return -1, s.source[i] if channel >= 0 else -1, channel, start
    if stage == AT_DIRECTORY:
        return at_directory(m, a, now), -1, -1, -1
    return head_home(m, a, now), -1, -1, -1  # AT_GIVER


# ---- back in the core ----------------------------------------------------------------------------------------------


@kernel
def arrive(m: Any, a: int, now: int) -> bool:
    """The line reaches the core. Does a page walk go on? (False: the access has its data.)"""
    s, i = m.slot, a << SLOT_SHIFT
    core, level, line = a >> SLOT_BITS, s.level[i], s.line[i]
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
        if s.buffer[i] > 0:
            bring(m, core, group, line, flags, now)
            flags &= EXCLUSIVE
        put_l2(m, core, group, line, flags, now)
    if level == 0:
        return False
    s.level[i] = tlb.walked(m.tlb, core, m.pages.block[s.va[i] >> 21] & 3, s.va[i], level)
    return True


@kernel
def lock_of(sync: Any, va: int) -> int:
    """Number of the lock at an address."""
    key = (va >> 3) + 1
    k = (va >> 6) & sync.mask
    while sync.key[k] != 0 and sync.key[k] != key:
        k = k + 1 & sync.mask
    sync.key[k] = key
    return k


@rare
def take_lock(sync: Any, nxt: Any, a: int, t: int, va: int) -> bool:
    """A thread has the lock's line: does it get the lock? Else it waits for its turn."""
    k = lock_of(sync, va)
    if sync.holder[k] == 0 or sync.holder[k] == t + 1:
        sync.holder[k] = t + 1
        return True
    sync.waiting[k] = push(nxt, sync.waiting[k], a)
    return False


@rare
def free_lock(sync: Any, nxt: Any, threads: Any, va: int) -> int:
    """The lock is given to the slot that has waited longest, which is returned; -1 for none."""
    k = lock_of(sync, va)
    sync.holder[k] = 0
    if sync.waiting[k] < 0:
        return -1
    a, sync.waiting[k] = pop(nxt, sync.waiting[k])
    sync.holder[k] = threads[a << SLOT_SHIFT] + 1
    return a


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
            core = a >> SLOT_BITS
            m.core.ready[core] = push(w.next, m.core.ready[core], x)
            continue
        end = max(now, at + m.p.l1)
        count(m.out, klass, E_LOAD)
        if end > now:  # joined at the very end: an L1 hit
            account_private(m.out, klass, 0, C_FILL, 0, 0, C_L1, m.p.l1)
            for k in range(COUNT):
                w.stack[(x << 4) + k] = 0
            w.stack[(x << 4) + C_L1] = m.p.l1
        else:
            joined_stack(w.stack, x, s.stack, a)
            account_joined(m.out, w.stack, x, klass, end - at)
        value_ready(m, x, end)


@kernel
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
            wake_at(m, b, now)
    return -1


@kernel
def complete(m: Any, a: int, now: int) -> None:
    """Slot a's access and those that joined it are done; its buffer goes to the next in line."""
    s, i, w, o = m.slot, a << SLOT_SHIFT, m.win, m.core
    core, t, x = a >> SLOT_BITS, s.thread[i], s.rec[i]
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
    o.free[(core << SLOT_BITS) + o.nfree[core]] = a & (1 << SLOT_BITS) - 1
    o.nfree[core] += 1
    o.fills[core] += 1 if s.buffer[i] > 0 else 0
    o.prefetches[core] += 1 if s.buffer[i] != 1 else 0
    m.front.flight[t] -= 1
    m.front.latest[t] = max(m.front.latest[t], now)
    if m.front.wait[t] == DRAIN and m.front.open[t] == 0 and m.front.flight[t] == 0:
        m.front.wait[t] = NOBODY
        wake_at(m, m.fronts + t, m.front.latest[t])
