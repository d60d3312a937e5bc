"""Results for other tools: Parquet, HdrHistogram's percentile text, a timeline for Perfetto, pandas and xarray."""

from pathlib import Path

from numasim.errors import UserError
from numasim.results.result import Of, Result

KINDS = ("parquet", "hgrm", "perfetto")


def write(result: Result, kind: str, path: str | Path, of: Of = "access", group: str | None = None) -> tuple[str, ...]:
    """Write a result to a file in one of KINDS: all or nothing. Returns what the user should be told, one line each.

    of, group: whose latencies, for "hgrm", whose files hold one histogram; the other kinds hold everything.
    Raises UserError for an unknown kind, a place that cannot be written, and for what the result does not have.
    """
    if kind == "parquet":
        from numasim.results.exports import parquet

        return parquet.write(result, path)
    if kind == "hgrm":
        from numasim.results.exports import hgrm

        return hgrm.write(result, path, of, group)
    if kind == "perfetto":
        from numasim.results.exports import perfetto

        return perfetto.write(result, path)
    raise UserError(f"unknown kind of export {kind!r}", expected=" or ".join(KINDS))
