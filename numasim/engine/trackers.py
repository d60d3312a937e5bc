"""Trackers: how many requests of a node may be under way to other nodes, `fabric.remote_trackers`. Those beyond wait in
order; who gives one back hands it to the one that has waited longest."""

from typing import Any

from numasim.engine.dram import charge
from numasim.engine.jit import kernel, rare
from numasim.engine.lists import pop, push
from numasim.engine.slots import AT_LINK, AT_TRACKER, wake_at
from numasim.engine.state import C_LINK_WAIT, SLOT_SHIFT


@kernel
def leave(m: Any, a: int, core: int, node: int) -> None:
    """Slot a's request leaves its domain over links, for the memory or a cache of a node."""
    m.slot.stage[a << SLOT_SHIFT] = AT_TRACKER if m.p.trackers and m.core.node[core] != node else AT_LINK


@rare
def take_tracker(m: Any, a: int, now: int) -> bool:
    """Does slot a get one of its node's trackers? Else it is woken when it has one."""
    s, i, net = m.slot, a << SLOT_SHIFT, m.links
    node = m.core.node[a >> m.core.slot_bits]
    s.stage[i] = AT_LINK
    s.tracked[i] = 1
    if net.trackers[node] > 0:
        net.trackers[node] -= 1
        return True
    s.arrived[i] = now
    net.waiting[node] = push(s.next, net.waiting[node], a)
    return False


@rare
def give_tracker(m: Any, a: int, now: int) -> None:
    """Slot a's line is back in its domain: its tracker goes to the next in line."""
    s, net = m.slot, m.links
    node = m.core.node[a >> m.core.slot_bits]
    s.tracked[a << SLOT_SHIFT] = 0
    if net.waiting[node] < 0:
        net.trackers[node] += 1
        return
    b, net.waiting[node] = pop(s.next, net.waiting[node])
    charge(s, b, C_LINK_WAIT, now - s.arrived[b << SLOT_SHIFT])
    wake_at(m, b, now)
