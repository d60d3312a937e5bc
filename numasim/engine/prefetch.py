"""Hardware prefetchers. They ask for real lines, which take real buffers and bandwidth.

Streamer (L2): two accesses in a row to rising lines of a 4 KiB page make it run ahead in that page, up to `distance`
lines, `degree` at a time. Next line and IP stride (L1): the line after a missed one; the address one stride on from an
instruction whose last three strides were equal. Source: Intel 64 and IA-32 Architectures Optimization Reference Manual,
"Data prefetching".

With a distance of more than one, IP stride runs ahead as a streamer does, by lines at least, and if `ip_stride_pages`
into further pages, which it has translated first. Source: AMD, Software Optimization Guide
for Family 19h (56665), "Data Prefetch": L1 Stream and L1 Stride; how far they run is not published. The region
prefetcher and up/down: regions.py, requests.py.
"""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import peek, set_of
from numasim.engine.jit import rare
from numasim.engine.regions import train_regions
from numasim.engine.requests import LINES, ask_l1, in_l2, mapped, same_page
from numasim.engine.slots import find_inflight, leave_core, take_slot
from numasim.engine.stacks import count
from numasim.engine.state import E_PREFETCH, SLOT_SHIFT
from numasim.traces.records import PREFETCH

PAGE, LAST, RUNS, ASKED = range(4)
STREAMS, SITES = 16, 64
AT_ONCE = 4  # lines that IP stride asks for at a time


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
def steady_stride(strides: Any, core: int, site: int, va: int) -> int:
    """An instruction loads from an address: its stride, if the last ones were equal, else 0."""
    o = (core * SITES + (site & SITES - 1)) << 3
    if strides[o] != site + 1:
        strides[o] = site + 1
        strides[o + 1] = va
        strides[o + 2] = 0
        strides[o + 3] = 0
        return 0
    stride = va - strides[o + 1]
    strides[o + 1] = va
    if stride == 0:
        return 0
    if stride != strides[o + 2]:
        strides[o + 2] = stride
        strides[o + 3] = 0
        strides[o + 4] = va
        strides[o + 5] = va
        return 0
    strides[o + 3] = min(strides[o + 3] + 1, 3)
    return stride if strides[o + 3] >= 2 else 0


@rare
def run_on(m: Any, t: int, core: int, klass: int, va: int, stride: int, now: int) -> None:
    """An instruction goes on in equal steps: ask for the next lines, as far ahead as IP stride runs."""
    strides, o = m.core.strides, (core * SITES + (klass & SITES - 1)) << 3
    if va >> 6 == va - stride >> 6:
        return  # still in the same line
    step = stride if abs(stride) >= 64 else 64 if stride > 0 else -64
    if m.p.stride_pages:
        translate_on(m, t, core, klass, va, step, o, now)
    ahead = max((strides[o + 4] - va) // step, 0)  # steps that have been asked for
    asked = 0
    while ahead < m.p.stride_distance and asked < AT_ONCE:
        there = va + (ahead + 1) * step
        known = same_page(m.pages, va, there)
        if not known:
            if not m.p.stride_pages or not mapped(m.pages, there):
                break
            size = m.pages.block[there >> 21] & 3
            known = tlb.first_level(m.tlb, core, size, there)
            if not known and not tlb.second_level(m.tlb, core, size, there):
                break  # its translation is under way
        if not ask_l1(m, t, core, klass, there, known, now):
            break
        ahead += 1
        asked += 1
    strides[o + 4] = va + ahead * step


@rare
def translate_on(m: Any, t: int, core: int, klass: int, va: int, step: int, o: int, now: int) -> None:
    """Have the pages within IP stride's reach translated: of each that no TLB knows its first line is asked for, the
    others only once it is known."""
    strides = m.core.strides
    ahead = max((strides[o + 5] - va) // step, 0)  # steps up to which pages have been asked for
    before, asked = va + ahead * step, 0
    while asked < AT_ONCE:
        size = m.pages.block[before >> 21] & 3
        page = before >> 12 + 9 * size << 12 + 9 * size
        left = page + (4096 << 9 * size) - 1 - before if step > 0 else before - page  # bytes of its page
        ahead += left // abs(step) + 1
        there = va + ahead * step
        if ahead > m.p.stride_distance or not mapped(m.pages, there):
            break
        size = m.pages.block[there >> 21] & 3
        if not tlb.first_level(m.tlb, core, size, there) and not tlb.second_level(m.tlb, core, size, there):
            if not ask_l1(m, t, core, klass, there, False, now):
                break
            asked += 1
        before = there
    strides[o + 5] = before


@rare
def fetch_l1(m: Any, t: int, core: int, klass: int, va: int, now: int) -> None:
    """Ask for the line of an address, for L1, if it is within reach and on nobody's way."""
    o = m.core
    if va & 4095 == 0 or o.fills[core] <= 1 or o.nfree[core] <= 1:
        return
    line = tlb.physical(m.pages, va)
    known = peek(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) >= 0 or in_l2(m, core, line)
    if not known and find_inflight(m, core, line) < 0:
        a = take_slot(m, core, t, line, va, klass, PREFETCH, now + m.p.l2, -1, 1)
        m.slot.demand[a << SLOT_SHIFT] = 0
        leave_core(m, a, core, line, 0, now + m.p.l2)
        count(m.out, klass, E_PREFETCH)


@rare
def train_strides(m: Any, t: int, core: int, klass: int, va: int, now: int) -> None:
    """The L1 sees a load of an instruction."""
    stride = steady_stride(m.core.strides, core, klass, va)
    if stride != 0 and m.p.stride_distance > 1:
        run_on(m, t, core, klass, va, stride, now)
    elif stride != 0 and va + stride >> 12 == va >> 12 and va + stride >> 6 != va >> 6:
        fetch_l1(m, t, core, klass, va + stride, now)


@rare
def see_load(m: Any, t: int, core: int, klass: int, va: int, now: int) -> None:
    """The L1 sees a load: those of its prefetchers that follow instructions learn."""
    if m.p.ip_stride:
        train_strides(m, t, core, klass, va, now)
    if m.p.region or m.p.up_down:
        train_regions(m, t, core, klass, va, now)
