"""Memory channels: banks prepare rows in parallel, the data bus serves whoever is ready (FR-FCFS).

A request is carried by its slot. It arrives; waits in its bank's list while the bank is busy; the bank opens the row;
then it takes the channel's bus. Among those ready the bus takes the one whose data can start first (another rank or
the same bank group cost a gap), the one ready longest if equal, and nobody waits longer than `starve`. With nobody
waiting an open row costs no event of its own, a closed one costs one. A channel has an actor, armed only while ready
requests wait for the bus. Writes: see writes.py.

Sources: JEDEC JESD79-4 (DDR4) for the timings' meaning; Rixner et al., "Memory access scheduling", ISCA 2000 (FR-FCFS).
"""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.links import note_busy
from numasim.engine.lists import pop, push, take
from numasim.engine.state import C_MEM, C_MEM_WAIT, C_REFRESH, C_TLB, SLOT_SHIFT

DDR, CURVE = 0, 1
ROW, OPENED, FREE, HITS, TAIL, BUSY, READY_AT = range(7)  # bank words
# channel words
(BUS, READY, QUEUED, WRITES, OVERFLOW, ARMED, LAST_RANK, NODE, FIRST_BANK, DRAINING, HELD) = range(11)
DUE, UNTIL, OWED, ACTS, ACT = range(5)  # rank words, the last one the first of four
(
    TCL,
    TRCD,
    TRP,
    TRAS,
    BURST,
    TCCD_L,
    TREFI,
    TRFC,
    TURN,
    SWITCH,
    IDLE_CLOSE,
    QUEUE,
    CAP,
    HIGH,
    LOW,
    STARVE,
    CHANNELS,
    CHANNEL_BITS,
    GROUP_BITS,
    COLUMN_BITS,
    BANK_BITS,
    RANK_BITS,
    IDLE_LATENCY,
    CURVE_STEP,
    FAW,
) = range(25)  # node parameters
CHAN, BANK, RANK = 4, 3, 3


@kernel
def par(d: Any, node: int, which: int) -> int:
    """A parameter of a node."""
    return d.par[(node << 5) + which]


@kernel
def charge(s: Any, a: int, cause: int, dt: int) -> None:
    """dt of slot a's time belongs to the cause; all that a page walk costs is tlb_walk."""
    s.stack[(a << SLOT_SHIFT) + (cause if s.level[a << SLOT_SHIFT] == 0 else C_TLB)] += dt


@rare
def place(d: Any, node: int, line: int) -> tuple[int, int, int]:
    """(channel, bank, row) of a line: channel and bank numbered over the machine.

    Lines are hashed over channels, by all their bits, so that cores in step do not meet in one. In a channel they
    alternate over ranks, bank groups and banks, then fill rows: the closed-page map of Intel's servers (as the Linux
    driver skx_edac decodes it), which no stream can keep in a few banks. Row bits permute rank, group and bank.
    """
    n, bits = par(d, node, CHANNELS), par(d, node, CHANNEL_BITS)
    h = line ^ line >> 3 ^ line >> 6 ^ line >> 11 ^ line >> 15 ^ line >> 18 ^ line >> 21
    ch = (h & n - 1 if bits >= 0 else h % n) + d.first[node]
    rest = line >> bits if bits >= 0 else line // n
    groups, banks, ranks = par(d, node, GROUP_BITS), par(d, node, BANK_BITS), par(d, node, RANK_BITS)
    row = rest >> ranks + groups + banks + par(d, node, COLUMN_BITS)
    low = rest ^ row ^ row >> 5 ^ row >> 10
    rank, group = low & (1 << ranks) - 1, low >> ranks & (1 << groups) - 1
    bank = low >> ranks + groups & (1 << banks) - 1
    return ch, d.chan[(ch << CHAN) + FIRST_BANK] + (((rank << groups) + group << banks) + bank), row & 0xFFFFFFFF


@kernel
def rank_and_group(d: Any, ch: int, node: int, b: int) -> tuple[int, int]:
    """(rank, rank and bank group) of a bank within its channel."""
    group = b - d.chan[(ch << CHAN) + FIRST_BANK] >> par(d, node, BANK_BITS)
    return group >> par(d, node, GROUP_BITS), group


