"""What the host is told ahead: which of the state's arrays the next records will need."""

from typing import Any

from numasim.engine import tlb
from numasim.engine.cache import hint, line_of, set_of, sliced_set_of
from numasim.engine.jit import kernel
from numasim.engine.packed import ADDRESS


@kernel
def look_ahead(m: Any, t: int, core: int, i: int) -> None:
    """Tell the host what the records after i will need: a frame, then the sets, then the set of L2's victim. Each step
    reads what the one before, a record or two ago, has fetched."""
    trace, mask, unit = m.front.trace[t], m.front.mask[t], m.core.domain[core]
    if i + 4 < m.front.end[t]:
        tlb.hint_frame(m.pages, m.word0[trace + (i + 4 & mask)] & ADDRESS)
        va = m.word0[trace + (i + 2 & mask)] & ADDRESS
        if va >> 21 < m.pages.blocks:
            line = tlb.physical(m.pages, va)
            hint(m.l2, set_of(m.l2, core, line))
            hint(m.l3, sliced_set_of(m.l3, unit, line))
            tlb.hint_page(m.tlb, core, m.pages.block[va >> 21] & 3, va)
        va = m.word0[trace + (i + 1 & mask)] & ADDRESS
        if va >> 21 < m.pages.blocks:
            s = set_of(m.l2, core, tlb.physical(m.pages, va))
            victim = m.l2.tag[(s + 1) * m.l2.ways - 1] >> 3
            hint(m.l3, sliced_set_of(m.l3, unit, line_of(m.l2, s, victim)))
