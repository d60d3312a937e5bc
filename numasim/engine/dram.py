"""Memory channels: banks prepare rows in parallel, the data bus serves whoever is ready (FR-FCFS).

A request is carried by its slot. It arrives; waits in its bank's list while the bank is busy; the bank opens the row;
then it takes the channel's bus. Among those ready the bus takes the one whose data can start first (another rank or
the same bank group cost a gap), the one ready longest if equal, and nobody waits longer than `starve`. With nobody
waiting an open row costs no event of its own, a closed one costs one. A channel has an actor, armed only while ready
requests wait for the bus.

Sources: JEDEC JESD79-4 (DDR4) for the timings' meaning; Rixner et al., "Memory access scheduling", ISCA 2000 (FR-FCFS).
"""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.links import note_busy
from numasim.engine.lists import pop, push, take
from numasim.engine.state import C_MEM, C_MEM_WAIT, C_REFRESH, C_TLB, SLOT_SHIFT

DDR, CURVE = 0, 1
ROW, OPENED, FREE, HITS, TAIL, BUSY = range(6)  # bank words
BUS, READY, QUEUED, WRITES, OVERFLOW, ARMED, LAST_RANK, NODE, FIRST_BANK = range(9)  # channel words
DUE, UNTIL, OWED = range(3)  # rank words
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
) = range(24)  # node parameters
CHAN, BANK = 4, 3


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

    Lines are hashed over channels, then alternate over bank groups, then fill a row; bank, rank and group are
    permuted by row bits so that equal strides do not meet in one bank (Zhang, Zhu, Zhang, MICRO 2000).
    """
    n, bits = par(d, node, CHANNELS), par(d, node, CHANNEL_BITS)
    h = line ^ line >> 3 ^ line >> 6 ^ line >> 11
    ch = (h & n - 1 if bits >= 0 else h % n) + d.first[node]
    rest = line >> bits if bits >= 0 else line // n
    groups, banks, ranks = par(d, node, GROUP_BITS), par(d, node, BANK_BITS), par(d, node, RANK_BITS)
    upper = rest >> groups + par(d, node, COLUMN_BITS)
    row = upper >> banks + ranks
    group = (rest ^ upper) & (1 << groups) - 1
    bank = (upper ^ row) & (1 << banks) - 1
    rank = (upper >> banks ^ row >> banks) & (1 << ranks) - 1
    return ch, d.chan[(ch << CHAN) + FIRST_BANK] + (((rank << groups) + group << banks) + bank), row & 0xFFFFFFFF


@kernel
def rank_and_group(d: Any, ch: int, node: int, b: int) -> tuple[int, int]:
    """(rank, rank and bank group) of a bank within its channel."""
    group = b - d.chan[(ch << CHAN) + FIRST_BANK] >> par(d, node, BANK_BITS)
    return group >> par(d, node, GROUP_BITS), group


@kernel
def after_refresh(d: Any, ch: int, node: int, rank: int, t: int) -> int:
    """When the rank is free of refresh, from t on. One that falls due while the channel is busy is postponed."""
    r = (ch << 3) + rank << 2
    if t >= d.rank[r + DUE]:
        trefi = par(d, node, TREFI)
        begun = d.rank[r + DUE] + (t - d.rank[r + DUE]) // trefi * trefi
        d.rank[r + DUE] = begun + trefi
        if d.chan[(ch << CHAN) + QUEUED] > 2 and d.rank[r + OWED] < 8:  # JESD79-4: up to eight may be postponed
            d.rank[r + OWED] += 1
        else:
            # what is owed is paid one for one while busy, in the gaps while idle
            d.rank[r + UNTIL] = begun + par(d, node, TRFC)
            if d.chan[(ch << CHAN) + QUEUED] <= 2:
                d.rank[r + OWED] = 0
    return max(t, d.rank[r + UNTIL])


@kernel
def open_row(d: Any, ch: int, node: int, rank: int, b: int, row: int, t: int) -> int:
    """The bank turns to a row at t: when a column command may go."""
    o = b << BANK
    opened = d.bank[o + ROW]
    if opened >= 0:
        refreshed = d.bank[o + OPENED] < d.rank[((ch << 3) + rank << 2) + UNTIL]
        if refreshed or t - d.bank[o + FREE] > par(d, node, IDLE_CLOSE):
            opened = -1  # closed meanwhile, by a refresh or the idle timer
    if opened == row:
        d.bank[o + HITS] += 1
        return t
    if opened >= 0:
        t = max(t, d.bank[o + OPENED] + par(d, node, TRAS)) + par(d, node, TRP)
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
def data_start(d: Any, s: Any, ch: int, node: int, a: int, now: int) -> int:
    """When the bus could carry slot a's data, from now on. A batch of writes may have closed its row again."""
    b = s.bank[a << SLOT_SHIFT]
    o = b << BANK
    rank, group = rank_and_group(d, ch, node, b)
    t = d.chan[(ch << CHAN) + BUS]
    if rank != d.chan[(ch << CHAN) + LAST_RANK]:
        t += par(d, node, SWITCH)
    t = max(now, t, d.groups[(ch << 6) + group] + par(d, node, TCCD_L))
    if d.bank[o + ROW] != s.row[a << SLOT_SHIFT]:
        free = max(d.bank[o + FREE], d.bank[o + OPENED] + par(d, node, TRAS))
        t = max(t, free + par(d, node, TRP) + par(d, node, TRCD))
    return t


