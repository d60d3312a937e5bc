"""numasim's speed beside pycachesim's and pure simpy's: `python tests/benchmarks/bench.py`, a Markdown table on stdout.

A host's speed swings by half within an hour, its neighbours' work being in its caches. So each pair of runs is made at
once, in turns as to which comes first, and what counts is the median of the pairs' ratios.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # when run as a file

from benchmarks import numasim_side, pure_simpy, pycachesim_twin
from benchmarks.cases import CASES, DRAM, Case

PAIRS = 5


class Row(NamedTuple):
    """One case: the pairs' rates in accesses a CPU second, and the one rate of pure simpy."""

    case: Case
    ours: tuple[float, ...]
    theirs: tuple[float, ...]  # pycachesim; for many cores, which it cannot, its rate for one in DRAM
    simpy: float

    @property
    def ratio(self) -> float:
        """Median over the pairs of numasim's rate by pycachesim's."""
        return statistics.median(a / b for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def by_simpy(self) -> float:
        """numasim's median rate by pure simpy's."""
        return statistics.median(self.ours) / self.simpy


def measure(cases: Sequence[Case] = CASES, pairs: int = PAIRS) -> list[Row]:
    """All cases once a round, `pairs` rounds. Takes some minutes."""
    numasim_side.compile_engine()
    rates: dict[Case, list[tuple[float, float]]] = {case: [] for case in cases}
    for turn in range(pairs):
        for case in cases:
            rival = case if case.cores == 1 else DRAM
            if turn % 2:
                ours = numasim_side.rate(case)
                theirs = pycachesim_twin.rate(rival)
            else:
                theirs = pycachesim_twin.rate(rival)
                ours = numasim_side.rate(case)
            rates[case].append((ours, theirs))
            print(f"{case.name}: {ours / 1e6:.2f} M/s, pycachesim {theirs / 1e6:.2f} M/s", file=sys.stderr)
    rows = []
    for case in cases:
        ours_all, theirs_all = zip(*rates[case], strict=True)
        slow = pure_simpy.simulate(case, pure_simpy.accesses_for(case)).rate
        rows.append(Row(case, ours_all, theirs_all, slow))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """The table of docs/performance.md."""

    def millions(rates: Sequence[float]) -> str:
        return f"{statistics.median(rates) / 1e6:.2f} ({min(rates) / 1e6:.2f} to {max(rates) / 1e6:.2f})"

    lines = [
        "| case | numasim, M accesses a CPU s | pycachesim | ratio, median of pairs | pure simpy | x simpy |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        theirs = millions(row.theirs) + (", one core" if row.case.cores > 1 else "")
        lines.append(
            f"| {row.case.name} | {millions(row.ours)} | {theirs} | {row.ratio:.2f} "
            f"| {row.simpy / 1e6:.3f} | {row.by_simpy:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="numasim's speed beside pycachesim's and pure simpy's")
    options.add_argument("--pairs", type=int, default=PAIRS, help=f"pairs of runs a case (default {PAIRS})")
    print(markdown(measure(pairs=options.parse_args().pairs)))
