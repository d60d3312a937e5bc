"""Page walks of a virtual machine, in two dimensions: each guest-physical address on the way is itself translated, by
the host's page table. (AMD APM vol. 2, 15.25; Intel SDM vol. 3C, 28.2 and 28.3; Bhargava et al., ASPLOS 2008.)

A step of a walk is a number. 0: the page is translated. level: the guest's entry of that level is read; of native walks
these are all there are. level | host << HOST: the host's entry of level `host` is read, for the guest-physical address
of the guest's table of that level (0: of the page itself). level | ASK: the nested TLB is asked for that address.

The paging-structure caches hold the guest's entries with the table's physical address (Intel's "combined mappings"), so
a walk that begins below one asks for nothing before it reads; the host's entries (marked HOSTS) share them.
"""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import known, learn_once
from numasim.engine.jit import kernel, rare

HOST = 3
ASK = 7 << HOST
HOSTS = 1 << 28
SPREAD = 0x9E3779B1  # 2**32 over the golden ratio (Knuth vol. 3, 6.4)


@kernel
def begin(m: Any, core: int, klass: int, va: int) -> int:
    """The first step of a walk for a page of this class."""
    if m.tlb.host < 0:
        return tlb.walk_from(m.tlb, core, klass, va)
    level = tlb.walk_from(m.tlb, core, m.pages.guest[va >> 21] & 3, va)
    return level | ASK if level == 4 else level


@kernel
def entry_line(pages: Any, va: int, step: int) -> int:
    """Physical line of the entry that a step reads."""
    if step < 1 << HOST:
        return tlb.entry_line(pages, va, step)
    return host_line(pages, guest_frame(pages, va, step & 7), step >> HOST)


@kernel
def go_on(m: Any, core: int, klass: int, va: int, step: int) -> int:
    """The entry that a step reads has arrived: the next step."""
    if m.tlb.host < 0:
        return tlb.walked(m.tlb, core, klass, va, step)
    return walked(m, core, klass, va, step)


@rare
def guest_frame(pages: Any, va: int, level: int) -> int:
    """Guest-physical 4 KiB frame of the guest's table of a level, 0: of the page.

    Tables and small pages lie all over the lower half of a node's 2 << guest_bits numbers: what tells them apart (a
    table's frame on the host, which comes from a small pool: memory/frames.py; a page's place in the program) is spread
    by a multiplication with the golden ratio, of pages by the run. The upper half is for large pages.
    """
    frame, large = pages.pml4, False
    if level == 3:
        frame = pages.pdpt[va >> 39]
    elif level == 2:
        frame = pages.pd[va >> 30]
    elif level == 1:
        frame = pages.pt[va >> 21]
    elif level == 0:
        large = pages.guest[va >> 21] & 3 > 0
        frame = pages.guest[va >> 21] >> 16 << 9 | va >> 12 & 511 if large else pages.frame[va >> 12]
    bits, shift = pages.guest_bits, pages.node_shift - 6
    within = frame & (1 << shift) - 1
    if large:
        within |= 1 << bits
    elif level == 0 and pages.guest_run > 0:
        run = pages.guest_run
        within = ((va >> 12 + run) * SPREAD << run | va >> 12 & (1 << run) - 1) & (1 << bits) - 1
    else:
        within = within * SPREAD & (1 << bits) - 1
    return frame >> shift << bits + 1 | within


@rare
def host_line(pages: Any, frame: int, level: int) -> int:
    """Physical line of the host's entry of a level for a guest-physical frame. The tables of a node's memory lie in the
    upper half of its lines (memory/frames.py), level by level, each as large as all of that memory needs."""
    bits = pages.guest_bits
    within = frame & (2 << bits) - 1
    return ((frame >> bits + 1 << 1 | 1) << pages.node_shift - 1) + (level - 1 << bits - 2) + (within >> 9 * level - 6)


@rare
def asked(m: Any, core: int, klass: int, va: int, level: int) -> int:
    """The nested TLB has been asked for what a level's table, or the page, has for an address: the next step."""
    t, frame = m.tlb, guest_frame(m.pages, va, level)
    if known(t.nested, core, frame >> 9 * t.host):
        return reached(m, core, klass, va, level)
    host = t.host + 1
    while host < 4 and not known(tlb.structure_cache(t, host), core, HOSTS | frame >> 9 * host):
        host += 1
    return level | host << HOST


@rare
def reached(m: Any, core: int, klass: int, va: int, level: int) -> int:
    """The physical address of the guest's table of a level, or (0) of the page, is known: the next step."""
    if level == 0:
        tlb.learn_page(m.tlb, core, klass, va)
    elif level < 4:
        learn_once(tlb.structure_cache(m.tlb, level), core, va >> 12 + 9 * level)
    return level


@rare
def walked(m: Any, core: int, klass: int, va: int, step: int) -> int:
    """`go_on` of a nested walk."""
    t, level, host = m.tlb, step & 7, step >> HOST
    if host == 0:
        return (level - 1 if level > (m.pages.guest[va >> 21] & 3) + 1 else 0) | ASK
    frame = guest_frame(m.pages, va, level)
    if host > t.host + 1:
        learn_once(tlb.structure_cache(t, host - 1), core, HOSTS | frame >> 9 * (host - 1))
        return level | host - 1 << HOST
    learn_once(t.nested, core, frame >> 9 * t.host)
    return reached(m, core, klass, va, level)
