"""Others who share an L3 with the program: programs of the host's other guests, say, that run all the time.

They bring lines of their own into it at a steady rate, which push out what has not been used for long. Nothing else of
them is simulated. A set is brought up to date when it is looked at: it gets a line once in `Params.neighbours`, each
set at a time of its own.
"""

from typing import Any

from numasim.engine.cache import mix
from numasim.engine.jit import kernel

FOREIGN = (1 << 29) - 1  # the tag of their lines: no line of the program's has it


@kernel
def waiting(m: Any, s: int, now: int) -> int:
    """How many lines of others have come to a set of the L3 since it was last looked at: as many as it has ways at
    most."""
    every = m.p.neighbours
    come = (now + (mix(s) & 0xFFFF) * every // 0x10000) // every
    new = come - m.core.aged[s]
    if new <= 0:
        return 0
    m.core.aged[s] = come
    return min(new, m.l3.ways)
