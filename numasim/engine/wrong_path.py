"""What a core loads on the wrong path, after a branch that was guessed wrong and until it is resolved.

The records of a trace are those of the right path. Both paths meet again where the next operation begins (a loop over
look-ups comes to the next key whether the last was guessed to end here or there), and what a wrong path loads from
there on, the right one loads later: it is no waste, but a prefetch. (Eyerman, Van den Steen, Heirman and Hur, ISPASS
2023, find the addresses of wrong paths in a trace of right ones by where both converge.) So of each later operation
that the window has room for, what comes before its first branch is followed: the loads whose needs are met by then.
Nothing is known of what lies between the branch and its operation's end, or behind a further branch: it loads nothing.
"""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import peek, set_of
from numasim.engine.coming import note_coming, when_there
from numasim.engine.jit import kernel, rare
from numasim.engine.look import look_further
from numasim.engine.packed import (
    ADDRESS,
    CLASS,
    CLASS_MASK,
    DEPS,
    FWD,
    INSNS_MASK,
    KIND,
    KIND_MASK,
    LAGS,
    OP_END_BIT,
)
from numasim.engine.slots import find_inflight, leave_core, take_slot
from numasim.engine.state import C_L2, RING, SLOT_SHIFT, WIN_SHIFT
from numasim.engine.window import entry_of
from numasim.traces.records import BRANCH, COMPUTE, COUNT_OFF, COUNT_ON, LOAD, MARK, PREFETCH


@kernel
def soonest(p: Any) -> int:
    """How long at least until a value is there that is still open: it comes from the L3 or from beyond."""
    return int(p.l2 + 2 * p.mesh + p.l3)


@kernel
def starts(m: Any, t: int, j: int, word1: int, at: int) -> int:
    """When record j, which has not entered, would have what it needs; -1 if that is open."""
    f, w = m.front, m.win
    deps, lags, back = word1 >> DEPS & 0xFFFFFF, word1 >> LAGS, word1 >> FWD & 255
    while deps or back:
        d, lag = deps & 255, (lags & 127) * m.p.cycle
        if deps == 0:
            d, lag, back = back, m.p.forward - m.p.l1, 0
        if d and j - d >= f.head[t]:  # else it has retired
            done = w.comp[entry_of(f, t, j - d) << WIN_SHIFT]
            if done < 0:
                return -1
            at = max(at, done + lag)
        deps >>= 8
        lags >>= 7
    return at


@rare
def load(m: Any, t: int, word0: int, start: int) -> int:
    """A load on the wrong path: when it has its value, -1 if its line is on its way, -2 if no buffer is free for it."""
    s, o, core = m.slot, m.core, m.front.core[t]
    va, klass = word0 & ADDRESS, word0 >> CLASS & CLASS_MASK
    line = tlb.physical(m.pages, va)
    known = tlb.first_level(m.tlb, core, m.pages.block[va >> 21] & 3, va)
    if known and peek(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) >= 0:
        return max(start + m.p.l1, when_there(o.coming, core, line))
    if find_inflight(m, core, line) >= 0:
        return -1
    if o.fills[core] <= 1 or o.nfree[core] <= 1:
        return -2
    beyond, end, _, level, cause = look_further(
        m, core, m.front.group[t], va, klass, line, 0, start, 0, 1 if known else -1
    )
    if beyond < 0:
        if cause == C_L2:
            note_coming(o, core, line, end)
        return end
    a = take_slot(m, core, t, line, va, klass, PREFETCH, end, -1, 1)
    s.demand[a << SLOT_SHIFT] = 0
    s.inner[a << SLOT_SHIFT] = 1
    leave_core(m, a, core, beyond, level, end)
    return -1


@kernel
def stops(kind: int, address: int) -> bool:
    """Is it a record that all before it must have ended for, or that others wait for?"""
    if kind == MARK:
        return address == COUNT_ON or address == COUNT_OFF
    return kind > MARK and kind != COMPUTE


@kernel
def room_for(m: Any, t: int, i: int, now: int) -> int:
    """Instructions that the window has room for behind record i, the last that has entered, when all that can has
    retired."""
    f, w = m.front, m.win
    h = f.head[t]
    while h <= i:
        y = entry_of(f, t, h) << WIN_SHIFT
        if w.comp[y] < 0 or w.comp[y] > now:
            return int(m.p.rob - f.insns[t] + w.insns[y])
        h += 1
    return int(m.p.rob)


@rare
def go_astray(m: Any, t: int, i: int, until: int, now: int) -> None:
    """Branch i was guessed wrong and is resolved at `until`; the next record would enter at `now`. The window's places
    of records that have not entered keep, meanwhile, when these would have their value."""
    f, w = m.front, m.win
    room = room_for(m, t, i, now)
    base, mask, last = f.trace[t], f.mask[t], min(f.end[t], f.head[t] + RING - 1)
    apart = True  # have the paths not met again?
    for j in range(i + 1, last):
        word0, word1 = m.word0[base + (j & mask)], m.word1[base + (j & mask)]
        kind = word0 >> KIND & KIND_MASK
        room -= word1 & INSNS_MASK
        ended = word0 >> OP_END_BIT & 1
        if room < 0 or now > until or stops(kind, word0 & ADDRESS):
            return
        done = -1
        apart = (apart or kind == BRANCH) and not ended
        if not apart:
            start = starts(m, t, j, word1, now)
            if kind == LOAD and 0 <= start <= until:
                done = load(m, t, word0, start)
                if done == -2:
                    return
            elif kind == COMPUTE and start >= 0:
                done = start + m.p.cycle
        w.comp[entry_of(f, t, j) << WIN_SHIFT] = done
        now += (word1 & INSNS_MASK) * f.slot[t]