@rare
def refresh(d: Any, ch: int, node: int, rank: int, t: int) -> None:
    """A rank's refresh has become due before t. While the channel is busy it is postponed."""
    r, trefi = (ch << 3) + rank << RANK, par(d, node, TREFI)
    begun = d.rank[r + DUE] + (t - d.rank[r + DUE]) // trefi * trefi
    d.rank[r + DUE] = begun + trefi
    if d.chan[(ch << CHAN) + QUEUED] > 2 and d.rank[r + OWED] < 8:  # JESD79-4: up to eight may be postponed
        d.rank[r + OWED] += 1
    else:
        # what is owed is paid one for one while busy, in the gaps while idle
        d.rank[r + UNTIL] = begun + par(d, node, TRFC)
        if d.chan[(ch << CHAN) + QUEUED] <= 2:
            d.rank[r + OWED] = 0


@kernel
def after_refresh(d: Any, ch: int, node: int, rank: int, t: int) -> int:
    """When the rank is free of refresh, from t on."""
    r = (ch << 3) + rank << RANK
    if t >= d.rank[r + DUE]:
        refresh(d, ch, node, rank, t)
    return max(t, d.rank[r + UNTIL])


@kernel
def is_refreshed(d: Any, ch: int, node: int, b: int, now: int) -> bool:
    """Has a refresh closed the row of a ready request of bank b, and is it not open again? (Rows opened after a refresh
    are ready later than that.)"""
    rank, _ = rank_and_group(d, ch, node, b)
    return now < d.rank[((ch << 3) + rank << RANK) + UNTIL] + par(d, node, TRCD)


@kernel
def activate(d: Any, ch: int, node: int, rank: int, t: int) -> int:
    """A rank opens a row at t, or when tFAW has passed since the fourth last: when it does."""
    r = (ch << 3) + rank << RANK
    k = r + ACT + d.rank[r + ACTS]
    if par(d, node, FAW) > 0:
        t = max(t, d.rank[k] + par(d, node, FAW))
    d.rank[k] = t
    d.rank[r + ACTS] = d.rank[r + ACTS] + 1 & 3
    return t


@kernel
def open_row(d: Any, ch: int, node: int, rank: int, b: int, row: int, t: int) -> int:
    """The bank turns to a row at t: when a column command may go."""
    o = b << BANK
    opened = d.bank[o + ROW]
    if opened >= 0:
        refreshed = d.bank[o + OPENED] < d.rank[((ch << 3) + rank << RANK) + UNTIL]
        if refreshed or t - d.bank[o + FREE] > par(d, node, IDLE_CLOSE):
            opened = -1  # closed meanwhile, by a refresh or the idle timer
    if opened == row:
        d.bank[o + HITS] += 1
        return t
    if opened >= 0:
        t = max(t, d.bank[o + OPENED] + par(d, node, TRAS)) + par(d, node, TRP)
    t = activate(d, ch, node, rank, t)
    d.bank[o + ROW] = row
    d.bank[o + OPENED] = t
    d.bank[o + HITS] = 0
    return t + par(d, node, TRCD)


@kernel
def prepare(d: Any, s: Any, ch: int, node: int, b: int, a: int, row: int, now: int) -> int:
    """The bank turns to slot a's request, not before now: when it is ready for the bus."""
    begin = max(now, d.bank[(b << BANK) + FREE])
    charge(s, a, C_MEM_WAIT, begin - s.arrived[a << SLOT_SHIFT])
    rank, _ = rank_and_group(d, ch, node, b)
    t = after_refresh(d, ch, node, rank, begin)
    charge(s, a, C_REFRESH, t - begin)
    d.bank[(b << BANK) + BUSY] = a
    ready = open_row(d, ch, node, rank, b, row, t)
    charge(s, a, C_MEM, ready - t)
    s.at[a << SLOT_SHIFT] = ready
    return ready


