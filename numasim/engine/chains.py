"""The hot path: plain chains of loads that hit L1 (packed.py), many in one go."""

from typing import Any

from numasim.engine.cache import set_of, touch
from numasim.engine.jit import kernel
from numasim.engine.packed import ADDRESS, CHAIN, CLASS, CLASS_MASK, INSNS_MASK, LAGS
from numasim.engine.state import WIN_SHIFT
from numasim.engine.tlb import first_level, physical
from numasim.engine.window import entry_of


@kernel
def links(m: Any, t: int, core: int, a: int, now: int, bound: int, bits: int, budget: int) -> tuple[int, int]:
    """A plain chain of loads that hit L1, from the next record on: (how many, when the next executes).

    Ends before a record that is anything else and before another actor's turn (its key is `bound`).
    """
    f, w, c, pages = m.front, m.win, m.l1, m.pages
    i = first = f.pos[t]
    end = min(f.end[t], i + budget)
    ring, mask = f.trace[t], f.mask[t]
    ready, done, insns = now, now, f.insns[t]
    x = entry_of(f, t, i - 1)
    if i <= f.head[t]:
        return 0, now
    if i < end and m.word1[ring + (i & mask)] >> CHAIN & 1:
        ready = max(now, w.comp[x << WIN_SHIFT] + (m.word1[ring + (i & mask)] >> LAGS & 127) * m.p.cycle)
    while i < end and ready << bits | a < bound:
        word1 = m.word1[ring + (i & mask)]
        if word1 >> CHAIN & 1 == 0:
            break
        word0 = m.word0[ring + (i & mask)]
        va = word0 & ADDRESS
        if not first_level(m.tlb, core, pages.block[va >> 21] & 3, va):
            break
        line = physical(pages, va)
        if touch(c, set_of(c, core, line), line >> c.bits) < 0:
            break
        m.out.l1[word0 >> CLASS & CLASS_MASK] += 1
        done = ready + m.p.l1
        insns += word1 & INSNS_MASK
        i += 1
        ready = done + ((m.word1[ring + (i & mask)] >> LAGS & 127) * m.p.cycle if i < end else 0)
    if i > first:
        f.pos[t] = i
        f.head[t] = i - 1
        f.shift[t] += i - first
        x = entry_of(f, t, i - 1)
        w.comp[x << WIN_SHIFT] = done
        at, last = ring + (i - 1 & mask), m.word1[ring + (i - 1 & mask)] & INSNS_MASK
        w.number[x << WIN_SHIFT] = i - 1
        w.word0[x << WIN_SHIFT] = m.word0[at]
        w.word1[x << WIN_SHIFT] = m.word1[at]
        w.at[x << WIN_SHIFT] = done - m.p.l1
        w.insns[x << WIN_SHIFT] = insns - last
        f.insns[t] = insns
        f.latest[t] = max(f.latest[t], done)
        if i == end or m.word1[ring + (i & mask)] >> CHAIN & 1 == 0:  # the next record needs no value of this one
            ready = done - m.p.l1 + last * f.slot[t]
    return i - first, ready
