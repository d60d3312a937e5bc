"""A latency distribution as HdrHistogram's percentile text (.hgrm), in nanoseconds.

The format is what HdrHistogram's outputPercentileDistribution prints and its plotters read (HdrHistogram/HdrHistogram,
AbstractHistogram.java): Value, Percentile (0 to 1), TotalCount (samples up to there), 1/(1-Percentile), then three
lines of totals. Percentiles stand where HdrHistogram's own iterator stops: five steps for each halving of what is left.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numasim.engine.output import Ints
from numasim.errors import UserError
from numasim.results.distribution import Distribution, checked_percentile
from numasim.results.files import replacing
from numasim.results.percentiles import rows
from numasim.results.result import Of, Result

TICKS = 5  # HdrHistogram's default of percentileTicksPerHalfDistance
PER_DOUBLING = 64  # buckets of the engine's histogram to each doubling of latency


class Line(NamedTuple):
    """A line of the file. level: 0 to 1. upto: how many samples are not slower."""

    value_ns: float
    level: float
    upto: int


def write(result: Result, path: str | Path, of: Of = "access", group: str | None = None) -> tuple[str, ...]:
    """Write the percentiles of accesses or operations, of all groups together or of one; all or nothing.

    Raises UserError if there is nothing to write, or no place. Returns what the user should be told.
    """
    whole = result.distribution(of, group)
    if not whole.count:
        raise UserError(f"no {of} was counted", str(path), "a run that counts some")
    made = text(whole, rows(result, of, group))
    with replacing(path) as beside:
        beside.write_text(made, encoding="ascii")
    if group is not None or len(result.groups) == 1:
        return ()
    one = "`numasim report RUN.json --group NAME --hgrm FILE` has one"
    return (f"{path}: {of} latencies of all {len(result.groups)} groups together; {one}",)


def text(whole: Distribution, buckets: Ints) -> str:
    """The file's text. buckets: the rows of `percentiles.rows` that `whole` is of."""
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for line in percentiles(whole, np.cumsum(buckets[:, -1])):
        left = f" {1 / (1 - line.level):14.2f}" if line.level < 1 else ""
        lines.append(f"{line.value_ns:12.3f} {line.level:2.12f} {line.upto:10d}{left}")
    octaves = (round(whole.max_ns * 1000) // (2 * PER_DOUBLING)).bit_length() + 1
    lines += [
        f"#[Mean    = {whole.mean_ns:12.3f}, StdDeviation   = {_deviation_ns(whole, buckets):12.3f}]",
        f"#[Max     = {whole.max_ns:12.3f}, Total count    = {whole.count:12d}]",
        f"#[Buckets = {octaves:12d}, SubBuckets     = {2 * PER_DOUBLING:12d}]",
    ]
    return "\n".join(lines) + "\n"


def percentiles(whole: Distribution, upto: Ints) -> Iterator[Line]:
    """The lines, fastest first: until one has reached the last sample, then the slowest itself. upto: [buckets]."""
    level, reached = 0.0, 0
    while reached < whole.count:
        rank = max(1, -(-checked_percentile(level) * whole.count // 100))  # rounded up
        reached = int(upto[np.searchsorted(upto, int(rank))])
        yield Line(whole.percentile(level), level / 100, reached)
        halvings = int(math.log2(100 / (100 - level))) + 1
        level += 100 / (TICKS * 2**halvings)
    yield Line(whole.max_ns, 1.0, whole.count)


def _deviation_ns(whole: Distribution, buckets: Ints) -> float:
    """Standard deviation with each sample at its bucket's mean: what lies within a bucket, under 1 %, is left out."""
    used = buckets[buckets[:, -1] > 0]
    means = used[:, :-1].sum(axis=1) / used[:, -1] / 1000
    return math.sqrt(float(used[:, -1] @ (means - whole.mean_ns) ** 2) / whole.count)
