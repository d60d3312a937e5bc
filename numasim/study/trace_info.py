"""What `numasim trace info` tells: what is in a trace, which load needs which, how its branches would be guessed."""

from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from numasim.machine import load
from numasim.study.trace_branches import branches
from numasim.traces import chain
from numasim.traces.info import LINE_BYTES, info
from numasim.traces.parquet import Reader
from numasim.traces.symbols import Symbols


@dataclass(frozen=True)
class TraceInfo:
    """What is in a trace.

    file, reader, source, partial, markers, dependence: see numasim.traces.parquet.Meta.  records: rows by kind.
    accesses: loads, stores and atomics.  threads: accesses by thread number.  footprint: lines of 64 bytes and pages of
    4 KiB touched, and the lines' bytes.  loads, chain_loads: atomics count as loads; those on the longest chain of
    loads that need each other, summed over the threads.  overlap: loads to each link of that chain, the mean number
    that could be under way at once; chain and overlap are None where the trace does not say which load needs which.
    branches, mispredicted: by the predictor of machine `model`.  stretches: the named ones.  regions,
    sites: most accessed first; of the sites, as many as were asked for out of site_count.
    """

    file: str
    reader: str
    source: str
    partial: bool
    markers: bool
    dependence: str
    records: dict[str, int]
    instructions: int
    accesses: int
    threads: dict[int, int]
    footprint: dict[str, int]
    loads: int
    chain_loads: int | None
    chain_share: float | None
    overlap: float | None
    branches: int
    mispredicted: int | None
    predictor: str
    model: str
    stretches: list[dict[str, Any]]
    regions: list[dict[str, Any]]
    site_count: int
    sites: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, under the same names."""
        return asdict(self)


def trace_info(path: str, model: str, sites: int) -> TraceInfo:
    """Read a trace, and its program's files for the names of `sites` call sites.

    Raises UserError for what is no trace or no machine.
    """
    machine = load(model)
    reader = Reader(path)
    meta, found = reader.meta, info(reader)
    guessed = branches(reader, machine) if found.records["branch"] else None
    loads = found.records["load"] + found.records["atomic"]
    longest = chain.longest(reader) if meta.dependence == "exact" and loads else None
    symbols = Symbols(meta.code)
    total = max(found.accesses, 1)
    return TraceInfo(
        file=path,
        reader=meta.reader,
        source=meta.source,
        partial=meta.partial,
        markers=meta.markers,
        dependence=meta.dependence,
        records=found.records,
        instructions=found.instructions,
        accesses=found.accesses,
        threads=found.threads,
        footprint={"lines": found.lines, "pages_4k": found.pages, "bytes": found.lines * LINE_BYTES},
        loads=loads,
        chain_loads=longest.longest if longest else None,
        chain_share=longest.share if longest else None,
        overlap=longest.mean_overlap if longest else None,
        branches=found.records["branch"],
        mispredicted=guessed.mispredicted if guessed else None,
        predictor=f"{machine.core.branch_predictor}, 2^{machine.core.predictor_bits} counters",
        model=machine.name,
        stretches=[msgspec.to_builtins(stretch) for stretch in meta.stretches],
        regions=[
            {"region": r.name, "accesses": r.accesses, "share": r.accesses / total, "bytes": r.lines * LINE_BYTES}
            for r in found.regions
        ],
        site_count=len(found.sites),
        sites=[_site(site, symbols, total) for site in found.sites[:sites]],
    )


def _site(site: Any, symbols: Symbols, total: int) -> dict[str, Any]:
    """A call site with its name, and where it is in the source."""
    place = symbols.of_site(site.name)
    return {
        "site": site.name,
        "name": place.name if place else site.name,
        "file": place.file if place else "",
        "source": place.source if place else "",
        "line": place.line if place else 0,
        "loads": site.loads,
        "stores": site.stores,
        "atomics": site.atomics,
        "share": site.accesses / total,
    }
