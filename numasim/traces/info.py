"""What is in a trace file: accesses, sites, regions, footprint. One pass; memory grows with the footprint only."""

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.blocks import LAYOUT, REST
from numasim.traces.parquet import Range, Reader
from numasim.traces.records import ATOMIC, KINDS, PREFETCH

Ints = npt.NDArray[np.int64]

LINE_BYTES, PAGE_BYTES = 64, 4096
MERGE = 1 << 20  # lines that wait before they are made one sorted array with the others


class RegionUse(NamedTuple):
    """What was touched of a region: lines of 64 bytes; accesses to it."""

    name: str
    lines: int
    accesses: int


class SiteUse(NamedTuple):
    """A call site by the name it has in the file; its loads, stores and atomics."""

    name: str
    loads: int
    stores: int
    atomics: int

    @property
    def accesses(self) -> int:
        """All three."""
        return self.loads + self.stores + self.atomics


class Info(NamedTuple):
    """What is in a trace.

    records: rows by kind.  instructions: in the file.  threads: accesses by thread number.  lines, pages: touched, of
    64 bytes and of 4 KiB.  regions, sites: most accessed first.
    """

    records: dict[str, int]
    instructions: int
    threads: dict[int, int]
    lines: int
    pages: int
    regions: list[RegionUse]
    sites: list[SiteUse]

    @property
    def accesses(self) -> int:
        """Loads, stores and atomics."""
        return sum(self.records[name] for name in KINDS[: ATOMIC + 1])


class Touched:
    """Numbers of lines, each once, gathered chunk by chunk."""

    def __init__(self) -> None:
        self.known = np.zeros(0, np.int64)
        self.waiting: list[Ints] = []

    def add(self, address: Ints, size: npt.NDArray[np.uint8]) -> None:
        """The lines of these accesses, at most two each."""
        first, last = address // LINE_BYTES, (address + size - 1) // LINE_BYTES
        self.waiting.append(np.unique(np.concatenate([first, last[last > first]])))
        if sum(map(len, self.waiting)) > max(MERGE, len(self.known)):
            self.lines()

    def lines(self) -> Ints:
        """All, ascending."""
        self.known = np.unique(np.concatenate([self.known, *self.waiting]))
        self.waiting.clear()
        return self.known


class RegionFinder:
    """Which region an address is in: the first of the file's that has it, "data" where none has.

    Without regions in the file the main stacks are `stack`, as at replay.
    """

    def __init__(self, ranges: list[Range]) -> None:
        ranges = ranges or list(LAYOUT)
        self.names = [*dict.fromkeys(r.name for r in ranges), REST]
        edges = np.unique([0, *(e for r in ranges for e in (r.start, r.end))]).astype(np.int64)
        number = np.full(len(edges), len(self.names) - 1)
        for r in reversed(ranges):
            number[(edges >= r.start) & (edges < r.end)] = self.names.index(r.name)
        self.edges, self.number = edges, number

    def of(self, address: Ints) -> npt.NDArray[np.intp]:
        """Numbers of their regions, in `names`."""
        found: npt.NDArray[np.intp] = self.number[np.searchsorted(self.edges, address, side="right") - 1]
        return found


def info(reader: Reader) -> Info:
    """Read a trace once. Raises UserError if it is damaged."""
    kinds = np.zeros(len(KINDS), np.int64)
    sites = np.zeros((ATOMIC + 1, max(len(reader.meta.sites), 1)), np.int64)
    threads = np.zeros(1 << 16, np.int64)
    finder, touched, instructions = RegionFinder(reader.meta.regions), Touched(), 0
    region_accesses = np.zeros(len(finder.names), np.int64)
    for chunk in reader.chunks(("address", "thread", "site", "kind", "size", "insns")):
        thread, site, kind, size, insns = (cast(npt.NDArray[Any], c) for c in chunk[1:6])
        kinds += np.bincount(kind, minlength=len(KINDS))
        instructions += int(insns.sum())
        placed = kind <= PREFETCH
        touched.add(chunk.address[placed], size[placed])
        memory = kind <= ATOMIC
        threads += np.bincount(thread[memory], minlength=len(threads))
        region_accesses += np.bincount(finder.of(chunk.address[memory]), minlength=len(finder.names))
        if site.max(initial=0) >= sites.shape[1]:
            raise UserError(f"site {site.max()} has no name", reader.path)
        for k in range(ATOMIC + 1):
            sites[k] += np.bincount(site[kind == k], minlength=sites.shape[1])
    lines = touched.lines()
    region_lines = np.bincount(finder.of(lines * LINE_BYTES), minlength=len(finder.names))
    regions = [
        RegionUse(name, int(n), int(a))
        for name, n, a in zip(finder.names, region_lines, region_accesses, strict=True)
        if n
    ]
    named = [SiteUse(name, *counts) for name, *counts in zip(reader.meta.sites, *sites.tolist(), strict=False)]
    return Info(
        dict(zip(KINDS, kinds.tolist(), strict=True)),
        instructions,
        {int(n): int(threads[n]) for n in np.flatnonzero(threads)},
        len(lines),
        len(np.unique(lines // (PAGE_BYTES // LINE_BYTES))),
        sorted(regions, key=lambda r: -r.accesses),
        sorted((s for s in named if s.accesses), key=lambda s: -s.accesses),
    )
