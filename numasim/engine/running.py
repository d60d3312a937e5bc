"""How far a run is: told a few times a second, at less than a hundredth of its time."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numasim.engine import state as st
from numasim.engine.counted import bucket_edges

PERIOD_S = 0.25
SHARE = 100  # of a run's time, what telling may take: one part in so many


class Running(NamedTuple):
    """A run under way.

    done: share (0 to 1) of what it will simulate, by the threads that end by themselves. accesses: simulated so far,
    warm-up included. p50_ns, p99_ns: of those counted so far, within a bucket's width (1.6 %); NaN if none are.
    """

    done: float
    accesses: int
    p50_ns: float
    p99_ns: float


Progress = Callable[[Running], None]


class Pulse:
    """Call it as often as you like; it tells how far `run` (a simulate.Run) is when it is time to."""

    def __init__(self, run: Any, tell: Progress | None, period_s: float = PERIOD_S) -> None:
        self._run, self._tell, self._period_s = run, tell, period_s
        self._next = time.perf_counter() + period_s

    def __call__(self, m: st.Machine) -> None:
        """m: the run's state, its arrays perhaps lists."""
        began = time.perf_counter()
        if self._tell is None or began < self._next:
            return
        self._tell(running(self._run, m))
        now = time.perf_counter()
        self._next = now + max(self._period_s, SHARE * (now - began))


def running(run: Any, m: st.Machine) -> Running:
    """How far a run is."""
    counts = _counts(m)
    warm = sum(feed.warm for feed in run.feeds) if m.control[st.K_COUNTING] else 0
    p50, p99 = (_percentile(counts, share) for share in (0.5, 0.99))
    return Running(_done(run, m), int(counts.sum()) + warm, p50, p99)


def _counts(m: st.Machine) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Accesses by bucket of their latency."""
    n = int(m.control[st.K_CLASSES])
    counts = np.asarray(m.out.rows[: n * st.BUCKETS * 16]).reshape(n, st.BUCKETS, 16)[:, :, st.COUNT].sum(axis=0)
    counts[int(np.searchsorted(bucket_edges(), m.p.l1, "right")) - 1] += sum(m.out.l1[:n])
    return counts


def _percentile(counts: Any, share: float) -> float:
    """The middle of the bucket it is in."""
    upto, edges = np.cumsum(counts), bucket_edges()
    if not upto[-1]:
        return float("nan")
    bucket = int(np.searchsorted(upto, share * upto[-1]))
    return float(edges[bucket] + edges[bucket + 1]) / 2000


def _done(run: Any, m: st.Machine) -> float:
    """Share of the accesses of finite threads: of what a thread's ring was fed, as much is done as of its records."""
    done = total = 0.0
    for t, (thread, feed) in enumerate(zip(run.threads, run.feeds, strict=True)):
        program, length = thread.program, thread.length
        if not program.endless:
            done += feed.accesses * m.front.pos[t] / max(m.front.end[t], 1)
            laps = 1 if getattr(program, "counts", False) else length.warmup + length.laps
            total += length.accesses + program.lap_accesses * laps
    return min(done / max(total, 1.0), 1.0)
