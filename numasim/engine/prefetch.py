"""Hardware prefetchers. They ask for real lines, which take real buffers and bandwidth.

Streamer (L2): two accesses in a row to rising lines of a 4 KiB page make it run ahead in that page, up to `distance`
lines, `degree` at a time. Next line and IP stride (L1): the line after a missed one; the address one stride on from an
instruction whose last two strides were equal. Source: Intel 64 and IA-32 Architectures Optimization Reference Manual,
"Data prefetching".
"""

from typing import Any

from numasim.engine.cache import peek, set_of
from numasim.engine.jit import kernel, rare
from numasim.engine.slots import find_inflight, leave_core, take_slot
from numasim.engine.stacks import count
from numasim.engine.state import E_PREFETCH, SLOT_SHIFT
from numasim.engine.tlb import physical
from numasim.traces.records import PREFETCH

PAGE, LAST, RUNS, ASKED = range(4)
LINES = 64  # of a 4 KiB page, beyond which neither runs
STREAMS, SITES = 16, 64


@kernel
def in_l2(m: Any, core: int, line: int) -> bool:
    """Does the core's L2 have the line?"""
    return peek(m.l2, set_of(m.l2, core, line), line >> m.l2.bits) >= 0


@rare
def run_ahead(m: Any, t: int, core: int, o: int, va: int, line: int, klass: int, now: int) -> None:
    """A stream goes on: ask for the next lines."""
    streams = m.core.streams
    base = line & ~(LINES - 1)
    limit = min(line + m.p.distance, base + LINES - 1)
    nextl = max(streams[o + ASKED], line) + 1
    asked = 0
    while nextl <= limit and asked < m.p.degree and m.core.prefetches[core] > 0 and m.core.nfree[core] > 0:
        if not in_l2(m, core, nextl) and find_inflight(m, core, nextl) < 0:
            there = (va & ~4095) | (nextl & LINES - 1) << 6
            a = take_slot(m, core, t, nextl, there, klass, PREFETCH, now, -1, 0)
            leave_core(m, a, core, nextl, 0, now)
            count(m.out, klass, E_PREFETCH)
            asked += 1
        streams[o + ASKED] = nextl
        nextl += 1


@rare
def train_streams(m: Any, t: int, core: int, va: int, line: int, klass: int, now: int) -> None:
    """The L2 sees a demand access for a line."""
    streams = m.core.streams
    page = line // LINES
    o = (core * STREAMS + (page & STREAMS - 1)) << 2
    if streams[o + PAGE] != page:
        streams[o + PAGE] = page
        streams[o + LAST] = line
        streams[o + RUNS] = 0
        streams[o + ASKED] = 0
        return
    step = line - streams[o + LAST]
    if step == 0:
        return
    streams[o + LAST] = line
    if step < 0 or step > 4:
        streams[o + RUNS] = 0
        return
    streams[o + RUNS] += 1
    run_ahead(m, t, core, o, va, line, klass, now)


@rare
def next_stride(strides: Any, core: int, site: int, va: int) -> int:
    """An instruction loads from an address: the address expected next, -1 if nothing is."""
    o = (core * SITES + (site & SITES - 1)) << 2
    if strides[o] != site + 1:
        strides[o] = site + 1
        strides[o + 1] = va
        strides[o + 2] = 0
        strides[o + 3] = 0
        return -1
    stride = va - strides[o + 1]
    strides[o + 1] = va
    if stride == 0:
        return -1
    if stride != strides[o + 2]:
        strides[o + 2] = stride
        strides[o + 3] = 0
        return -1
    strides[o + 3] = min(strides[o + 3] + 1, 3)
    ahead = va + stride
    return ahead if strides[o + 3] >= 2 and ahead >> 12 == va >> 12 and ahead >> 6 != va >> 6 else -1


@rare
def fetch_l1(m: Any, t: int, core: int, klass: int, va: int, now: int) -> None:
    """Ask for the line of an address, for L1, if it is within reach and on nobody's way."""
    o = m.core
    if va & 4095 == 0 or o.fills[core] <= 1 or o.nfree[core] <= 1:
        return
    line = physical(m.pages, va)
    known = peek(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) >= 0 or in_l2(m, core, line)
    if not known and find_inflight(m, core, line) < 0:
        a = take_slot(m, core, t, line, va, klass, PREFETCH, now + m.p.l2, -1, 1)
        m.slot.demand[a << SLOT_SHIFT] = 0
        leave_core(m, a, core, line, 0, now + m.p.l2)
        count(m.out, klass, E_PREFETCH)


@rare
def train_strides(m: Any, t: int, core: int, klass: int, va: int, now: int) -> None:
    """The L1 sees a load of an instruction."""
    ahead = next_stride(m.core.strides, core, klass, va)
    if ahead >= 0:
        fetch_l1(m, t, core, klass, ahead, now)
