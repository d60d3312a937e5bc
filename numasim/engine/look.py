"""What a core looks up for an address in its own TLBs and caches, page walk included."""

from typing import Any

from numasim.engine import nested, tlb
from numasim.engine.cache import EXCLUSIVE, hint, peek, set_of, sliced_set_of, touch
from numasim.engine.fills import bring
from numasim.engine.jit import kernel
from numasim.engine.stacks import count
from numasim.engine.state import C_L1, C_L2, E_DTLB_MISS, E_WALK


@kernel
def private(
    m: Any, core: int, group: int, va: int, klass: int, want: int, level: int, t: int, write: int, missed_l1: bool
) -> tuple[int, int, int, int, int]:
    """From t on in the core's own caches, page walk included.

    level: the walk's step (nested.py), 0 when translated.  Returns (line the L3 must give or -1, when, when translated,
    step still to be made, cause of the last look).
    """
    translated = t
    while True:
        if level >= nested.ASK:
            t += m.p.nested
            level = nested.asked(m, core, klass, va, level & 7)
            if level == 0:
                translated = t
        line = want if level == 0 else nested.entry_line(m.pages, va, level)
        dirty = write if level == 0 else 0
        cause, hit = C_L1, False
        if not missed_l1:
            i = touch(m.l1, set_of(m.l1, core, line), line >> m.l1.bits)
            if i >= 0 and (dirty == 0 or m.l1.tag[i] & EXCLUSIVE != 0):
                hit = True
                m.l1.tag[i] |= dirty
                t += m.p.l1
        if not hit:
            cause = C_L2
            t += m.p.l2
            s = set_of(m.l2, core, line)
            i = touch(m.l2, s, line >> m.l2.bits)
            if i < 0 or (dirty and m.l2.tag[i] & EXCLUSIVE == 0):
                unit = m.core.domain[core]
                hint(m.l3, sliced_set_of(m.l3, unit, line))
                return line, t, translated, level, cause
            if dirty == 0 or peek(m.l1, set_of(m.l1, core, line), line >> m.l1.bits) < 0:
                bring(m, core, group, line, m.l2.tag[i] & EXCLUSIVE | dirty, t)
        if level == 0:
            return -1, t, translated, 0, cause
        level = nested.go_on(m, core, klass, va, level)
        if level == 0:
            translated = t
        missed_l1 = False


@kernel
def look_further(
    m: Any, core: int, group: int, va: int, klass: int, want: int, level: int, start: int, write: int, known_page: int
) -> tuple[int, int, int, int, int]:
    """Beyond L1: as `private`. known_page: -1 if the page has to be translated first, 1 if L1 has been looked up."""
    size = m.pages.block[va >> 21] & 3
    t = start
    if known_page < 0:
        t += m.p.stlb
        count(m.out, klass, E_DTLB_MISS)
        if tlb.second_level(m.tlb, core, size, va):
            tlb.learn_first(m.tlb, core, size, va)
        else:
            level = nested.begin(m, core, size, va)
            count(m.out, klass, E_WALK)
    return private(m, core, group, va, size, want, level, t, write, known_page > 0)