@kernel
def arrive(d: Any, s: Any, a: int, node: int, line: int, now: int) -> int:
    """A request reaches its channel: when its row is open, -1 while it waits for others."""
    ch, b, row = place(d, node, line)
    s.arrived[a << SLOT_SHIFT] = now
    s.bank[a << SLOT_SHIFT] = b
    s.row[a << SLOT_SHIFT] = row
    s.source[a << SLOT_SHIFT] = ch
    c = ch << CHAN
    if d.chan[c + QUEUED] >= par(d, node, QUEUE):
        d.chan[c + OVERFLOW] = push(s.next, d.chan[c + OVERFLOW], a)
        return -1
    d.chan[c + QUEUED] += 1
    if d.bank[(b << BANK) + BUSY] >= 0:
        d.bank[(b << BANK) + TAIL] = push(s.next, d.bank[(b << BANK) + TAIL], a)
        return -1
    return prepare(d, s, ch, node, b, a, row, now)


@kernel
def data_start(d: Any, ch: int, node: int, b: int, now: int) -> int:
    """When the bus could carry data of bank b, from now on."""
    rank, group = rank_and_group(d, ch, node, b)
    t = d.chan[(ch << CHAN) + BUS]
    if rank != d.chan[(ch << CHAN) + LAST_RANK]:
        t += par(d, node, SWITCH)
    return max(now, t, d.groups[(ch << 6) + group] + par(d, node, TCCD_L))


@kernel
def at_bus(d: Any, s: Any, a: int, now: int) -> tuple[int, int]:
    """Slot a's row is open: (when its data starts, or -1 if the bus is busy; when the channel's actor must act, -1)."""
    ch = s.source[a << SLOT_SHIFT]
    c = ch << CHAN
    node, b = d.chan[c + NODE], s.bank[a << SLOT_SHIFT]
    if d.chan[c + BUS] <= now and d.chan[c + READY] < 0 and not is_refreshed(d, ch, node, b, now):
        return data_start(d, ch, node, b, now), -1
    d.chan[c + READY] = push(s.next, d.chan[c + READY], a)
    if d.chan[c + ARMED]:
        return -1, -1
    d.chan[c + ARMED] = 1
    return -1, max(d.chan[c + BUS], now)


@rare
def choose_awake(d: Any, s: Any, ch: int, now: int) -> tuple[int, int]:
    """As `choose`, of the ranks that no refresh keeps: (-1, -1) if nobody is left."""
    c = ch << CHAN
    node, tail = d.chan[c + NODE], d.chan[c + READY]
    before, best, x, start = tail, -1, tail, -1
    while True:
        y = s.next[x]
        if not is_refreshed(d, ch, node, s.bank[y << SLOT_SHIFT], now):
            t = data_start(d, ch, node, s.bank[y << SLOT_SHIFT], now)
            if start < 0 or t < start:
                start, before, best = t, x, y
        x = y
        if x == tail:
            break
    if best >= 0:
        d.chan[c + READY] = take(s.next, tail, before)
    return best, start


@kernel
def choose(d: Any, s: Any, ch: int, now: int) -> tuple[int, int]:
    """The bus is free: (which of the ready requests it takes, when that one's data starts), (-1, -1) if refreshes keep
    them all."""
    c = ch << CHAN
    node, tail = d.chan[c + NODE], d.chan[c + READY]
    before, best, x = tail, tail, tail
    start = -1
    while True:
        y = s.next[x]
        t = data_start(d, ch, node, s.bank[y << SLOT_SHIFT], now)
        if start < 0 or t < start:
            start, before, best = t, x, y
        if x == tail and now - s.at[y << SLOT_SHIFT] > par(d, node, STARVE):
            break  # the first in the list is ready longest
        x = y
        if x == tail:
            break
    if is_refreshed(d, ch, node, s.bank[best << SLOT_SHIFT], now):
        return choose_awake(d, s, ch, now)
    d.chan[c + READY] = take(s.next, tail, before)
    return best, start


@kernel
def next_of_bank(d: Any, s: Any, node: int, b: int) -> int:
    """Which of those waiting a bank serves next: a row hit while fewer than the cap in a row, else the oldest."""
    o = b << BANK
    tail = d.bank[o + TAIL]
    before = tail
    if d.bank[o + HITS] < par(d, node, CAP):
        x = tail
        while True:
            y = s.next[x]
            if s.row[y << SLOT_SHIFT] == d.bank[o + ROW]:
                before = x
                break
            x = y
            if x == tail:
                break
    a = s.next[before]
    d.bank[o + TAIL] = take(s.next, tail, before)
    return a


