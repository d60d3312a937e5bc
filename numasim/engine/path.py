"""A miss beyond its core, stage by stage: L3, directory, links, memory, and back."""

from typing import Any

from numasim.engine import directory, dram, links
from numasim.engine.cache import sliced_set_of, touch
from numasim.engine.dram import charge
from numasim.engine.fills import let_in
from numasim.engine.jit import kernel, rare
from numasim.engine.slots import (
    AT_BUS,
    AT_CORE,
    AT_DIRECTORY,
    AT_GIVER,
    AT_HOME,
    AT_L3,
    AT_LINK,
    AT_MEMORY,
    AT_TRACKER,
    writes,
)
from numasim.engine.stacks import count
from numasim.engine.state import (
    C_COH,
    C_FABRIC,
    C_L3,
    C_LINK,
    C_LINK_WAIT,
    E_HIT,
    E_HITM,
    E_INVALIDATED,
    E_L3,
    E_L3_MISS,
    E_LOCAL,
    E_REMOTE,
    EVENT_WORDS,
    K_COUNTING,
    SLOT_SHIFT,
)
from numasim.engine.trackers import give_tracker, leave, take_tracker


@kernel
def to_memory(m: Any, a: int, now: int) -> int:
    """The request leaves its domain's L3 for the line's node."""
    s, i = m.slot, a << SLOT_SHIFT
    node = s.line[i] >> m.pages.node_shift
    core = a >> m.core.slot_bits
    here = m.core.vertex[core]
    count(m.out, s.klass[i], E_LOCAL if m.core.node[core] == node else E_REMOTE)
    count(m.out, s.klass[i], E_L3_MISS)
    if m.control[K_COUNTING]:
        m.dram.traffic[(m.front.group[s.thread[i]] * m.dram.nodes + node) * 2] += 1
    charge(s, a, C_FABRIC, m.p.controller)
    s.to[i] = m.dram.vertex[node]
    if here == s.to[i]:
        s.stage[i] = AT_MEMORY
        return now + m.p.controller
    s.vertex[i] = here
    leave(m, a, core, node)
    s.then[i] = AT_MEMORY
    s.data[i] = 0
    return now


@kernel
def look_up_l3(m: Any, a: int, now: int) -> int:
    """The domain's own L3 (its look-up time has been paid): when the slot acts next."""
    s, i = m.slot, a << SLOT_SHIFT
    core, line = a >> m.core.slot_bits, s.line[i]
    count(m.out, s.klass[i], E_L3)
    where = sliced_set_of(m.l3, m.core.domain[core], line)
    if m.p.neighbours > 0:
        let_in(m, core, m.front.group[s.thread[i]], where, now)
    if touch(m.l3, where, line >> m.l3.bits) >= 0:
        charge(s, a, C_FABRIC, m.p.mesh)
        s.source[i] = -1
        s.stage[i] = AT_CORE
        return now + m.p.mesh
    return to_memory(m, a, now)


@rare
def at_directory(m: Any, a: int, now: int) -> int:
    """A line of a shared page: who gives it? When the slot acts next, -1 if the line is on its way to another core."""
    s, i, p = m.slot, a << SLOT_SHIFT, m.p
    core, line = a >> m.core.slot_bits, s.line[i]
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
    if m.links.domain_socket[domain] != m.links.domain_socket[m.core.domain[core]]:
        snoop += p.snoop_remote
    charge(s, a, C_COH, snoop)
    s.source[i] = -1
    if domain == m.core.domain[core]:
        charge(s, a, C_FABRIC, p.mesh)
        s.stage[i] = AT_CORE
        return now + snoop + p.mesh
    s.vertex[i] = m.core.vertex[core]
    s.to[i] = m.links.domain_vertex[domain]
    leave(m, a, core, m.links.domain_node[domain])
    s.then[i] = AT_GIVER
    s.data[i] = 0
    s.bank[i] = snoop
    read = m.dram.directory[domain * m.dram.nodes + (line >> m.pages.node_shift)]
    charge(s, a, C_COH, read)
    return now + read


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
    if s.then[i] == AT_HOME:
        return arrives
    charge(s, a, C_FABRIC, m.p.home)
    if s.then[i] == AT_MEMORY:
        domain, node = m.core.domain[a >> m.core.slot_bits], s.line[i] >> m.pages.node_shift
        wait = m.dram.answer[domain * m.dram.nodes + node]
        charge(s, a, C_COH, wait)
        return arrives + m.p.home + wait + m.p.controller
    return arrives + m.p.home + s.bank[i]


@kernel
def head_home(m: Any, a: int, now: int) -> int:
    """The line is at slot.to, and starts back if that is not its core's vertex: when the slot acts next."""
    s, i = m.slot, a << SLOT_SHIFT
    here = m.core.vertex[a >> m.core.slot_bits]
    if s.to[i] == here:
        charge(s, a, C_FABRIC, m.p.mesh)
        s.stage[i] = AT_CORE
        return now + m.p.mesh
    s.vertex[i] = s.to[i]
    s.to[i] = here
    s.data[i] = 1
    s.stage[i] = AT_LINK
    s.then[i] = AT_HOME if s.tracked[i] else AT_CORE
    return now


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
    if AT_TRACKER <= stage <= AT_LINK:
        if stage == AT_TRACKER and not take_tracker(m, a, now):
            return -1, -1, -1, -1
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
    if stage == AT_HOME:
        give_tracker(m, a, now)
    return head_home(m, a, now), -1, -1, -1  # or AT_GIVER
