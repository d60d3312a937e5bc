"""numasim trace info: what is in a trace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from numasim.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numasim.study.trace_info import TraceInfo

WIDEST_NAME = 60


def info(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A trace (Parquet).")],
    sites: Annotated[int, typer.Option(metavar="N", min=0, help="Show the N call sites that access most.")] = 10,
    model: Annotated[
        str, typer.Option("--model", metavar="MODEL", help="Whose branch predictor guesses the recorded branches.")
    ] = "icx-8360y-2s",
    json: options.Json = False,
) -> None:
    """Show what is in a trace: accesses, call sites, regions, footprint, chains of loads, branches."""
    from numasim.cli.progress import progress
    from numasim.study.trace_info import trace_info

    with progress() as report:
        report("reading", -1)
        found = trace_info(file, model, sites)
    if json:
        from numasim.results.json import text_of

        print(text_of(found.as_dict()))
    else:
        _print(found)


def _print(found: TraceInfo) -> None:
    from rich.text import Text

    from numasim.results.figures import console, count, percent, put, table

    out = console()
    out.print(Text(f"{found.file}: {found.source or found.reader}", style="bold"))
    rows = table("", "", last=" ")
    rows.show_header = False
    for what, value in _rows(found):
        rows.add_row(what, value)
    put(rows, out)
    regions = table("Regions", "region", "accesses", "share", "touched")
    for r in found.regions:
        regions.add_row(r["region"], count(r["accesses"]), percent(r["share"]), _bytes(r["bytes"]))
    put(regions, out)
    if found.stretches:
        stretches = table("Stretches", "name", "number", "entered", "accesses", "instructions")
        for s in found.stretches:
            numbers = (count(s[what]) for what in ("id", "entries", "accesses", "instructions"))
            stretches.add_row(s["name"], *numbers)
        put(stretches, out)
    if found.sites:
        title = f"Call sites, {len(found.sites)} of {found.site_count:,}"
        sites = table(title, "function+offset", "loads", "stores", "atomics", "share", last="source")
        for s in found.sites:
            source = f"{os.path.basename(s['source'])}:{s['line']}" if s["source"] else ""
            counts = (count(s[kind]) for kind in ("loads", "stores", "atomics"))
            sites.add_row(_short(s["name"]), *counts, percent(s["share"]), source)
        put(sites, out)


def _rows(found: TraceInfo) -> Iterator[tuple[str, str]]:
    """The figures of a whole trace."""
    from numasim.results.figures import percent

    kinds = ", ".join(
        f"{n:,} {kind}s" for kind, n in found.records.items() if n and kind in ("load", "store", "atomic")
    )
    yield "accesses", f"{found.accesses:,} ({kinds})"
    yield "instructions", f"{found.instructions:,}"
    yield "threads", ", ".join(f"{number}: {n:,}" for number, n in found.threads.items())
    f = found.footprint
    yield "footprint", f"{f['lines']:,} lines, {f['pages_4k']:,} pages of 4 KiB, {_bytes(f['bytes'])}"
    if found.chain_loads is None:
        yield "longest chain", "not known: the trace does not say which load needs which"
    else:
        share, overlap = percent(found.chain_share or 0), found.overlap or 0
        yield "longest chain", f"{found.chain_loads:,} of {found.loads:,} loads ({share}): each needs the one before"
        yield "could overlap", f"{overlap:.1f} loads at a time, on average"
    if found.mispredicted is not None:
        share = percent(found.mispredicted / max(found.branches, 1))
        yield "branches", f"{found.branches:,}, {share} mispredicted ({found.model}: {found.predictor})"
    if found.partial:
        yield "partial", "the recording was stopped before the program ended"


def _bytes(size: int) -> str:
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= limit:
            return f"{size / limit:.1f} {unit}"
    return f"{size} bytes"


def _short(name: str) -> str:
    """A name with its offset, its middle left out where it is a page of C++ templates."""
    return name if len(name) <= WIDEST_NAME else f"{name[: WIDEST_NAME - 21]}...{name[-18:]}"
