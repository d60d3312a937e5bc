"""One thread's rows out of a trace file's, with the marks in the form the engine takes.

A file's marks are COUNT_ON and COUNT_OFF in turn, an ON first, the last ON perhaps without its OFF; what comes before
the first warms up. The engine ends at a COUNT_OFF. So several regions of interest are joined: the ON of the first, the
OFF of the last. What a program did to warm up for a further region is left out.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.parquet import Columns
from numasim.traces.records import COUNT_OFF, COUNT_ON, MARK

Flags = npt.NDArray[np.bool_]


class Regions:
    """Follows the marks through a file, chunk after chunk. on, off: how many there were so far."""

    def __init__(self) -> None:
        self.on = self.off = 0
        self.in_turn = True  # ON, OFF, ON ...

    def outside(self, kind: Any, address: npt.NDArray[np.int64], last_off: int = 0) -> Flags:
        """Which rows of the next chunk lie between two regions, the marks there included.

        The COUNT_OFF of number `last_off` is not one of them.
        """
        is_on, is_off = ((kind == MARK) & (address == code) for code in (COUNT_ON, COUNT_OFF))
        on, off = self.on + np.cumsum(is_on), self.off + np.cumsum(is_off)
        if len(address):
            self.on, self.off = int(on[-1]), int(off[-1])
            self.in_turn &= bool(((on == off) | (on == off + 1)).all())
        outside: Flags = ((off > 0) & (on == off) & ~(is_off & (off == last_off))) | (is_on & (on > 1))
        return outside


class Rows(NamedTuple):
    """A thread's rows of a chunk.

    columns: their columns, each an array, or 0-d: the same for all.  limit: how many records back each may depend: not
    before the trace, nor over rows that were left out or put in, since dependences do not count those.
    """

    columns: Any
    limit: npt.NDArray[np.int64]


class ThreadRows:
    """Picks a thread's rows, and the marks of all threads, out of a file's chunks.

    last_off: the number of the COUNT_OFF that ends the trace; 0: none does.
    """

    def __init__(self, thread: int, last_off: int) -> None:
        self.thread, self.last_off = thread, last_off
        self.regions = Regions()
        self.gaps = 0  # rows left out or put in so far
        self.gaps_before = 0  # of them, those before the row picked last
        self.reach = 0  # how far back the next row may depend if no gap comes

    def of(self, chunk: Columns) -> Rows:
        """Those of the next chunk; its thread, kind and address are arrays."""
        kind = np.asarray(chunk.kind)
        outside = self.regions.outside(kind, chunk.address, self.last_off)
        mine = np.asarray(chunk.thread) == self.thread
        put_in = ~mine & ~outside & (kind == MARK) & ((chunk.address == COUNT_ON) | (chunk.address == COUNT_OFF))
        keep = mine & ~outside | put_in
        gap = put_in | mine & outside
        before = (self.gaps + np.cumsum(gap) - gap)[keep]
        self.gaps += int(gap.sum())
        limit = self._limit(before)
        if keep.all():
            return Rows(chunk, limit)
        return Rows(Columns(*(c[keep] if np.ndim(c) else c for c in map(np.asarray, chunk))), limit)

    def _limit(self, before: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """How far back each picked row may depend. before: gaps before it."""
        order = np.arange(len(before))
        fence = np.diff(before, prepend=self.gaps_before) > 0
        limit = order - np.maximum.accumulate(np.where(fence, order, -self.reach))
        if len(before):
            self.gaps_before, self.reach = int(before[-1]), int(limit[-1]) + 1
        return limit
