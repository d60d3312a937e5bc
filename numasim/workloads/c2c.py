"""c2c: one thread reads what another has in its cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numasim.traces.records import BARRIER, LOAD, STORE, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.chase import INSNS, Cycle
from numasim.workloads.settings import LINE, choice, key, size_bytes

SITES = ["c2c: writer prepares", "c2c: reader chases", "c2c: barrier"]


@workload("c2c")
@dataclass(frozen=True)
class CacheToCache(Workload):
    """A writer brings a buffer into its caches, then a reader chases through it: one buffer a lap, in turn.

    hitm: the writer stores to the buffer, so its lines are modified; two buffers in turn. hit: it reads a buffer that
    no cache holds, so its lines are clean; as many buffers in turn as it takes for the caches to forget the first.
    Threads work in pairs (writer, reader), each with buffers of its own: shared within a pair by nature. The groups
    `writer` and `reader` are reported apart.
    """

    default_threads = 2

    state: str = key(choice("hit", "hitm"), "hitm", "the lines are clean, or modified, in the writer's cache")
    home: str = key(choice("reader", "writer"), "writer", "whose node holds the buffers' memory")
    size: int = key(size_bytes(LINE, multiple=LINE), "256KiB", "bytes of a buffer; it should fit the writer's L2")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The buffers."""
        return self._buffers(machine) * self.size * (threads // 2)

    def build(self, ctx: Context) -> Program:
        """A region `buffers` for each pair."""
        if len(ctx.threads) % 2:
            raise self.error("threads", f"{len(ctx.threads)} threads", "an even number")
        cycle = Cycle(self.size, "random", LINE, "all", ctx.random(0))
        buffers = self._buffers(ctx.machine)
        threads = []
        for pair in range(len(ctx.threads) // 2):
            base = ctx.region("buffers", buffers * self.size, 2 * pair + (self.home == "reader"))
            for turn in range(2):
                threads.append(self._thread(base, buffers, cycle, pair, turn))
        return Program(threads, SITES)

    def _buffers(self, machine: Any) -> int:
        """How many in turn: so many that no cache holds the first any more when its turn comes again, twice what both
        L2s and the L3s of two domains hold."""
        forgotten = int(4 * (machine.l3.size_bytes + machine.l2.size_bytes))
        return 2 if self.state == "hitm" else max(2, -(-forgotten // self.size))

    def _thread(self, base: int, buffers: int, cycle: Cycle, pair: int, turn: int) -> ThreadProgram:
        """turn 0: the writer, which works before the first barrier of a lap; 1: the reader, between the two."""

        def lap(number: int) -> Iterator[Records]:
            buffer = base + number % buffers * self.size
            barrier = Records(np.array([pair]), BARRIER, site=2)
            if turn:
                yield barrier
                for part, address in enumerate(cycle.chunks(buffer, 0)):
                    # the first pointer of a buffer is known
                    yield Records(address, insns=INSNS, site=1, dep0=1 if part else np.arange(len(address)) > 0)
            else:
                kind = STORE if self.state == "hitm" else LOAD
                for address in Cycle(self.size, "stride", LINE, "all", np.random.default_rng(0)).chunks(buffer, 0):
                    yield Records(address, kind, insns=INSNS, site=0)
                yield barrier
            yield barrier

        group = ("writer", "reader")[turn]
        return ThreadProgram(lap, cycle.count, False, group, barriers=(pair,))
