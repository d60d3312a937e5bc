"""A line enters its core's caches; victims move down, dirty ones as far as memory."""

from typing import Any

from numasim.engine import dram, writes
from numasim.engine.cache import (
    DIRTY,
    EXCLUSIVE,
    insert,
    line_of,
    remove,
    set_of,
    sliced_line_of,
    sliced_set_of,
    touch,
)
from numasim.engine.jit import kernel, rare
from numasim.engine.links import send
from numasim.engine.neighbours import FOREIGN, waiting
from numasim.engine.state import K_COUNTING

VICTIM, INCLUSIVE, NON_INCLUSIVE = range(3)
INCLUSIONS = {"victim": VICTIM, "inclusive": INCLUSIVE, "non-inclusive": NON_INCLUSIVE}


@rare
def write_back(
    d: Any, links: Any, control: Any, woken: Any, when: Any, channels: int, node_shift: int, vertex: int, group: int,
    line: int, now: int,
) -> None:  # fmt: skip
    """A dirty line leaves a domain's caches for its node: posted, but it takes its share of links and channel.

    channels: actor of the first channel, in case one must be woken.
    """
    node = line >> node_shift
    t = now
    while vertex != d.vertex[node]:
        edge = links.hop[vertex * links.vertices + d.vertex[node]]
        _, sent = send(links, control, edge, line, 1, t)
        t = sent + links.latency[edge]
        vertex = links.target[edge]
    if control[K_COUNTING]:
        d.traffic[(group * d.nodes + node) * 2 + 1] += 1
    if d.kind[node] == dram.DDR:
        ch = writes.write(d, node, line, t)
        if ch >= 0:
            woken[0] += 1
            woken[woken[0]] = channels + ch
            when[woken[0]] = max(t, d.chan[(ch << dram.CHAN) + dram.BUS])
    else:
        c = d.first[node] << dram.CHAN
        d.chan[c + dram.BUS] = max(now, d.chan[c + dram.BUS]) + dram.par(d, node, dram.BURST)
        d.busy[2 * d.first[node] + 1] += dram.par(d, node, dram.BURST)


@rare
def forget_below(l1: Any, l2: Any, domain: Any, cores: int, unit: int, line: int) -> int:
    """An inclusive L3 evicts a line: the cores of its domain lose it too. Their flags."""
    flags = 0
    for c in range(cores):
        if domain[c] == unit:
            flags |= remove(l1, set_of(l1, c, line), line >> l1.bits)
            flags |= remove(l2, set_of(l2, c, line), line >> l2.bits)
    return flags


@kernel
def fell_out(m: Any, core: int, group: int, s: int, out: int, now: int) -> None:
    """An entry (0: none) has fallen out of set s of the L3 of the core's domain."""
    if out == 0 or out >> 3 == FOREIGN:
        return
    flags, victim = out, sliced_line_of(m.l3, s, out >> 3)
    if m.p.inclusion == INCLUSIVE:
        flags |= forget_below(m.l1, m.l2, m.core.domain, m.cores, m.core.domain[core], victim)
    if flags & DIRTY:
        vertex = m.core.vertex[core]
        write_back(
            m.dram, m.links, m.control, m.woken, m.when, m.channels, m.pages.node_shift, vertex, group, victim, now
        )


@rare
def let_in(m: Any, core: int, group: int, s: int, now: int) -> None:
    """Set s of the L3 of the core's domain is about to be looked at: lines of others that have come first."""
    for _ in range(waiting(m, s, now)):
        fell_out(m, core, group, s, insert(m.l3, s, FOREIGN, 0), now)


@kernel
def put_l3(m: Any, core: int, group: int, line: int, dirty: int, now: int) -> None:
    """A line comes to its domain's L3; what falls out there is written back if dirty."""
    unit = m.core.domain[core]
    s = sliced_set_of(m.l3, unit, line)
    if m.p.neighbours > 0:
        let_in(m, core, group, s, now)
    i = touch(m.l3, s, line >> m.l3.bits)
    if i >= 0:
        m.l3.tag[i] |= dirty
        return
    fell_out(m, core, group, s, insert(m.l3, s, line >> m.l3.bits, dirty), now)


@kernel
def put_l2(m: Any, core: int, group: int, line: int, flags: int, now: int) -> None:
    """A line comes to a core's L2; its victim moves to the L3."""
    s = set_of(m.l2, core, line)
    i = touch(m.l2, s, line >> m.l2.bits)
    if i >= 0:
        m.l2.tag[i] |= flags
        return
    out = insert(m.l2, s, line >> m.l2.bits, flags)
    if out and (out & DIRTY or m.p.inclusion == VICTIM):
        put_l3(m, core, group, line_of(m.l2, s, out >> 3), out & DIRTY, now)


@rare
def spill(m: Any, core: int, group: int, line: int, flags: int, now: int) -> None:
    """A dirty line leaves L1: L2 takes the change, or the line."""
    put_l2(m, core, group, line, flags & (DIRTY | EXCLUSIVE), now)


@kernel
def bring(m: Any, core: int, group: int, line: int, flags: int, now: int) -> None:
    """The line enters L1."""
    s = set_of(m.l1, core, line)
    out = insert(m.l1, s, line >> m.l1.bits, flags)
    if out & DIRTY:
        spill(m, core, group, line_of(m.l1, s, out >> 3), out, now)
