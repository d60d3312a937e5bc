"""What an allocator is asked for and what it answers: the interface of every allocator."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.memory.pages import IntArray

BoolArray = npt.NDArray[np.bool_]


class Request(NamedTuple):
    """Objects to allocate, in program order.

    sizes: int64[n], bytes each, >= 1. align: for the allocators that take one, a power of two, 0 for their own.
    noscan: bool[n] or bool[1], objects without pointers (Go keeps them apart). occupied: share of the heap that older
    objects hold, for `fragmented`. seed: of what is random.
    """

    sizes: IntArray
    align: int
    noscan: BoolArray
    occupied: float
    seed: int


class Layout(NamedTuple):
    """offsets: int64[n], where each object begins, from the region's base; total: bytes the region needs."""

    offsets: IntArray
    total: int


Allocator = Callable[[Request], Layout]
"""Contract: objects lie in [0, total), do not overlap, and the same request gets the same answer."""
