"""Where a record of a thread's trace stands in its reorder window, a ring."""

from typing import Any

from numasim.engine.jit import kernel
from numasim.engine.state import RING


@kernel
def entry_of(f: Any, t: int, i: int) -> int:
    """Window entry of record i. Records of a plain chain follow each other in one entry: the ring shifts."""
    return t * RING + (i - f.shift[t] & RING - 1)
