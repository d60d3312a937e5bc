"""What prefetchers ask for: lines for L1 and L2, and the line next to whatever the L2 is asked for (up/down).

Requests are real: they take prefetch buffers and bandwidth, and walk page tables where the TLBs do not know a page. What
L2 has is moved to L1 without a buffer, as for a load.

Up/down (L2): every access that the L2 sees, L1's prefetches included, fetches the next line of the page into L2, or the
previous one where the last two steps in that page led down. Source: AMD, Software Optimization Guide for Family 19h
(56665), "Data Prefetch", and PPR for Family 1Ah, MSR C000_0108.
"""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import EXCLUSIVE, peek, set_of, touch
from numasim.engine.coming import note_coming
from numasim.engine.fills import bring
from numasim.engine.jit import kernel, rare
from numasim.engine.slots import AT_OWN, find_inflight, leave_core, take_slot, wake_at
from numasim.engine.stacks import count
from numasim.engine.state import E_PREFETCH, SLOT_SHIFT
from numasim.traces.records import PREFETCH

LINES = 64  # of a 4 KiB page
PAGES = 16  # in which steps are followed
DOWN = 2  # so many steps down in a row: the previous line, not the next
NO_FRAME = 0xFFFFFFFF


@kernel
def in_l2(m: Any, core: int, line: int) -> bool:
    """Does the core's L2 have the line?"""
    return peek(m.l2, set_of(m.l2, core, line), line >> m.l2.bits) >= 0


@kernel
def same_page(pages: Any, va: int, there: int) -> bool:
    """Do both addresses have one translation?"""
    return va >> 12 == there >> 12 or va >> 21 == there >> 21 and pages.block[va >> 21] & 3 > 0


@kernel
def mapped(pages: Any, va: int) -> bool:
    """Is there a page at the address?"""
    if va < 0 or va >> 21 >= pages.blocks or pages.block[va >> 21] < 0:
        return False
    return pages.block[va >> 21] & 3 > 0 or pages.frame[va >> 12] != NO_FRAME


@rare
def ask_l2(m: Any, t: int, core: int, klass: int, va: int, line: int, now: int) -> None:
    """Ask for a line for L2, unless it is there, on its way, or no prefetch buffer is free. va: an address in it."""
    o = m.core
    if o.prefetches[core] <= 0 or o.nfree[core] <= 0 or in_l2(m, core, line) or find_inflight(m, core, line) >= 0:
        return
    a = take_slot(m, core, t, line, va, klass, PREFETCH, now, -1, 0)
    leave_core(m, a, core, line, 0, now)
    count(m.out, klass, E_PREFETCH)


@rare
def up_or_down(m: Any, t: int, core: int, klass: int, va: int, line: int, now: int) -> None:
    """The L2 is asked for a line: fetch its neighbour."""
    runs, page = m.core.runs, line // LINES
    o = (core * PAGES + (page & PAGES - 1)) << 2
    if runs[o] != page:
        runs[o] = page
        runs[o + 2] = 0
    elif line < runs[o + 1]:
        runs[o + 2] = min(runs[o + 2] + 1, DOWN)
    elif line > runs[o + 1]:
        runs[o + 2] = 0
    runs[o + 1] = line
    other = line - 1 if runs[o + 2] == DOWN else line + 1
    if other // LINES == page:
        ask_l2(m, t, core, klass, (va & ~4095) | (other & LINES - 1) << 6, other, now)


@rare
def ask_l1(m: Any, t: int, core: int, klass: int, va: int, there: int, now: int) -> bool:
    """An access to `va` makes a prefetcher want the line of address `there` in L1, and in L2. Can it go on? (False: no
    prefetch buffer is free.)"""
    s, o = m.slot, m.core
    line = tlb.physical(m.pages, there)
    if peek(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) >= 0:
        return True
    b = find_inflight(m, core, line)
    if b >= 0:
        if s.kind[b << SLOT_SHIFT] == PREFETCH:
            s.inner[b << SLOT_SHIFT] = 1
        return True
    known = same_page(m.pages, va, there) or tlb.first_level(m.tlb, core, m.pages.block[there >> 21] & 3, there)
    i = -1
    if known:
        i = touch(m.l2, set_of(m.l2, core, line), line >> m.l2.bits)
        if i >= 0:
            bring(m, core, m.front.group[t], line, m.l2.tag[i] & EXCLUSIVE, now + m.p.l2)
            note_coming(o, core, line, now + m.p.l2)
    if i < 0:
        if o.prefetches[core] <= 0 or o.nfree[core] <= 0:
            return False
        a = take_slot(m, core, t, line, there, klass, PREFETCH, now, -1, 0)
        s.inner[a << SLOT_SHIFT] = 1
        count(m.out, klass, E_PREFETCH)
        if known:
            leave_core(m, a, core, line, 0, now + m.p.l2)
        else:  # to the TLBs
            s.stage[a << SLOT_SHIFT] = AT_OWN
            wake_at(m, a, now)
    if m.p.up_down:
        up_or_down(m, t, core, klass, there, line, now + m.p.l2)
    return True
