"""Posted writes of a memory channel.

Dirty lines gather a channel and cost nothing until many wait. Then banks that become free turn to their writes before
their reads, while the bus goes on with the reads that are ready. Once enough writes have their rows open, or the bus
would idle, the bus turns round and takes them all: it loses its turnaround once a batch, and a row opened for a read is
never closed for a write.
"""

from typing import Any

from numasim.engine.dram import (
    ARMED,
    BANK,
    BANK_BITS,
    BURST,
    BUS,
    BUSY,
    CHAN,
    DRAINING,
    FIRST_BANK,
    FREE,
    GROUP_BITS,
    HELD,
    HIGH,
    LAST_RANK,
    LOW,
    NODE,
    RANK_BITS,
    READY,
    READY_AT,
    STARVE,
    SWITCH,
    TCCD_L,
    TURN,
    WRITES,
    after_refresh,
    open_row,
    par,
    place,
    rank_and_group,
)
from numasim.engine.jit import kernel, rare
from numasim.engine.links import note_busy

WRITER = 1 << 40  # in a bank's BUSY: a write holds it
ENTRIES_BITS = 7  # posted writes a channel can keep
ENTRIES = 1 << ENTRIES_BITS


@kernel
def banks_of(d: Any, node: int) -> int:
    """Banks of one of the node's channels."""
    return 1 << par(d, node, RANK_BITS) + par(d, node, GROUP_BITS) + par(d, node, BANK_BITS)


@rare
def hold(d: Any, ch: int, b: int, now: int) -> bool:
    """A free bank turns to the oldest write that waits for it, if one does, and is its own until that has passed."""
    c, w, o = ch << CHAN, ch << ENTRIES_BITS, b << BANK
    n = d.chan[c + WRITES]
    i = 0
    while i < n and d.writes[w + i] & 0xFFFF != b:
        i += 1
    if i == n:
        return False
    node, row = d.chan[c + NODE], d.writes[w + i] >> 16
    rank, _ = rank_and_group(d, ch, node, b)
    begin = after_refresh(d, ch, node, rank, max(now, d.bank[o + FREE]))
    d.bank[o + READY_AT] = open_row(d, ch, node, rank, b, row, begin)
    d.bank[o + BUSY] = WRITER
    d.chan[c + HELD] += 1
    n -= 1
    d.chan[c + WRITES] = n
    while i < n:
        d.writes[w + i] = d.writes[w + i + 1]
        i += 1
    if n <= par(d, node, LOW):
        d.chan[c + DRAINING] = 0
    return True


@rare
def write(d: Any, node: int, line: int, now: int) -> int:
    """A dirty line reaches its node. The channel whose actor must look at its bus, -1 for none."""
    ch, b, row = place(d, node, line)
    c = ch << CHAN
    n, held = d.chan[c + WRITES], d.chan[c + HELD]
    d.writes[(ch << ENTRIES_BITS) + n] = b | row << 16
    n = min(n + 1, ENTRIES - 1)  # with every entry taken, the newest costs no time
    d.chan[c + WRITES] = n
    if d.chan[c + DRAINING]:
        if d.bank[(b << BANK) + BUSY] < 0:
            hold(d, ch, b, now)
    elif n >= par(d, node, HIGH):
        d.chan[c + DRAINING] = 1
        first = d.chan[c + FIRST_BANK]
        for k in range(banks_of(d, node)):
            if d.chan[c + DRAINING] and d.bank[(first + k << BANK) + BUSY] < 0:
                hold(d, ch, first + k, now)
    if d.chan[c + HELD] == held or d.chan[c + ARMED]:
        return -1
    d.chan[c + ARMED] = 1
    return ch


@rare
def look(d: Any, ch: int, now: int) -> int:
    """The bus is free and writes hold banks: 0 if it goes on with reads, 1 if the writes' turn has come, else (no read
    is ready, no write either) when the first write is. Reads of the held banks wait too, so no longer than `starve`."""
    c = ch << CHAN
    node, ready, soonest = d.chan[c + NODE], 0, -1
    for k in range(banks_of(d, node)):
        o = d.chan[c + FIRST_BANK] + k << BANK
        if d.bank[o + BUSY] == WRITER:
            t = d.bank[o + READY_AT]
            ready += 1 if t <= now else 0
            soonest = t if soonest < 0 else min(soonest, t)
    if d.chan[c + READY] >= 0 and ready < max(par(d, node, LOW), 1) and now - soonest <= par(d, node, STARVE):
        return 0
    return 1 if ready else soonest


@rare
def pass_one(d: Any, ch: int, bus: int) -> int:
    """The held write that can start first passes a bus that is free from then on: when it has. Its bank is free."""
    c = ch << CHAN
    node, best, start = d.chan[c + NODE], -1, 0
    for k in range(banks_of(d, node)):
        b = d.chan[c + FIRST_BANK] + k
        if d.bank[(b << BANK) + BUSY] == WRITER:
            rank, group = rank_and_group(d, ch, node, b)
            t = bus + (par(d, node, SWITCH) if rank != d.chan[c + LAST_RANK] else 0)
            t = max(t, d.bank[(b << BANK) + READY_AT], d.groups[(ch << 6) + group] + par(d, node, TCCD_L))
            if best < 0 or t < start:
                best, start = b, t
    rank, group = rank_and_group(d, ch, node, best)
    end = start + par(d, node, BURST)
    d.chan[c + LAST_RANK] = rank
    d.groups[(ch << 6) + group] = start
    d.bank[(best << BANK) + FREE] = end + par(d, node, TURN)
    d.bank[(best << BANK) + BUSY] = -1
    d.busy[2 * ch + 1] += par(d, node, BURST)
    d.batch[(ch << 6) + d.chan[c + HELD]] = best
    return end


@rare
def pass_all(d: Any, control: Any, series: Any, resources: int, edges: int, ch: int, now: int) -> int:
    """The bus turns round, takes all writes that hold banks, and turns back: how many those were (see Dram.batch)."""
    c = ch << CHAN
    turnaround, n = par(d, d.chan[c + NODE], TURN), d.chan[c + HELD]
    began = bus = now + turnaround
    while d.chan[c + HELD] > 0:
        d.chan[c + HELD] -= 1
        bus = pass_one(d, ch, bus)
    d.chan[c + BUS] = bus + turnaround
    note_busy(control, series, resources, edges + ch, began, bus - began)
    return n
