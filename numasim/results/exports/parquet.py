"""The histograms as one tidy Parquet table: a row for each group, call site, region and bucket of latency.

Columns: `of` ("access" or "operation"), `group`, `site`, `region` (the last two null for operations, which have
neither), `from_ps`, `to_ps` (a latency x is in the bucket if from_ps <= x < to_ps), `count`, `total_ps` (sum of the
latencies), and for each cause `CAUSE_ps`, which sum to `total_ps`. Buckets without samples have no row.
The file's metadata hold a JSON object under the key `numasim_result`: provenance, length, and the exact fastest and
slowest of each group, site and region.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from numasim.engine.output import OPERATION_CAUSES, Ints
from numasim.results.files import replacing
from numasim.results.json import text_of
from numasim.results.result import Result

KEY = b"numasim_result"
NAMES = ("of", "group", "site", "region")


class _Part:
    """The histogram of one class of accesses, or of one group's operations."""

    def __init__(self, names: tuple[str | None, ...], rows: Ints, edges: Ints, least: np.int64, most: np.int64) -> None:
        used = np.flatnonzero(rows[:, -1])
        causes = np.zeros((len(used), len(OPERATION_CAUSES)), np.int64)
        causes[:, : rows.shape[1] - 1] = rows[used, :-1]
        self.names, self.least, self.most = names, int(least), int(most)
        self.numbers = np.column_stack([edges[used], edges[used + 1], rows[used, -1], causes.sum(axis=1), causes])


def write(result: Result, path: str | Path) -> tuple[str, ...]:
    """Write the table, all or nothing. Raises UserError if the place cannot be written."""
    import pyarrow.parquet as pq

    made = table(result)
    with replacing(path) as beside:
        pq.write_table(made, beside, compression="zstd")
    return ()


def table(result: Result) -> Any:
    """The pyarrow.Table of a result, as this module's docstring says."""
    import pyarrow as pa

    parts = [part for part in _parts(result) if len(part.numbers)]
    heads = ("from_ps", "to_ps", "count", "total_ps", *(f"{cause}_ps" for cause in OPERATION_CAUSES))
    numbers = np.concatenate([np.zeros((0, len(heads)), np.int64), *(part.numbers for part in parts)])
    columns: dict[str, Any] = {}
    for k, name in enumerate(NAMES):
        words = [part.names[k] for part in parts for _ in range(len(part.numbers))]
        columns[name] = pa.array(words, pa.string()).dictionary_encode()
    columns |= {head: pa.array(np.ascontiguousarray(numbers[:, k])) for k, head in enumerate(heads)}
    return pa.table(columns).replace_schema_metadata({KEY: text_of(_about(result, parts)).encode()})


def about(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What a file says of itself, from its Parquet schema's metadata."""
    found: dict[str, Any] = msgspec.json.decode(metadata[KEY])
    return found


def _parts(result: Result) -> list[_Part]:
    raw = result.raw
    edges = raw.bucket_edges_ps.astype(np.int64)
    parts = []
    for k, (group, site, region) in enumerate(raw.classes):
        names = ("access", raw.groups[group], *_names(result, group, site, region))
        parts.append(_Part(names, raw.access_rows[k], edges, raw.access_min_ps[k], raw.access_max_ps[k]))
    for group, name in enumerate(raw.groups):
        names = ("operation", name, None, None)
        parts.append(_Part(names, raw.op_rows[group], edges, raw.op_min_ps[group], raw.op_max_ps[group]))
    return parts


def _names(result: Result, group: int, site: int, region: int) -> tuple[str | None, str | None]:
    """Names of a call site and a region; null where there is none."""
    sites = result.sites[group] if group < len(result.sites) else []
    named = sites[site] if site < len(sites) else f"site {site}"
    if region < 0:
        return named, None
    return named, result.regions[region] if region < len(result.regions) else f"region {region}"


def _about(result: Result, parts: list[_Part]) -> dict[str, Any]:
    limits = [
        {**dict(zip(NAMES, part.names, strict=True)), "min_ps": part.least, "max_ps": part.most} for part in parts
    ]
    return {
        "provenance": result.provenance,
        "partial": result.partial,
        "simulated_ps": int(result.raw.simulated_ps),
        "counters": result.counters,
        "limits": limits,
    }
