"""chase: a chain of pointers, one to a line, as latency benchmarks follow it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numasim.traces.records import CHUNK, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.flow import Ints
from numasim.workloads.settings import LINE, MAX_ELEMENTS, choice, key, size_bytes, yes_no

PAGE = 4096
INSNS = 4  # gcc -O2: add, mov (%rax),%rax, cmp, jne


class Cycle:
    """Order in which a chase visits the lines of `size` bytes: all of them, each once, then again.

    random: one random cycle through all lines; within "page": through the lines of one 4 KiB page, then of another.
    stride: `stride` bytes on; past the end, on at the next line not yet visited.
    """

    def __init__(self, size: int, order: str, stride: int, within: str, rng: np.random.Generator) -> None:
        self.count = size // LINE
        self.rows = size // stride
        self.step = stride // LINE
        self.lines: np.ndarray[tuple[int], np.dtype[np.uint32]] | None = None
        if order == "random" and within == "page":
            pages = rng.permutation(size // PAGE).astype(np.uint32)
            inside = rng.permuted(np.tile(np.arange(PAGE // LINE, dtype=np.uint32), (len(pages), 1)), axis=1)
            self.lines = (pages[:, None] * np.uint32(PAGE // LINE) + inside).reshape(-1)
        elif order == "random":
            self.lines = rng.permutation(np.arange(self.count, dtype=np.uint32))

    def offsets(self, first: int, stop: int) -> Ints:
        """Byte offsets of the visits number first .. stop-1 of the cycle."""
        if self.lines is not None:
            return self.lines[first:stop].astype(np.int64) * LINE
        visit = np.arange(first, stop)
        return (visit % self.rows * self.step + visit // self.rows) * LINE

    def chunks(self, base: int, start: int) -> Iterator[Ints]:
        """Addresses of one cycle that begins with visit number `start`."""
        for begin, end in ((start, self.count), (0, start)):
            for first in range(begin, end, CHUNK):
                yield base + self.offsets(first, min(first + CHUNK, end))


@workload("chase")
@dataclass(frozen=True)
class Chase(Workload):
    """Pointer chase: each load's address is what the load before it read, one load to a line.

    Each thread has a buffer of its own, as benchmarks that load every core do; all walk the same cycle, each from a
    place of its own. With shared=yes all walk one buffer.
    """

    size: int = key(size_bytes(LINE, MAX_ELEMENTS * 4 * LINE, LINE), "64MiB", "bytes chased through (by each thread)")
    order: str = key(choice("random", "stride"), "random", "one random cycle through all lines, or equal steps")
    stride: int = key(size_bytes(LINE, multiple=LINE), "256", "bytes from one load to the next, for order=stride")
    within: str = key(
        choice("all", "page"), "all", "random over all lines, or over a 4 KiB page at a time (few TLB misses)"
    )
    shared: bool = key(yes_no(), "no", "all threads chase through one buffer")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The buffers."""
        return self.size * (1 if self.shared else threads)

    def build(self, ctx: Context) -> Program:
        """One region, `chase`, for each thread or for all."""
        if self.within == "page" and self.size % PAGE:
            raise self.error("size", f"{self.size} bytes with within=page", f"a multiple of {PAGE}")
        if self.order == "stride" and self.size % self.stride:
            raise self.error("stride", f"{self.stride} bytes", f"a divisor of size={self.size}")
        cycle = Cycle(self.size, self.order, self.stride, self.within, ctx.random(0))
        starts = ctx.random(1).integers(0, cycle.count, len(ctx.threads))
        starts[0] = 0
        bases = ctx.regions("chase", self.size, self.shared)
        return Program(
            [chaser(cycle, base, int(start)) for base, start in zip(bases, starts, strict=True)], ["chase: p = *p"]
        )


def chaser(cycle: Cycle, base: int, start: int, group: str = "") -> ThreadProgram:
    """A thread that follows the cycle at `base`, from visit `start` on; its site is number 0."""

    def lap(number: int) -> Iterator[Records]:
        for address in cycle.chunks(base, start):
            yield Records(address, insns=INSNS, dep0=1)

    return ThreadProgram(lap, cycle.count, True, group)
