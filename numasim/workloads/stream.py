"""stream: sequential reads and writes, endless supplies of independent accesses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from numasim.traces.records import CHUNK, LOAD, STORE, WAIT, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.flow import Ints
from numasim.workloads.settings import LINE, count, fraction, key, size_bytes, traffic, yes_no

INSNS = 4  # gcc -O2 -mavx512f: vpord (%rdi) or vmovdqa64, add, cmp, jne
SITES = ["stream: load", "stream: store"]


@workload("stream")
@dataclass(frozen=True)
class Stream(Workload):
    """Sequential reads and writes: several streams in turn, each through its part of a buffer.

    Each thread has a buffer of its own, as bandwidth benchmarks have; shared=yes: all go through one.
    """

    size: int = key(size_bytes(LINE, multiple=LINE), "256MiB", "bytes of a buffer, all streams together")
    streams: int = key(count(1, 256), "1", "streams a thread follows in turn, each through an equal part of the buffer")
    access: int = key(size_bytes(1, LINE), "64", "bytes an access; a power of two")
    writes: Fraction = key(fraction(), "0", "share of accesses that are stores, evenly spread")
    ratio: Fraction = key(
        traffic(), "1:0", "reads:writes of the memory traffic (a stored line is read first), instead of writes"
    )
    shared: bool = key(yes_no(), "no", "all threads go through one buffer")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The buffers."""
        return self.size * (1 if self.shared else threads)

    def build(self, ctx: Context) -> Program:
        """One region, `stream`, for each thread or for all."""
        if self.access & (self.access - 1):
            raise self.error("access", f"{self.access} bytes", "a power of two, 1 to 64")
        if self.writes and self.ratio:
            raise self.error("writes", "given with ratio", "one of the two")
        walk = Streams(self.size, self.streams, self.access, self.writes or self.ratio)
        if not walk.count:
            raise self.error("streams", f"{self.streams} streams in {self.size} bytes", "at least a line for each")
        bases = ctx.regions("stream", self.size, self.shared)
        return Program([ThreadProgram(walk.lap(base), walk.count, True) for base in bases], SITES)


class Streams:
    """The accesses of a lap: number i goes to stream i % streams; it is a store where i * stores passes a whole number.

    count: of the accesses; each stream has whole lines. delay: cycles of a pause after each access (0: none).
    sites: numbers of the call sites of loads and stores.
    """

    def __init__(
        self, size: int, streams: int, access: int, stores: Fraction, delay: int = 0, sites: Sequence[int] = (0, 1)
    ) -> None:
        self.streams, self.access, self.delay = streams, access, delay
        self.part = size // streams // LINE * LINE
        self.count = self.part // access * streams
        self.per = CHUNK // 2 // stores.denominator * stores.denominator
        turn = np.arange(self.per) * stores.numerator % stores.denominator
        store = turn + stores.numerator >= stores.denominator
        self.mixed = 0 < stores < 1
        kind, site = np.where(store, STORE, LOAD).astype(np.uint8), np.where(store, sites[1], sites[0]).astype(np.uint8)
        self.kind, self.site = kind, site
        if delay:
            self.kind, self.site = (
                np.stack([kind, np.full(self.per, WAIT, np.uint8)], 1).reshape(-1),
                np.repeat(site, 2),
            )
        self.insns: npt.NDArray[np.uint8] = np.tile(np.array([INSNS, 1], np.uint8), self.per)

    def offsets(self, first: int, stop: int) -> Ints:
        """Offsets in the buffer of accesses number first .. stop-1."""
        if self.streams == 1:
            return np.arange(first * self.access, stop * self.access, self.access)
        number = np.arange(first, stop)
        return number % self.streams * self.part + number // self.streams * self.access

    def lap(self, base: int, phase: int = 0) -> Callable[[int], Iterator[Records]]:
        """The laps, all the same, of a thread whose buffer is at `base`; only its first pause is of `phase` cycles."""

        def records(number: int) -> Iterator[Records]:
            for first in range(0, self.count, self.per):
                stop = min(first + self.per, self.count)
                address = base + self.offsets(first, stop)
                if self.delay:
                    address = np.stack([address, np.full_like(address, self.delay)], 1).reshape(-1)
                    if number == 0 and first == 0:
                        address[1] = phase
                    n = len(address)
                    yield Records(address, self.kind[:n], self.access, self.insns[:n], self.site[:n])
                elif self.mixed:
                    yield Records(address, self.kind[: len(address)], self.access, INSNS, self.site[: len(address)])
                else:
                    yield Records(address, self.kind[0], self.access, INSNS, self.site[0])

        return records
