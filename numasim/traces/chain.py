"""The longest chain of loads in a trace, each needing the one before: what no window and no cache can overlap.

Needs are the recorded ones: `dep0` to `dep2`, and `fwd` through the stores a load reads. A record's depth is that of
the deepest record it needs, one more if it is a load (an atomic is one). Branches are left out: a guess may be right.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.compiled import compiled
from numasim.traces.parquet import Reader
from numasim.traces.records import ATOMIC, LOAD

COLUMNS = ("address", "thread", "kind", "dep0", "dep1", "dep2", "fwd")
WINDOW = 256  # records a need can reach back, and a power of two
THREADS = 1 << 16


class Chain(NamedTuple):
    """loads: of all threads, atomics included.  longest: loads on the longest chain of one thread, thread by thread
    added up.  mean_overlap: how many loads could be under way at a time if only needs held them up: loads / longest.
    by_thread: (loads, longest) by thread number."""

    loads: int
    longest: int
    mean_overlap: float
    by_thread: dict[int, tuple[int, int]]

    @property
    def share(self) -> float:
        """Part of the loads that lie on the longest chain."""
        return self.longest / self.loads if self.loads else 0.0


def longest(reader: Reader) -> Chain:
    """Read a trace once, in memory that does not grow with it. Raises UserError if it is damaged."""
    place = np.full(THREADS, -1, np.int64)  # by thread number, its row in the arrays below
    depth = np.zeros((0, WINDOW), np.int64)
    state = np.zeros((0, 3), np.int64)  # records, loads, longest so far
    numbers: list[int] = []
    for chunk in reader.chunks(COLUMNS):
        thread: Any = chunk.thread
        for number in np.unique(thread).tolist():
            if place[number] < 0:
                place[number] = len(numbers)
                numbers.append(number)
                depth = np.concatenate([depth, np.zeros((1, WINDOW), np.int64)])
                state = np.concatenate([state, np.zeros((1, 3), np.int64)])
        _deepen(place[thread], chunk.kind, chunk.dep0, chunk.dep1, chunk.dep2, chunk.fwd, depth, state)
    by_thread = {n: (int(row[1]), int(row[2])) for n, row in zip(numbers, state, strict=True) if row[1]}
    loads, deepest = (sum(pair[i] for pair in by_thread.values()) for i in (0, 1))
    return Chain(loads, deepest, loads / deepest if deepest else 0.0, dict(sorted(by_thread.items())))


@compiled
def _deepen(
    thread: npt.NDArray[np.int64], kind: Any, dep0: Any, dep1: Any, dep2: Any, fwd: Any, depth: Any, state: Any
) -> None:
    """Go through rows. depth [threads, WINDOW]: of the last records, by number modulo WINDOW; state: see longest()."""
    for row in range(len(thread)):
        t = thread[row]
        number = state[t, 0]
        deepest = 0
        for needed in (dep0[row], dep1[row], dep2[row], fwd[row]):
            back = int(needed)
            if 0 < back <= number:
                deepest = max(deepest, depth[t, (number - back) & (WINDOW - 1)])
        if kind[row] in (LOAD, ATOMIC):
            deepest += 1
            state[t, 1] += 1
            state[t, 2] = max(state[t, 2], deepest)
        depth[t, number & (WINDOW - 1)] = deepest
        state[t, 0] = number + 1
