"""What a reader tells of a conversion, the same for all formats."""

from typing import Any, NamedTuple


class Summary(NamedTuple):
    """What came of a file of another tool.

    reader: name of the format.  read, unit: how much was read ("lines", "instructions").  instructions, loads, stores,
    branches, records: what the trace holds.  threads, sites: how many.  dependence: "exact" or "unknown", as in the
    trace's metadata.  notes: sentences a user should read.  counts: whatever else the reader counted.
    """

    reader: str
    read: int
    unit: str
    instructions: int
    loads: int
    stores: int
    branches: int
    records: int
    threads: int
    sites: int
    dependence: str
    notes: tuple[str, ...]
    counts: dict[str, int]


def of_lackey(done: Any, reader: str = "lackey", notes: tuple[str, ...] = ()) -> Summary:
    """What lackey.convert tells (a lackey.Converted), in the common form. reader, notes: of a reader that hands it its
    lines."""
    counts = {name: int(value) for name, value in done._asdict().items()}
    left_out = done.dropped_before + done.dropped_after
    told = (
        (done.markers, f"Cut by its markers: {left_out:,} lines outside the region of interest were left out."),
        (done.atomics, f"{done.atomics:,} atomics, neither loads nor stores."),
        (
            done.incomplete,
            f"{done.incomplete:,} records need more than three loads; the three latest to come are kept.",
        ),
        (done.unknown_code, f"The code of {done.unknown_code:,} instructions is not known."),
        (done.prefetches, f"{done.prefetches:,} software prefetches are not in it."),
    )
    return Summary(
        reader=reader,
        read=done.lines,
        unit="lines",
        instructions=done.instructions,
        loads=done.loads,
        stores=done.stores,
        branches=done.branches,
        records=done.records,
        threads=done.threads,
        sites=done.sites,
        dependence="exact" if done.exact else "unknown",
        notes=tuple(text for count, text in told if count) + notes,
        counts=counts,
    )
