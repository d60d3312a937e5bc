"""Coherence: who has a line. MESI with forwarding: a modified or exclusive line comes from its owner's core.

While one core alone uses a page, its lines are granted exclusive without a look-up. When a second core comes, the page
is shared for good: from then on a miss asks the directory, which serialises the requests of a line: the next one is
looked at when the line has reached the core before. Evictions do not report; a forward probes the owner.
"""

from typing import Any

from numasim.engine.cache import DIRTY, EXCLUSIVE, peek, remove, set_of, sliced_set_of
from numasim.engine.jit import kernel, rare
from numasim.engine.lists import pop, push
from numasim.engine.state import SLOT_SHIFT
from numasim.engine.vectors import lowest

SHARED = 1 << 15  # flag in Directory.page
BUSY, WAITING, FIELD = 0, 20, 0xFFFFF  # fields of Directory.state
MEMORY, CORE, CORE_DIRTY, CACHE = range(4)  # who gives a line: memory or the own L3, a core, another domain's L3
PRIVATE, ASK, GRANTED, EXCLUSIVELY = range(4)  # Slot.shared


@kernel
def set_bit(d: Any, line: int, core: int) -> None:
    """The core may have the line."""
    d.mask[line * d.words + core // 62] |= 1 << core % 62


@rare
def becomes_shared(d: Any, s: Any, o: Any, at_l3: int, in_core: int, page: int) -> None:
    """A second core touches the page. What the first has on its way is entered, or has to ask when it comes there."""
    first = d.page[page] - 1
    d.page[page] |= SHARED
    for k in range(o.slots):
        a = first << o.slot_bits | k
        i = a << SLOT_SHIFT
        if o.inflight[a] >= 0 and s.page[i] == page and s.shared[i] == PRIVATE and s.level[i] == 0:
            if s.stage[i] == at_l3:
                s.shared[i] = ASK
            elif s.stage[i] > at_l3 and s.stage[i] != in_core:
                d.state[o.inflight[a]] |= a + 1 << BUSY
                set_bit(d, o.inflight[a], first)
                s.shared[i] = EXCLUSIVELY


@kernel
def is_shared(d: Any, s: Any, o: Any, at_l3: int, in_core: int, core: int, page: int) -> bool:
    """Does another core use this page too? The first core to touch it claims it."""
    p = d.page[page]
    if p == core + 1:
        return False
    if p == 0:
        d.page[page] = core + 1
        return False
    if p & SHARED == 0:
        becomes_shared(d, s, o, at_l3, in_core, page)
    return True


@kernel
def flags_at(l1: Any, l2: Any, core: int, line: int) -> int:
    """Flags of the line in a core's caches, 0 if it has none of it."""
    i, j = peek(l1, set_of(l1, core, line), line >> l1.bits), peek(l2, set_of(l2, core, line), line >> l2.bits)
    return (l1.tag[i] & 7 if i >= 0 else 0) | (l2.tag[j] & 7 if j >= 0 else 0)


@kernel
def drop(l1: Any, l2: Any, core: int, line: int) -> int:
    """Take the line from a core: its flags there."""
    return remove(l1, set_of(l1, core, line), line >> l1.bits) | remove(l2, set_of(l2, core, line), line >> l2.bits)


@kernel
def clean(l1: Any, l2: Any, core: int, line: int) -> None:
    """The core keeps the line, shared and unmodified."""
    i, j = peek(l1, set_of(l1, core, line), line >> l1.bits), peek(l2, set_of(l2, core, line), line >> l2.bits)
    if i >= 0:
        l1.tag[i] &= ~(EXCLUSIVE | DIRTY)
    if j >= 0:
        l2.tag[j] &= ~(EXCLUSIVE | DIRTY)


@rare
def ask_core(l1: Any, l2: Any, core: int, line: int, write: int) -> int:
    """Probe a core that may have the line: its flags there or 0. A write takes the line, a read leaves it shared."""
    flags = flags_at(l1, l2, core, line)
    if flags and write:
        drop(l1, l2, core, line)
    elif flags & (EXCLUSIVE | DIRTY):
        clean(l1, l2, core, line)
    return flags


@rare
def ask_cache(l3: Any, domain: int, line: int, write: int) -> int:
    """The same for a domain's L3."""
    s = sliced_set_of(l3, domain, line)
    i = peek(l3, s, line >> l3.bits)
    if i < 0:
        return 0
    flags = l3.tag[i] & 7
    if write:
        remove(l3, s, line >> l3.bits)
    else:
        l3.tag[i] &= ~DIRTY
    return flags


@rare
def ask(
    d: Any, l1: Any, l2: Any, l3: Any, domain: Any, core: int, line: int, page: int, write: int
) -> tuple[int, int, int, int, int]:
    """A request reaches the directory, which is free to serve it.

    Returns (who gives the line, that one's domain, 1 if it is granted exclusively, copies invalidated, DIRTY if the
    line's only up-to-date copy moves with it).
    """
    home = domain[core]
    mine = peek(l3, sliced_set_of(l3, home, line), line >> l3.bits) >= 0
    first = (d.page[page] & SHARED - 1) - 1
    if first != core and first >= 0:
        set_bit(d, line, first)  # it may have the line from the time when the page was its own
    giver, where, dirty, killed, others, seen = MEMORY, home, 0, 0, 0, 1 << home
    for k in range(d.words):
        left = d.mask[line * d.words + k]
        d.mask[line * d.words + k] = 0
        while left:
            c = k * 62 + lowest(left)
            left &= left - 1
            if c == core:
                continue
            flags = ask_core(l1, l2, c, line, write)
            if flags:
                owns = flags & (EXCLUSIVE | DIRTY) != 0
                far = domain[c] != home
                useful = owns or write or not (far or mine)  # a clean shared copy far away is no better than memory
                if useful and (giver == MEMORY or flags & DIRTY or (write and far)):
                    giver, where = CORE_DIRTY if flags & DIRTY else CORE, domain[c]
                dirty |= flags & DIRTY
                if write:
                    killed += 1
                else:
                    others += 1
                    set_bit(d, line, c)
            if seen >> domain[c] & 1 == 0:  # its L3 may have what the core has evicted
                seen |= 1 << domain[c]
                flags = ask_cache(l3, domain[c], line, write)
                if flags and giver == MEMORY and (not mine or flags & DIRTY):
                    giver, where = CACHE, domain[c]
                dirty |= flags & DIRTY
                if flags and not write:
                    others += 1
                    set_bit(d, line, c)
    set_bit(d, line, core)
    return giver, where, 1 if write or others == 0 else 0, killed, dirty


@kernel
def is_busy(d: Any, line: int) -> bool:
    """Is the line on its way to a core?"""
    return d.state[line] >> BUSY & FIELD != 0


@kernel
def hold(d: Any, line: int, a: int) -> None:
    """The line is on its way with slot a until `release`."""
    d.state[line] |= a + 1 << BUSY


@kernel
def wait(d: Any, nxt: Any, line: int, a: int) -> None:
    """Slot a waits for its turn."""
    tail = push(nxt, (d.state[line] >> WAITING & FIELD) - 1, a)
    d.state[line] = d.state[line] & ~(FIELD << WAITING) | tail + 1 << WAITING


@kernel
def release(d: Any, nxt: Any, line: int) -> int:
    """The line has arrived: the slot whose turn it is now, -1 for none."""
    d.state[line] &= ~(FIELD << BUSY)
    tail = (d.state[line] >> WAITING & FIELD) - 1
    if tail < 0:
        return -1
    a, tail = pop(nxt, tail)
    d.state[line] = d.state[line] & ~(FIELD << WAITING) | tail + 1 << WAITING
    return a