@kernel
def at_bus(d: Any, s: Any, a: int, now: int) -> tuple[int, int]:
    """Slot a's row is open: (when its data starts, or -1 if the bus is busy; when the channel's actor must act, -1)."""
    ch = s.source[a << SLOT_SHIFT]
    c = ch << CHAN
    if d.chan[c + BUS] <= now and d.chan[c + READY] < 0:
        return data_start(d, s, ch, d.chan[c + NODE], a, now), -1
    d.chan[c + READY] = push(s.next, d.chan[c + READY], a)
    if d.chan[c + ARMED]:
        return -1, -1
    d.chan[c + ARMED] = 1
    return -1, max(d.chan[c + BUS], now)


@kernel
def choose(d: Any, s: Any, ch: int, now: int) -> tuple[int, int]:
    """The bus is free: (which of the ready requests it takes, when that one's data starts)."""
    c = ch << CHAN
    node, tail = d.chan[c + NODE], d.chan[c + READY]
    before, best, x = tail, tail, tail
    start = -1
    while True:
        y = s.next[x]
        t = data_start(d, s, ch, node, y, now)
        if start < 0 or t < start:
            start, before, best = t, x, y
        if x == tail and now - s.at[y << SLOT_SHIFT] > par(d, node, STARVE):
            break  # the first in the list is ready longest
        x = y
        if x == tail:
            break
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
    charge(s, a, C_MEM_WAIT, start - s.at[a << SLOT_SHIFT])
    charge(s, a, C_MEM, par(d, node, TCL) + burst)
    d.chan[c + BUS] = start + burst
    d.chan[c + LAST_RANK] = rank
    d.groups[(ch << 6) + group] = start
    d.chan[c + QUEUED] -= 1
    if d.bank[(b << BANK) + ROW] != s.row[a << SLOT_SHIFT]:
        d.bank[(b << BANK) + ROW] = s.row[a << SLOT_SHIFT]
        d.bank[(b << BANK) + OPENED] = start - par(d, node, TRCD)
        d.bank[(b << BANK) + HITS] = 0
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


# ---- posted writes -------------------------------------------------------------------------------------------------


@kernel
def write_start(d: Any, ch: int, node: int, line: int, began: int, bus: int) -> int:
    """When a write's data could start, from `bus` on, rows being opened since the batch began. A read that holds the
    bank has to open its row again after it."""
    _, b, row = place(d, node, line)
    o = b << BANK
    t = max(began, d.bank[o + FREE])
    if d.bank[o + ROW] != row:
        t = max(t, d.bank[o + OPENED] + par(d, node, TRAS)) + par(d, node, TRP) + par(d, node, TRCD)
    return max(t, bus)


@kernel
def write_one(d: Any, ch: int, node: int, line: int, start: int) -> int:
    """A write's data passes the bus from `start` on: when it has."""
    _, b, row = place(d, node, line)
    o = b << BANK
    if d.bank[o + ROW] != row:
        d.bank[o + ROW] = row
        d.bank[o + OPENED] = start - par(d, node, TRCD)
        d.bank[o + HITS] = 0
    end = start + par(d, node, BURST)
    d.bank[o + FREE] = end + par(d, node, TURN)
    d.busy[2 * ch + 1] += par(d, node, BURST)
    return end


@rare
def write(d: Any, control: Any, series: Any, resources: int, edges: int, node: int, line: int, now: int) -> None:
    """A dirty line reaches its node. Writes gather a channel; a full batch is drained at once, banks that are ready
    first: the bus turns round once a batch and not once a write."""
    ch, _, _ = place(d, node, line)
    c = ch << CHAN
    n = d.chan[c + WRITES] + 1
    d.writes[(ch << 6) + n - 1] = line
    if n >= par(d, node, HIGH):
        began = max(now, d.chan[c + BUS]) + par(d, node, TURN)
        bus = began
        while n > par(d, node, LOW):
            best, when = 0, -1
            for i in range(n):
                t = write_start(d, ch, node, d.writes[(ch << 6) + i], began, bus)
                if when < 0 or t < when:
                    best, when = i, t
                if t == bus:
                    break
            bus = write_one(d, ch, node, d.writes[(ch << 6) + best], when)
            n -= 1
            d.writes[(ch << 6) + best] = d.writes[(ch << 6) + n]
        d.chan[c + BUS] = bus + par(d, node, TURN)
        note_busy(control, series, resources, edges + ch, began, bus - began)
    d.chan[c + WRITES] = n


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
