"""The latencies of many accesses or operations: a log-bucketed histogram that knows the causes of every bucket."""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError

Floats = npt.NDArray[np.float64]

PERCENTILE_ERROR = 0.01
"""Largest relative error of a percentile, given buckets no wider than 2 % of their lower edge."""


class Distribution:
    """Latencies in nanoseconds. `count`, `mean_ns`, `min_ns`, `max_ns` and `stack_ns` are exact.

    Of an empty distribution every latency is NaN.
    """

    def __init__(
        self,
        rows: npt.NDArray[np.int64],
        edges_ps: Floats,
        min_ps: int,
        max_ps: int,
        causes: tuple[str, ...],
    ) -> None:
        """rows: [buckets, causes + 1] picoseconds by cause, then the count; edges_ps: [buckets + 1]."""
        self.causes = causes
        self._rows = rows
        self._edges = edges_ps
        self._counts = rows[:, -1]
        self._upto = np.cumsum(self._counts)
        self.count = int(self._upto[-1]) if len(rows) else 0
        self._min_ps, self._max_ps = (min_ps, max_ps) if self.count else (0, 0)

    def __repr__(self) -> str:
        return f"Distribution(count={self.count}, mean_ns={self.mean_ns:.6g}, max_ns={self.max_ns:.6g})"

    @property
    def stack_ps(self) -> dict[str, int]:
        """Picoseconds by cause of all of them together, exact: the values sum to `total_ps`."""
        return dict(zip(self.causes, self._rows[:, :-1].sum(axis=0).tolist(), strict=True))

    @property
    def total_ps(self) -> int:
        """Sum of all latencies, exact."""
        return int(self._rows[:, :-1].sum())

    @property
    def stack_ns(self) -> dict[str, float]:
        """Mean nanoseconds by cause; the values sum to `mean_ns`."""
        return {cause: self._mean_ns(ps) for cause, ps in self.stack_ps.items()}

    @property
    def mean_ns(self) -> float:
        """Arithmetic mean."""
        return self._mean_ns(self.total_ps)

    @property
    def min_ns(self) -> float:
        """The fastest."""
        return self._min_ps / 1000 if self.count else float("nan")

    @property
    def max_ns(self) -> float:
        """The slowest."""
        return self._max_ps / 1000 if self.count else float("nan")

    def _mean_ns(self, total_ps: int) -> float:
        return total_ps / self.count / 1000 if self.count else float("nan")

    def percentile(self, p: float) -> float:
        """The smallest latency that at least p % (0 to 100) do not exceed, in nanoseconds.

        Within PERCENTILE_ERROR of that very sample, exact for the fastest and the slowest, never falling as p rises.
        Raises UserError for a p out of range.
        """
        exact = checked_percentile(p)
        if not self.count:
            return float("nan")
        return self._ranked_ns(max(1, -(-exact * self.count // 100)))  # rounded up

    def _ranked_ns(self, rank: int) -> float:
        """The latency of the rank-th fastest, from 1."""
        if rank in (1, self.count):
            return self.min_ns if rank == 1 else self.max_ns
        return self._typical_ps(int(np.searchsorted(self._upto, rank))) / 1000

    def _typical_ps(self, bucket: int) -> float:
        """A latency that stands for a bucket.

        Its mean is known exactly, but one sample may lie almost a bucket's width from it; so the mean is moved
        to where it cannot be further than PERCENTILE_ERROR from any latency the bucket can hold.
        """
        low = max(float(self._edges[bucket]), float(self._min_ps))
        high = min(float(self._edges[bucket + 1]), float(self._max_ps))
        mean = float(self._rows[bucket, :-1].sum()) / float(self._counts[bucket])
        least, most = high * (1 - PERCENTILE_ERROR), low * (1 + PERCENTILE_ERROR)
        if self._counts[bucket] > 1 and least <= most:
            mean = min(max(mean, least), most)
        return min(max(mean, low), high)

    def cdf(self) -> tuple[Floats, Floats]:
        """(latencies in ns, share in 0..1 of samples not above each), one point a bucket in use, from the fastest."""
        used = np.flatnonzero(self._counts)
        upper = np.minimum(self._edges[used + 1], self._max_ps) / 1000
        shares = self._upto[used] / max(self.count, 1)
        return np.r_[self.min_ns, upper], np.r_[0.0, shares]

    def tail_count(self, above: float) -> int:
        """How many samples are at or above a percentile: of a million, the slowest 1000 above 99.9. At least one."""
        below = checked_percentile(above) * self.count // 100
        return min(self.count, max(1, self.count - int(below)))

    def tail_from_ns(self, above: float) -> float:
        """The fastest of the samples at or above a percentile, as exact as a percentile is."""
        return self._ranked_ns(self.count - self.tail_count(above) + 1) if self.count else float("nan")

    def tail_shares(self, above: float) -> Floats:
        """Of each bucket, the share (0 to 1) of its samples that is at or above a percentile.

        1 above the bucket the percentile falls into, a part of that one, 0 below.
        """
        left = self.tail_count(above) - (self.count - self._upto)
        shares: Floats = np.clip(left / np.maximum(self._counts, 1), 0.0, 1.0)
        return shares

    def tail_stack_ns(self, above: float) -> dict[str, float]:
        """Mean nanoseconds by cause of the samples at or above a percentile."""
        shares = self.tail_shares(above)
        means = shares @ self._rows[:, :-1] / 1000 / max(float(shares @ self._counts), 1e-300)
        if not self.count:
            means[:] = np.nan
        return dict(zip(self.causes, means.tolist(), strict=True))


def checked_percentile(p: float) -> Fraction:
    """p as the exact decimal it was written as (99.9 is 999/10), so that ranks never suffer from rounding."""
    try:
        exact = Fraction(str(p))
    except ValueError:
        exact = Fraction(-1)
    if not 0 <= exact <= 100:
        raise UserError(f"{p} is no percentile", expected="a number from 0 to 100")
    return exact
