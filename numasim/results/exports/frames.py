"""A result as a tidy pandas.DataFrame of percentiles, and as an xarray.Dataset of everything that was counted."""

import math
from typing import Any

import numpy as np

from numasim.engine.output import OPERATION_CAUSES
from numasim.results.json import text_of
from numasim.results.percentiles import LEVELS, rows, stacks_at
from numasim.results.result import Of, Result

KINDS: tuple[Of, Of] = ("access", "operation")


def to_pandas(result: Result) -> Any:
    """A pandas.DataFrame, a row for each group, kind and percentile.

    Columns: group ("": all together), kind (access or operation), percentile (0 to 100), latency_ns, count (samples of
    the whole distribution), and CAUSE_ns for each cause, which sum to latency_ns. What was not counted has no rows.
    """
    import pandas as pd

    found = []
    for group, of in _histograms(result):
        whole = result.distribution(of, group or None)
        for level, stack in zip(LEVELS, stacks_at(result, LEVELS, of, group or None), strict=True):
            row = {"group": group, "kind": of, "percentile": float(level), "latency_ns": whole.percentile(level)}
            causes = {f"{cause}_ns": stack.get(cause, 0.0) for cause in OPERATION_CAUSES}
            found.append(row | {"count": whole.count} | causes)
    names = ["group", "kind", "percentile", "latency_ns", "count", *(f"{cause}_ns" for cause in OPERATION_CAUSES)]
    return pd.DataFrame(found, columns=names)


def to_xarray(result: Result) -> Any:
    """An xarray.Dataset; every variable and coordinate says its unit in its attributes.

    Variables: latency_ns [kind, group, percentile], stack_ns [kind, group, percentile, cause], mean_ns [kind, group],
    count [kind, group, bucket], time_ps [kind, group, bucket, cause], counters [event], link_utilisation [link, time],
    channel_utilisation [channel, time]. group "" is all together; NaN, and 0 in count, where nothing was counted.
    """
    import xarray as xr

    groups, raw = ["", *result.groups], result.raw
    there = set(_histograms(result))
    causes, buckets = len(OPERATION_CAUSES), max(0, len(raw.bucket_edges_ps) - 1)
    latency = np.full((2, len(groups), len(LEVELS)), math.nan)
    stack = np.full((2, len(groups), len(LEVELS), causes), math.nan)
    mean = np.full((2, len(groups)), math.nan)
    count = np.zeros((2, len(groups), buckets), np.int64)
    time = np.zeros((2, len(groups), buckets, causes), np.int64)
    for k, of in enumerate(KINDS):
        for g, group in enumerate(groups):
            if (group, of) not in there:
                continue
            whole, mine = result.distribution(of, group or None), rows(result, of, group or None)
            stacks = stacks_at(result, LEVELS, of, group or None)
            latency[k, g] = [whole.percentile(level) for level in LEVELS]
            stack[k, g] = [[at.get(cause, 0.0) for cause in OPERATION_CAUSES] for at in stacks]
            mean[k, g], count[k, g] = whole.mean_ns, mine[:, -1]
            time[k, g, :, : mine.shape[1] - 1] = mine[:, :-1]
    per = ("kind", "group")
    variables = {
        "latency_ns": ((*per, "percentile"), latency, {"units": "ns"}),
        "stack_ns": ((*per, "percentile", "cause"), stack, {"units": "ns"}),
        "mean_ns": (per, mean, {"units": "ns"}),
        "count": ((*per, "bucket"), count, {"units": "1"}),
        "time_ps": ((*per, "bucket", "cause"), time, {"units": "ps"}),
        "counters": (("event",), np.array(list(result.counters.values()), np.int64), {"units": "1"}),
        **_loads(result),
    }
    coordinates = {
        "kind": list(KINDS),
        "group": groups,
        "percentile": ("percentile", np.array(LEVELS, float), {"units": "%"}),
        "cause": list(OPERATION_CAUSES),
        "from_ps": ("bucket", raw.bucket_edges_ps[:-1][:buckets], {"units": "ps"}),
        "to_ps": ("bucket", raw.bucket_edges_ps[1:], {"units": "ps"}),
        "event": list(result.counters),
        "link": [f"{link.source} -> {link.target} ({link.link})" for link in result.links],
        "channel": [f"node {use.node} channel {use.channel}" for use in raw.channels],
        "time": ("time", _begins_ns(result), {"units": "ns"}),
    }
    return xr.Dataset(variables, coordinates, _attributes(result))


def _histograms(result: Result) -> list[tuple[str, Of]]:
    """(group, kind) of all distributions that have samples, "" for all groups together."""
    parts: dict[str, Any] = {"": result} | result.groups
    return [
        (name, of)
        for name, part in parts.items()
        for of in KINDS
        if (whole := part.access if of == "access" else part.operation) is not None and whole.count
    ]


def _begins_ns(result: Result) -> Any:
    return np.arange(result.raw.link_series.shape[1]) * result.raw.series_bin_ps / 1000


def _loads(result: Result) -> dict[str, Any]:
    raw, begins = result.raw, _begins_ns(result)
    lengths = np.clip(raw.simulated_ps - begins * 1000, 1, max(raw.series_bin_ps, 1))
    links = np.array([link.series for link in result.links]).reshape(len(result.links), len(begins))
    return {
        "link_utilisation": (("link", "time"), links, {"units": "1"}),
        "channel_utilisation": (("channel", "time"), raw.channel_series / lengths, {"units": "1"}),
    }


def _attributes(result: Result) -> dict[str, Any]:
    """Provenance as texts and numbers, which every file format of xarray can hold."""
    known = {key: str(value) for key, value in result.provenance.items() if key in ("title", "version", "seed")}
    configuration = text_of(result.provenance.get("configuration", {}))
    return known | {"configuration": configuration, "partial": int(result.partial), "simulated_ns": result.simulated_ns}
