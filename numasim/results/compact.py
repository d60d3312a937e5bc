"""A raw result without its empty buckets and bins: what is kept, and what is written to a file."""

import numpy as np

from numasim.engine.output import ChannelUse, LinkUse, RawResult


def compact(raw: RawResult) -> RawResult:
    """The same result: each stretch of empty buckets is one bucket now, and bins past the end are gone."""
    raw = raw._replace(links=[LinkUse(*use) for use in raw.links], channels=[ChannelUse(*use) for use in raw.channels])
    return _without_empty_bins(_without_empty_buckets(raw))


def _without_empty_buckets(raw: RawResult) -> RawResult:
    used = np.asarray(raw.access_rows[:, :, -1].any(axis=0) | raw.op_rows[:, :, -1].any(axis=0))
    places = np.flatnonzero(used)
    begins = np.zeros(used.size, dtype=bool)  # buckets that stay: those in use, and the first after each of them
    begins[places] = True
    begins[places[:-1] + 1] = True
    kept = np.flatnonzero(begins)
    last = places[-1:] + 1
    edges = raw.bucket_edges_ps[np.r_[kept, last]]
    if len(edges) and np.isinf(edges[-1]):
        edges[-1] = max([1 + int(m.max()) for m in (raw.access_max_ps, raw.op_max_ps) if len(m)])
    accessed, operated = (rows[:, :, -1].any(axis=1) for rows in (raw.access_rows, raw.op_rows))
    return raw._replace(
        bucket_edges_ps=edges,
        access_rows=raw.access_rows[:, kept].copy(),
        access_min_ps=np.where(accessed, raw.access_min_ps, 0),
        access_max_ps=np.where(accessed, raw.access_max_ps, 0),
        op_rows=raw.op_rows[:, kept].copy(),
        op_min_ps=np.where(operated, raw.op_min_ps, 0),
        op_max_ps=np.where(operated, raw.op_max_ps, 0),
    )


def _without_empty_bins(raw: RawResult) -> RawResult:
    bins = -(-raw.simulated_ps // max(raw.series_bin_ps, 1))
    return raw._replace(
        link_series=raw.link_series[:, :bins].copy(), channel_series=raw.channel_series[:, :bins].copy()
    )
