"""pingpong: two threads take a line from each other, by atomic operations."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from numasim.traces.records import ATOMIC, CHUNK, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.settings import choice, count, key

INSNS, LAG = 4, 1  # mov, lock cmpxchg, cmp, jne: the next attempt needs the outcome of the last


@workload("pingpong")
@dataclass(frozen=True)
class PingPong(Workload):
    """Two threads compare-and-swap one line in turn, each attempt after its last: one takes as long as a handover.

    Threads work in pairs (the first two, the next two ...), each with a line of its own, shared within it by nature.
    """

    default_threads = 2

    handovers: int = key(count(1, CHUNK), "10000", "attempts of each thread in a lap")
    home: str = key(choice("first", "second"), "first", "whose node holds the line's memory")

    def build(self, ctx: Context) -> Program:
        """A region `line` for each pair, first touched by the one it is at home with."""
        if len(ctx.threads) % 2:
            raise self.error("threads", f"{len(ctx.threads)} threads", "an even number")
        threads = []
        for first in range(0, len(ctx.threads), 2):
            line = ctx.region("line", 64, first + (self.home == "second"))
            threads += [_thread(line, self.handovers)] * 2
        return Program(threads, ["pingpong: compare and swap"])


def _thread(line: int, handovers: int) -> ThreadProgram:
    def lap(number: int) -> Iterator[Records]:
        yield Records(np.full(handovers, line), ATOMIC, insns=INSNS, dep0=1, lag0=LAG)

    return ThreadProgram(lap, handovers, True)
