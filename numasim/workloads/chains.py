"""chains: several chains of pointers followed at once, over all lines or a line of every page, timed if wished."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numasim.memory.frames import scramble
from numasim.traces.records import CHUNK, COUNT_OFF, COUNT_ON, LOAD, MARK, MAX_LAG, OP_END, STORE, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.flow import Ints
from numasim.workloads.hashing import hashed
from numasim.workloads.settings import LINE, MAX_ELEMENTS, choice, count, key, size_bytes

PAGE = 4096
SHUFFLED = 1 << 20  # up to so many elements a permutation is drawn at once; of more, only as far as it is followed
SITES = ["chains: p = *p", "chains: what is not counted", "chains: *p = next"]


@workload("chains")
@dataclass(frozen=True)
class Chains(Workload):
    """Chains of dependent loads, each in its own part of a buffer, followed at once: a step is a load of each.

    What is counted begins after `lead` loads, so that a chain through much memory need not be followed to its end. With
    `stamp`, each load is done between two serialised time stamps, and is an operation: so its latency has their cost.
    """

    size: int = key(size_bytes(LINE, MAX_ELEMENTS * 4 * LINE, LINE), "64MiB", "bytes of all chains together")
    chains: int = key(count(1, 64), "1", "chains followed at once")
    every: int = key(size_bytes(LINE, 1 << 30, LINE), "64", "one line of every so many bytes is in a chain")
    within: str = key(
        choice("all", "page"), "all", "random over all lines, or over a 4 KiB page at a time (few TLB misses)"
    )
    stamp: int = key(count(0, MAX_LAG, "cycles"), "0", "cycles of the time stamps around each load; 0: none")
    written: int = key(
        count(0), "0", "lines written one after the other before, as a host does that has built the chains"
    )
    lead: int = key(count(0), "0", "loads before those that count")
    loads: int = key(count(), "100000", "loads that count")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The buffers."""
        return self.size * threads

    def build(self, ctx: Context) -> Program:
        """One region, `chains`, for each thread."""
        units = self.size // self.chains // self.every
        if units < 1:
            raise self.error("chains", f"{self.chains} in {self.size} bytes", "a line at least in each part")
        if self.within == "page" and (self.every != LINE or self.size % (self.chains * PAGE)):
            raise self.error(
                "within", "page", f"every={LINE}, and a size of whole pages of {PAGE} bytes for each chain"
            )
        if self.stamp and self.chains > 1:
            raise self.error("stamp", f"with {self.chains} chains", "chains=1")
        return Program([self._thread(ctx, place, units) for place in range(len(ctx.threads))], SITES)

    def _thread(self, ctx: Context, place: int, units: int) -> ThreadProgram:
        base, k = ctx.region("chains", self.size, place), self.chains
        steps = -(-self.lead // k), -(-self.loads // k)
        ways = [base + n * units * self.every + self._way(ctx, place, n, units, sum(steps)) for n in range(k)]

        def lap(number: int) -> Iterator[Records]:
            yield from self._built(base)
            yield from self._records(ways, 0, steps[0], 1)
            yield Records(np.array([COUNT_ON]), MARK)
            yield from self._records(ways, steps[0], sum(steps), 0)
            yield Records(np.array([COUNT_OFF]), MARK)

        written = min(self.written, self.size // self.every)
        return ThreadProgram(lap, written + sum(steps) * k, True, operations=self.stamp > 0, counts=True)

    def _built(self, base: int) -> Iterator[Records]:
        """Stores to the last of the lines, in the order of their addresses: gcc -O2, four instructions each."""
        lines = self.size // self.every
        for first in range(max(0, lines - self.written), lines, CHUNK):
            unit = np.arange(first, min(first + CHUNK, lines))
            yield Records(base + self._offset(unit), STORE, insns=4, site=2)

    def _offset(self, unit: Ints) -> Ints:
        """Neither the same line of each page, nor lines in step with the sets of a cache."""
        return unit * self.every + 65 * unit % (self.every // LINE) * LINE

    def _way(self, ctx: Context, place: int, chain: int, units: int, steps: int) -> Ints:
        """Offsets of the lines in the order they are visited, as many as there are, or are needed."""
        a_page = PAGE // LINE
        rng = ctx.random(place, chain)
        if self.within == "page":
            pages = _order(units // a_page, -(-steps // a_page), rng)
            lines = pages[:, None] * a_page + np.arange(a_page)
            inside = np.argsort(hashed(lines, int(rng.integers(1 << 62))), axis=1)
            return np.take_along_axis(lines, inside, 1).reshape(-1) * LINE
        unit = _order(units, steps, rng)
        return self._offset(unit)

    def _records(self, ways: list[Ints], first: int, stop: int, site: int) -> Iterator[Records]:
        k, a_load = len(ways), 2 if self.stamp else 1
        per = CHUNK // (k * a_load)
        for begin in range(first, stop, per):
            number = np.arange(begin, min(begin + per, stop))
            address = np.stack([way[number % len(way)] for way in ways], 1).reshape(-1)
            if self.stamp:
                address = np.stack([address, np.full_like(address, OP_END)], 1).reshape(-1)
                kind, load = np.tile(np.array([LOAD, MARK], np.uint8), len(number)), np.tile([1, 0], len(number))
                yield Records(address, kind, site=site, dep0=2 * load, lag0=self.stamp * load)
            else:
                # gcc -O3: a mov a chain, and two instructions a step for the loop
                yield Records(address, insns=3 if k == 1 else 2, site=site, dep0=k)


def _order(count: int, needed: int, rng: np.random.Generator) -> Ints:
    """A random order of 0 .. count-1: all of it, or the first `needed` of many."""
    if count <= max(SHUFFLED, needed):
        return rng.permutation(count)
    bits, key = (count - 1).bit_length(), rng.integers(0, 1 << 62, 8)
    found = scramble(np.arange(min(1 << bits, 3 * needed + 1000)), bits, key)
    return found[found < count][:needed] if len(found) < 1 << bits else found[found < count]
