"""A trace file as a program to simulate: a first pass for its footprint, then laps that stream it."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.blocks import Blocks, Space, move, place, touched
from numasim.traces.dependence import Rule, choose
from numasim.traces.parquet import TYPES, CodeFile, Meta, Reader
from numasim.traces.records import ATOMIC, AWAIT, LOCK, MARK, OP_END, POST, PREFETCH, UNLOCK, WAIT, Records
from numasim.traces.symbols import Symbols
from numasim.traces.thread_rows import Regions, ThreadRows

SITES = 254  # that keep their name; all others share one more
NEEDS = ("dep0", "dep1", "dep2")
ALWAYS = ("address", "thread", "site", "kind", "size", "insns")  # read even if 0 throughout


class TraceThread(NamedTuple):
    """One thread's part; its fields are those of numasim.workloads.ThreadProgram, and mean the same.

    lap(number): its records in chunks, the same every lap, the marks of all threads included.  lap_accesses: loads,
    stores and atomics in a lap.  operations: there are OP_END marks.  counts: there are COUNT_ON marks, so the trace
    itself says what counts.
    """

    lap: Callable[[int], Iterator[Records]]
    lap_accesses: int
    same: bool = True
    group: str = ""
    endless: bool = False
    operations: bool = False
    barriers: tuple[int, ...] = ()
    counts: bool = False
    tokens: int = 0


class TraceProgram(NamedTuple):
    """A trace ready to run.

    threads: in the order of the recorded numbers.  sites: names by number, the 254 that access most, then "other".
    dependence: the rule in use (see dependence.py).  left_out: accesses between regions of interest, not replayed (see
    thread_rows.py).  meta: what the file says of itself.
    """

    threads: list[TraceThread]
    sites: list[str]
    dependence: str
    left_out: int
    meta: Meta


class Survey(NamedTuple):
    """What the first pass found in what will be replayed.

    blocks: touched, ascending.  site_accesses: by the file's site number.  accesses, operations: by thread number.
    regions: the marks.  left_out: accesses between regions.  tokens: those posted, ascending.
    """

    blocks: npt.NDArray[np.int64]
    site_accesses: npt.NDArray[np.int64]
    accesses: npt.NDArray[np.int64]
    operations: npt.NDArray[np.int64]
    regions: Regions
    left_out: int
    tokens: npt.NDArray[np.int64]


def program(
    path: str | Path, space: Space, dependence: str | None = None, *, touch_node: int | None = None
) -> TraceProgram:
    """Prepare a trace file for simulation; its regions are asked of `space` here, its records are read lap by lap.

    touch_node: where all its memory counts as first touched (None: as the space has it); which thread built a structure
    before the recording is not known.
    dependence: "chain", "none", "window:N", "exact"; None: exact if the file has it, else chain. Raises UserError for
    an unknown rule, and for a file that is no trace, is damaged, or has no access (of each of its threads).
    """
    reader = Reader(path)
    rule = choose(dependence, reader.meta.dependence, str(path))
    found = survey(reader)
    numbers = np.flatnonzero(found.accesses).tolist()
    if not numbers:
        raise UserError("the trace has no memory access", str(path))
    if idle := set(reader.meta.threads).difference(numbers):
        raise UserError(f"thread {min(idle)} has no memory access in the region of interest", str(path))
    blocks = place(found.blocks, reader.meta.regions, space, touch_node)
    site_number, sites = name_sites(found.site_accesses, reader.meta.sites)
    sites = [symbolised(site, reader.meta) for site in sites] if reader.meta.code else sites
    last_off = found.regions.off if found.regions.off == found.regions.on else 0
    threads = []
    for number in numbers:

        def lap(_: int, number: int = number) -> Iterator[Records]:
            return _lap(str(path), ThreadRows(number, last_off), blocks, site_number, rule, found.tokens)

        accesses, operations = int(found.accesses[number]), bool(found.operations[number])
        counts, tokens = found.regions.on > 0, len(found.tokens)
        threads.append(TraceThread(lap, accesses, operations=operations, counts=counts, tokens=tokens))
    return TraceProgram(threads, sites, rule, found.left_out, reader.meta)


def survey(reader: Reader) -> Survey:
    """The first pass: in memory that grows with the footprint only."""
    blocks = np.zeros(0, np.int64)
    site_accesses = np.zeros(len(reader.meta.sites), np.int64)
    accesses, operations = np.zeros(65536, np.int64), np.zeros(65536, np.int64)
    regions, left_out = Regions(), 0
    posted: list[Any] = []  # (thread, token)
    for chunk in reader.chunks(("address", "thread", "site", "kind", "size")):
        thread, site, kind, size = (cast(npt.NDArray[Any], c) for c in chunk[1:5])
        inside = ~regions.outside(kind, chunk.address)
        placed = inside & _is_memory(kind)
        blocks = np.union1d(blocks, touched(chunk.address[placed], size[placed]))
        memory = inside & (kind <= ATOMIC)
        left_out += int(((kind <= ATOMIC) & ~inside).sum())
        counts = np.bincount(site[memory], minlength=len(site_accesses))
        if len(counts) > len(site_accesses):
            raise UserError(f"site {len(counts) - 1} has no name", reader.path)
        site_accesses += counts
        accesses += np.bincount(thread[memory], minlength=65536)
        operations += np.bincount(thread[inside & (kind == MARK) & (chunk.address == OP_END)], minlength=65536)
        posts = inside & (kind == POST)
        if posts.any():
            posted.append(np.stack([thread[posts].astype(np.int64), chunk.address[posts]]))
    if not regions.in_turn:
        raise UserError("its marks do not begin and end counting in turn", reader.path)
    tokens = _posted(posted, accesses, reader.path)
    return Survey(blocks, site_accesses, accesses, operations, regions, left_out, tokens)


def _posted(pieces: list[Any], accesses: npt.NDArray[np.int64], path: str) -> npt.NDArray[np.int64]:
    """The tokens posted by threads that are replayed. Raises UserError if one is posted twice."""
    thread, token = np.concatenate(pieces, axis=1) if pieces else np.zeros((2, 0), np.int64)
    tokens, times = np.unique(token[accesses[thread] > 0], return_counts=True)
    if (times > 1).any():
        raise UserError(f"token {tokens[times > 1][0]} is posted twice", path, "each posted once")
    return tokens


def symbolised(site: str, meta: Meta) -> str:
    """A site's function and offset, and its source line where that is known; its address if the code's file is gone."""
    place = symbols_of(tuple(meta.code)).of_site(site)
    if place is None:
        return site
    return f"{place.name} {place.source}:{place.line}" if place.line else place.name


@functools.cache
def symbols_of(code: tuple[CodeFile, ...]) -> Symbols:
    """The symbols of a trace's code: its files are opened once."""
    return Symbols(code)


