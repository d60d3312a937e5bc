"""Moving a trace's addresses into a compact space: 2 MiB blocks that were touched, packed, in order, region by region.

The low 21 bits stay, so what shares a line or a page (4k or 2m) still does. The upper levels of the page table are
denser than in the recorded program: page walks may hit the paging-structure caches more.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.parquet import Range

Ints = npt.NDArray[np.int64]

SHIFT = 21
BLOCK = 1 << SHIFT

# Main stacks on x86-64: under valgrind, and without. Used for traces whose file has no regions of its own: a log of
# addresses does not tell heap from libraries (under valgrind they are neighbours), so all the rest is "data".
LAYOUT = (Range("stack", 0x1FF0000000, 0x2000000000), Range("stack", 0x7FFC00000000, 0x800000000000))
REST = "data"


class Placed(Protocol):
    """What a space answers: where it put the region."""

    @property
    def base(self) -> int:
        """Its first address, a multiple of 2 MiB."""
        ...


class Space(Protocol):
    """What is needed of numasim.memory.AddressSpace."""

    def region(self, name: str, size_bytes: int, *, touch_node: int | None = None) -> Placed:
        """Make a region, first touched on this node."""
        ...


class Blocks(NamedTuple):
    """real [n]: numbers (address >> 21) of the touched blocks, ascending.  compact [n]: address each is moved to."""

    real: Ints
    compact: Ints


def touched(address: Ints, size: npt.NDArray[np.uint8]) -> Ints:
    """Numbers of the blocks in which these accesses begin or end, each once."""
    over = (address & (BLOCK - 1)) + size > BLOCK
    blocks = np.concatenate([address >> SHIFT, (address[over] >> SHIFT) + 1])
    return np.unique(blocks[np.flatnonzero(np.diff(blocks, prepend=blocks[:1] - 1))])  # runs first: most repeat


def place(real: Ints, ranges: Sequence[Range], space: Space, touch_node: int | None) -> Blocks:
    """Ask the space for one region a name and spread its blocks over it.

    ranges: names of the real address space (none: LAYOUT); the first that overlaps a block names it, else it is
    "data".
    """
    names = np.full(len(real), REST, dtype=object)
    for r in reversed(ranges or LAYOUT):
        names[(real << SHIFT < r.end) & ((real + 1) << SHIFT > r.start)] = r.name
    compact = np.zeros(len(real), np.int64)
    for name in dict.fromkeys(names.tolist()):
        mine = np.flatnonzero(names == name)
        region = space.region(name, len(mine) * BLOCK, touch_node=touch_node)
        compact[mine] = region.base + np.arange(len(mine)) * BLOCK
    return Blocks(real, compact)


def move(blocks: Blocks, address: Ints, size: npt.NDArray[np.uint8], path: str) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Addresses in the compact space, and sizes.

    An access that straddles two blocks that are no longer adjacent is cut to the first.
    """
    at = np.searchsorted(blocks.real, address >> SHIFT)
    if at.max(initial=0) >= len(blocks.real) or not np.array_equal(blocks.real[at], address >> SHIFT):
        raise UserError("the trace changed while it was read", path)
    low = address & (BLOCK - 1)
    over = np.flatnonzero(low + size > BLOCK)
    if over.size:
        size = size.copy()
        after = np.minimum(at[over] + 1, len(blocks.real) - 1)
        apart = over[blocks.compact[after] != blocks.compact[at[over]] + BLOCK]
        size[apart] = BLOCK - low[apart]
    return blocks.compact[at] + low, size
