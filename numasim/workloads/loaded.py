"""loaded: latency under load: one thread chases pointers, the others load memory as a delay lets them."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.chase import Cycle, chaser
from numasim.workloads.settings import LINE, MAX_ELEMENTS, choice, count, key, size_bytes, traffic
from numasim.workloads.stream import Streams


@workload("loaded")
@dataclass(frozen=True)
class Loaded(Workload):
    """Loaded latency, as Intel MLC measures it: the first thread chases pointers, the others stream without end.

    Unless told, the chaser makes 100,000 accesses and does not warm up. The groups `chaser` and `generators` are
    reported apart. Each thread has a buffer of its own: load, not sharing.
    """

    default_threads = 2

    size: int = key(
        size_bytes(LINE, MAX_ELEMENTS * LINE, 4096), "512MiB", "bytes the chaser goes through, in a random cycle"
    )
    within: str = key(
        choice("all", "page"), "all", "random over all lines, or over a 4 KiB page at a time (few TLB misses)"
    )
    buffer: int = key(size_bytes(LINE, multiple=LINE), "64MiB", "bytes each generator goes through, again and again")
    streams: int = key(count(1, 256), "1", "streams a generator follows in turn")
    delay: int = key(count(0, 10_000_000, "cycles"), "0", "cycles a generator pauses after each line")
    ratio: Fraction = key(
        traffic(), "1:0", "reads:writes of the generators' memory traffic (a stored line is read first)"
    )

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The buffers."""
        return self.size + self.buffer * (threads - 1)

    def build(self, ctx: Context) -> Program:
        """Regions: `chase`, and a `stream` for each generator."""
        cycle = Cycle(self.size, "random", LINE, self.within, ctx.random(0))
        streams = Streams(self.buffer, self.streams, LINE, self.ratio, self.delay, (1, 2))
        if not streams.count:
            raise self.error("streams", f"{self.streams} streams in {self.buffer} bytes", "at least a line for each")
        threads = [chaser(cycle, ctx.region("chase", self.size, 0), 0, "chaser")]
        for place in range(1, len(ctx.threads)):
            phase = int(ctx.random(1, place).integers(self.delay + 1))  # else all would pause, and ask, in step
            lap = streams.lap(ctx.region("stream", self.buffer, place), phase)
            threads.append(ThreadProgram(lap, streams.count, True, "generators", endless=True))
        return Program(threads, ["chase: p = *p", "generator: load", "generator: store"])