def name_sites(accesses: npt.NDArray[np.int64], names: list[str]) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """By the file's site number, the number from 0 to 254 it has in the simulation; and those numbers' names."""
    if len(names) <= SITES + 1:
        return np.arange(len(names), dtype=np.uint8), list(names)
    number = np.full(len(names), SITES, np.uint8)
    most = np.argsort(-accesses, kind="stable")[:SITES]
    number[most] = np.arange(SITES)
    return number, [names[site] for site in most] + ["other"]


def _is_memory(kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which records have a data address (a branch's is code; a mark, a barrier, a wait has a number)."""
    is_memory: npt.NDArray[np.bool_] = (kind <= PREFETCH) | (kind == LOCK) | (kind == UNLOCK)
    return is_memory


def _renumbered(columns: dict[str, Any], tokens: npt.NDArray[np.int64]) -> None:
    """Tokens become their places among those that are posted. Whoever awaits one that is not, since its post was left
    out or another thread's before the recording, does not wait."""
    kind, address = columns["kind"], columns["address"]
    own = np.flatnonzero((kind == POST) | (kind == AWAIT))
    if not len(own):
        return
    known, place = np.isin(address[own], tokens), np.searchsorted(tokens, address[own])
    columns["kind"] = kind = kind.copy()
    kind[own[~known]] = WAIT  # of no cycles
    address[own] = np.where(known, place, 0)


def _lap(
    path: str,
    pick: ThreadRows,
    blocks: Blocks,
    site: npt.NDArray[np.uint8],
    rule: str,
    tokens: npt.NDArray[np.int64],
) -> Iterator[Records]:
    """One thread's records, from the file's beginning to its end."""
    apply = Rule(rule) if rule != "exact" else None
    insns = AtLeastOne()
    reader = Reader(path)
    used = [name for name in TYPES if name not in reader.meta.zero]
    for chunk in reader.chunks(list(dict.fromkeys([*ALWAYS, *used]))):
        rows, limit = pick.of(chunk)
        if not len(rows.address):
            continue
        columns = rows._asdict()
        del columns["thread"]
        memory = np.flatnonzero(_is_memory(rows.kind))
        columns["address"], columns["size"] = rows.address.copy(), rows.size.copy()
        moved = move(blocks, rows.address[memory], rows.size[memory], path)
        columns["address"][memory], columns["size"][memory] = moved
        _renumbered(columns, tokens)
        columns["site"] = site[rows.site]
        columns["insns"] = insns.spread(rows.insns)
        for name in (*NEEDS, "fwd"):
            if name in used:
                columns[name] = np.where(columns[name] > limit, 0, columns[name])
        if apply:
            _apply(apply, columns, used)
        yield Records(**columns)


def _apply(rule: Rule, columns: dict[str, Any], used: list[str]) -> None:
    """Give the loads the needs the rule says, and no others; what is not a load keeps its own."""
    loads, back = rule.needs(columns["kind"])
    for name in (*NEEDS, "lag0", "lag1", "lag2"):
        if name in used:
            columns[name] = columns[name].copy()
            columns[name][loads] = 0
    if rule.window:
        if "dep0" not in used:
            columns["dep0"] = np.zeros(len(columns["kind"]), np.uint8)
        columns["dep0"][loads] = back


class AtLeastOne:
    """Instructions since the last record, 0 for a further access of the same instruction, made at least 1.

    What is added is taken off the next gaps, so that sums stay right: the sum up to record i is the largest of
    `recorded sum up to j, + i - j` over j <= i.
    """

    def __init__(self) -> None:
        self.debt = 0  # added and not yet taken off

    def spread(self, insns: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The next chunk's."""
        order = np.arange(1, len(insns) + 1)
        recorded = np.cumsum(insns, dtype=np.int64)
        total = order + np.maximum(np.maximum.accumulate(recorded - order), self.debt)
        made = np.diff(total, prepend=self.debt).astype(np.uint8)
        self.debt = int(total[-1] - recorded[-1])
        return made
