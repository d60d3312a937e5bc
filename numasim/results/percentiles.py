"""What the accesses at a percentile are made of: its latency split by cause."""

from collections.abc import Iterable

import numpy as np

from numasim.engine.output import Ints
from numasim.results.distribution import checked_percentile
from numasim.results.result import Of, Result

LEVELS = (0, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999, 100)
"""The percentiles that tables and data frames show; 0 and 100 are the fastest and the slowest."""


def rows(result: Result, of: Of = "access", group: str | None = None) -> Ints:
    """[buckets, causes + 1]: picoseconds by cause and the count, a row a bucket of `raw.bucket_edges_ps`."""
    raw = result.raw
    everything = raw.access_rows if of == "access" else raw.op_rows
    owners = [c[0] for c in raw.classes] if of == "access" else range(len(raw.groups))
    mine = [i for i, owner in enumerate(owners) if group is None or raw.groups[owner] == group]
    summed: Ints = everything[mine].sum(axis=0)
    return summed


def stacks_at(
    result: Result, levels: Iterable[float], of: Of = "access", group: str | None = None
) -> list[dict[str, float]]:
    """For each percentile its latency in ns by cause; the values sum to that percentile's latency.

    The shares are those of all samples in the percentile's bucket, which is at most 1.6 % wide. NaN where nothing was
    counted. Raises UserError as `Result.distribution` does.
    """
    whole, mine = result.distribution(of, group), rows(result, of, group)
    upto = np.cumsum(mine[:, -1])
    found = []
    for level in levels:
        if not whole.count:
            found.append(dict.fromkeys(whole.causes, float("nan")))
            continue
        rank = max(1, -(-checked_percentile(level) * whole.count // 100))  # rounded up, as a percentile's is
        causes = mine[int(np.searchsorted(upto, int(rank))), :-1]
        scale = whole.percentile(level) / max(int(causes.sum()), 1)
        found.append(dict(zip(whole.causes, (causes * scale).tolist(), strict=True)))
    return found