@kernel
def pass_data(d: Any, s: Any, control: Any, links: Any, a: int, now: int, start: int) -> tuple[int, int]:
    """Slot a's data passes the bus from `start` on: (when it has, its channel)."""
    ch, b = s.source[a << SLOT_SHIFT], s.bank[a << SLOT_SHIFT]
    c = ch << CHAN
    node = d.chan[c + NODE]
    rank, group = rank_and_group(d, ch, node, b)
    burst = par(d, node, BURST)
    ready, until = s.at[a << SLOT_SHIFT], d.rank[((ch << 3) + rank << RANK) + UNTIL]
    if ready < until <= start:  # a refresh came between, and its row had to be opened again
        kept = until + par(d, node, TRCD) - max(ready, until - par(d, node, TRFC))
        charge(s, a, C_REFRESH, kept)
        ready += kept
        d.bank[(b << BANK) + OPENED] = until
    charge(s, a, C_MEM_WAIT, start - ready)
    charge(s, a, C_MEM, par(d, node, TCL) + burst)
    d.chan[c + BUS] = start + burst
    d.chan[c + LAST_RANK] = rank
    d.groups[(ch << 6) + group] = start
    d.chan[c + QUEUED] -= 1
    d.bank[(b << BANK) + FREE] = start + burst
    d.bank[(b << BANK) + BUSY] = -1
    d.busy[2 * ch] += burst
    note_busy(control, links.series, links.resources, links.edges + ch, start, burst)
    return start + par(d, node, TCL) + burst, ch


@rare
def from_overflow(d: Any, s: Any, ch: int, b: int, now: int) -> tuple[int, int]:
    """A place in the queue is free: one from outside comes in. (it and when it is ready, if its bank is idle; -1)."""
    c = ch << CHAN
    x, d.chan[c + OVERFLOW] = pop(s.next, d.chan[c + OVERFLOW])
    d.chan[c + QUEUED] += 1
    o = s.bank[x << SLOT_SHIFT] << BANK
    if d.bank[o + BUSY] >= 0 or s.bank[x << SLOT_SHIFT] == b:
        d.bank[o + TAIL] = push(s.next, d.bank[o + TAIL], x)
        return -1, -1
    node = d.chan[c + NODE]
    return x, prepare(d, s, ch, node, s.bank[x << SLOT_SHIFT], x, s.row[x << SLOT_SHIFT], now)


@rare
def turn(d: Any, s: Any, ch: int, b: int, now: int) -> tuple[int, int]:
    """A free bank takes the next request waiting for it: (which, when it is ready for the bus)."""
    node = d.chan[(ch << CHAN) + NODE]
    a = next_of_bank(d, s, node, b)
    return a, prepare(d, s, ch, node, b, a, s.row[a << SLOT_SHIFT], now)


# ---- the alternative: a measured curve ---------------------------------------------------------------------------


@rare
def by_curve(d: Any, s: Any, control: Any, links: Any, a: int, node: int, now: int) -> int:
    """Latency from the node's measured bandwidth-latency curve at the bandwidth of its last 63 requests, beyond a bus
    that no more than the curve's peak passes: when the data is there. (As Mess does: Esmaili-Dokht et al., MICRO 2024.)
    """
    ch = d.first[node]
    c, r = ch << CHAN, node << 6
    burst = par(d, node, BURST)
    start = max(now, d.chan[c + BUS])
    d.chan[c + BUS] = start + burst
    d.busy[2 * ch] += burst
    note_busy(control, links.series, links.resources, links.edges + ch, start, burst)
    k = d.recent[r + 63]
    old = d.recent[r + k % 63]
    d.recent[r + k % 63] = now
    d.recent[r + 63] = k + 1
    load = 0
    if k >= 63:
        load = min(63, 63 * burst * 64 // max(now - old, 1))
    latency = d.curve[r + load]
    idle = par(d, node, IDLE_LATENCY)
    charge(s, a, C_MEM_WAIT, start - now + latency - idle)
    charge(s, a, C_MEM, idle)
    return start + latency
