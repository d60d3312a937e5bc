"""lock: threads that take turns in a critical section."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from numasim.traces.records import LOCK, MARK, OP_BEGIN, OP_END, STORE, UNLOCK, WAIT, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.flow import Code, Flow, Step
from numasim.workloads.scripts import Script
from numasim.workloads.settings import LINE, choice, count, key

BATCH = 2048
STEPS = {
    "think": Step("lock: think", WAIT),
    "begin": Step("lock: think", MARK),
    "lock": Step("lock: lock", LOCK, 4),
    "load": Step("lock: load protected data", insns=2, writes=("x",)),
    "store": Step("lock: store protected data", STORE, 2, {"x": 1}),
    "unlock": Step("lock: unlock", UNLOCK, 2),
    "end": Step("lock: unlock", MARK),
}


@workload("lock")
@dataclass(frozen=True)
class Lock(Workload):
    """Threads think, take a lock, load and store the data it protects, and release it: an operation, thinking excluded.

    All threads share the locks and the data: that is what is asked. With locks=N each turn takes a random one of N.
    """

    default_threads = 2

    cs: int = key(count(0, 10_000), "4", "accesses in the critical section: loads and stores in turn, two to a line")
    think: int = key(count(0, 100_000_000, "cycles"), "1000", "mean pause before the lock is asked for")
    spread: str = key(choice("exponential", "fixed"), "exponential", "pauses are random, or all the same")
    locks: int = key(count(1, 100_000), "1", "locks, each with data of its own")
    turns: int = key(count(1, 1 << 40), "10000", "critical sections of each thread in a lap")

    def build(self, ctx: Context) -> Program:
        """Regions: `locks` (each on a line of its own) and `protected data`."""
        lines = -(-self.cs // 2)
        locks = ctx.region("locks", self.locks * LINE, 0)
        data = ctx.region("protected data", self.locks * lines * LINE, 0)
        code = Code(STEPS)

        def lap(place: int, number: int) -> Iterator[Records]:
            rng, flow = ctx.random(place, number), Flow(code)
            batch = max(1, min(BATCH, 65536 // (self.cs + 5)))
            for done in range(0, self.turns, batch):
                script = Script(code, min(batch, self.turns - done))
                which = rng.integers(0, self.locks, script.count)
                if self.think:
                    random = self.spread == "exponential"
                    pause = (
                        np.rint(rng.exponential(self.think, script.count))
                        if random
                        else np.full(script.count, self.think)
                    )
                    script.do("think", pause.astype(np.int64))
                script.do("begin", OP_BEGIN)
                script.do("lock", locks + which * LINE)
                for access in range(self.cs):
                    script.do(("load", "store")[access % 2], data + (which * lines + access // 2) * LINE)
                script.do("unlock", locks + which * LINE)
                script.do("end", OP_END)
                step, address, _ = script.finish()
                yield flow.records(step, address)

        def thread(place: int) -> ThreadProgram:
            return ThreadProgram(lambda number: lap(place, number), self.turns * (self.cs + 2), False, operations=True)

        return Program([thread(place) for place in range(len(ctx.threads))], code.sites)
