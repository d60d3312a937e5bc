"""What prefetchers ask for: lines for L1 and L2, and the line next to one that the L2 is asked for (up/down).

Requests are real: they take prefetch buffers and bandwidth, and walk page tables where the TLBs do not know a page.
What L2 has is moved to L1 without a buffer, as for a load.

Up/down (L2) "uses memory access history to determine whether to fetch the next or previous line for all memory
accesses" (AMD, Software Optimization Guide for Family 19h, 56665; PPR for Family 1Ah, MSR C000_0108). The history is
not published; here it is that of the region prefetcher (regions.py): for an instruction that fills the pages it falls
into, the next line, or the previous one where L2 has the next or it has been asked for. (Measured on Zen 5: random
loads of all lines of a page wait for memory a third of the time, as with both neighbours fetched; random loads all over
the memory find none of their neighbours.)
"""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import peek, set_of
from numasim.engine.coming import note_coming
from numasim.engine.jit import kernel, rare
from numasim.engine.look import look_further
from numasim.engine.slots import find_inflight, leave_core, take_slot
from numasim.engine.stacks import count
from numasim.engine.state import E_PREFETCH, SLOT_SHIFT
from numasim.traces.records import PREFETCH

LINES = 64  # of a 4 KiB page
NO_FRAME = 0xFFFFFFFF


@kernel
def in_l2(m: Any, core: int, line: int) -> bool:
    """Does the core's L2 have the line?"""
    return peek(m.l2, set_of(m.l2, core, line), line >> m.l2.bits) >= 0


@kernel
def same_page(pages: Any, va: int, there: int) -> bool:
    """Do both addresses have one translation?"""
    return va >> 12 == there >> 12 or (va >> 21 == there >> 21 and pages.block[va >> 21] & 3 > 0)


@kernel
def mapped(pages: Any, va: int) -> bool:
    """Is there a page at the address?"""
    if va < 0 or va >> 21 >= pages.blocks or pages.block[va >> 21] < 0:
        return False
    return pages.block[va >> 21] & 3 > 0 or pages.frame[va >> 12] != NO_FRAME


@rare
def up_or_down(m: Any, t: int, core: int, klass: int, va: int, line: int, now: int) -> None:
    """The L2 sees a demand access for a line: it asks for the next one of the page, or, where it has that or waits for
    it, for the previous one."""
    o = m.core
    for other in (line + 1, line - 1):
        if o.prefetches[core] <= 0 or o.nfree[core] <= 0:
            return
        if other // LINES == line // LINES and not in_l2(m, core, other) and find_inflight(m, core, other) < 0:
            there = (va & ~4095) | (other & LINES - 1) << 6
            a = take_slot(m, core, t, other, there, klass, PREFETCH, now, -1, 0)
            leave_core(m, a, core, other, 0, now)
            count(m.out, klass, E_PREFETCH)
            return


@rare
def ask_l1(m: Any, t: int, core: int, klass: int, va: int, known: bool, now: int) -> bool:
    """Ask for the line of an address, for L1 and L2. known: its page needs no look-up. Can the prefetcher go on?
    (False: no prefetch buffer is free.)"""
    s, o = m.slot, m.core
    line = tlb.physical(m.pages, va)
    if peek(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) >= 0:
        return True
    b = find_inflight(m, core, line)
    if b >= 0:
        if s.kind[b << SLOT_SHIFT] == PREFETCH:
            s.inner[b << SLOT_SHIFT] = 1
        return True
    free = o.prefetches[core] > 0 and o.nfree[core] > 0
    if not free and not (known and in_l2(m, core, line)):
        return False
    beyond, end, _, level, _ = look_further(m, core, m.front.group[t], va, klass, line, 0, now, 0, 1 if known else -1)
    if beyond < 0:
        note_coming(o, core, line, end)
    else:
        a = take_slot(m, core, t, line, va, klass, PREFETCH, end, -1, 0)
        s.inner[a << SLOT_SHIFT] = 1
        count(m.out, klass, E_PREFETCH)
        leave_core(m, a, core, beyond, level, end)
    return True
