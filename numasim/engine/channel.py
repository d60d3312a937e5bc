"""A memory channel's bus: who takes it, and what goes on when it has been taken."""

from typing import Any

from numasim.engine import dram, writes
from numasim.engine.dram import ARMED, BANK, BUS, BUSY, CHAN, DRAINING, HELD, OVERFLOW, READY, TAIL
from numasim.engine.jit import kernel, rare
from numasim.engine.path import head_home
from numasim.engine.slots import AT_BUS, wake_at
from numasim.engine.state import SLOT_SHIFT


@rare
def next_of(d: Any, s: Any, woken: Any, when: Any, channels: int, ch: int, b: int, now: int) -> None:
    """A free bank turns to a write of its own, if those must go, or else to its next read. channels: the first
    channel's actor. Whoever then acts is woken."""
    c = ch << CHAN
    actor, at = -1, 0
    if d.chan[c + DRAINING] and writes.hold(d, ch, b, now):
        if d.chan[c + ARMED] == 0:
            d.chan[c + ARMED] = 1
            actor, at = channels + ch, max(now, d.chan[c + BUS])
    elif d.bank[(b << BANK) + TAIL] >= 0:
        actor, at = dram.turn(d, s, ch, b, now)
        s.stage[actor << SLOT_SHIFT] = AT_BUS
    if actor >= 0:
        woken[0] += 1
        woken[woken[0]] = actor
        when[woken[0]] = at


@kernel
def take_bus(m: Any, a: int, now: int, start: int) -> int:
    """Slot a takes its channel's bus; its bank, and one from outside, go on. When slot a acts next."""
    s, d = m.slot, m.dram
    b = s.bank[a << SLOT_SHIFT]
    data, ch = dram.pass_data(d, s, m.control, m.links, a, now, start)
    if d.chan[(ch << CHAN) + OVERFLOW] >= 0:
        x, ready = dram.from_overflow(d, s, ch, b, now)
        if x >= 0:
            s.stage[x << SLOT_SHIFT] = AT_BUS
            wake_at(m, x, ready)
    if d.bank[(b << BANK) + BUSY] < 0 and (d.bank[(b << BANK) + TAIL] >= 0 or d.chan[(ch << CHAN) + DRAINING]):
        next_of(d, s, m.woken, m.when, m.channels, ch, b, now)
    return head_home(m, a, data)


@rare
def serve_writes(
    d: Any, s: Any, woken: Any, when: Any, channels: int, control: Any, series: Any, resources: int, edges: int,
    ch: int, now: int,
) -> int:  # fmt: skip
    """The bus is free, and banks are held by writes. When it looks again if they take it or will, -1 if reads may."""
    writing = writes.look(d, ch, now)
    if writing == 0:
        return -1
    if writing > 1:
        return writing
    n = writes.pass_all(d, control, series, resources, edges, ch, now)
    for k in range(n):
        next_of(d, s, woken, when, channels, ch, d.batch[(ch << 6) + k], now)
    return d.chan[(ch << CHAN) + BUS]


@kernel
def choose(m: Any, ch: int, now: int) -> tuple[int, int, int]:
    """A channel's bus may be free, and requests wait for it: (slot that takes it or -1, its start; when the channel
    looks again if nobody took it, -1 if nobody is left)."""
    d, c = m.dram, ch << CHAN
    if d.chan[c + BUS] > now:
        return -1, -1, d.chan[c + BUS]
    if d.chan[c + HELD]:
        net = m.links
        when = serve_writes(
            d, m.slot, m.woken, m.when, m.channels, m.control, net.series, net.resources, net.edges, ch, now
        )
        if when >= 0:
            return -1, -1, when
    if d.chan[c + READY] < 0:
        d.chan[c + ARMED] = 0
        return -1, -1, -1
    a, start = dram.choose(d, m.slot, ch, now)
    if a < 0:
        return -1, -1, now + dram.par(d, d.chan[c + dram.NODE], dram.BURST)
    return a, start, -1


@kernel
def look_again(m: Any, ch: int) -> int:
    """A request of those waiting took the bus: when the channel acts next, -1 if none is left."""
    d, c = m.dram, ch << CHAN
    if d.chan[c + READY] < 0 and d.chan[c + HELD] == 0:
        d.chan[c + ARMED] = 0
        return -1
    return d.chan[c + BUS]
