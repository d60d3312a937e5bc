"""The cases as numasim runs them: the shipped model of icx-8360y-2s with everything on."""

from typing import Any

import numasim as ns
from benchmarks.cases import CORES, L1, L3, Case

MODEL = "icx-8360y-2s"
# Enough to time. A case that is not here runs what a user gets: a lap to warm up, then a lap.
ACCESSES = {L1: 50_000_000, L3: 4_000_000}


def run(case: Case, **keys: Any) -> Any:
    """The result of `numasim run` on that case; keys go to ns.run (accesses=, seed=, scheduler=)."""
    if case.cores > 1:
        keys |= {"threads": case.cores, "physcpubind": f"0-{case.cores - 1}", "localalloc": True}
    else:
        keys |= {"cpunodebind": "0", "membind": "0"}
    if case in ACCESSES:
        keys = {"accesses": ACCESSES[case]} | keys
    return ns.run(MODEL, "chase", size=case.size_bytes, pages=case.pages, **keys)


def rate(case: Case) -> float:
    """Simulated accesses, warm-up included, over the CPU seconds of simulation and trace generation."""
    return float(run(case).host.accesses_per_cpu_s)


def compile_engine() -> None:
    """A short run of every kind, so that no timed one compiles or loads."""
    run(L1, accesses=1000)
    run(CORES._replace(size_bytes=L1.size_bytes), accesses=1000)
