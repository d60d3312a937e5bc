"""What was measured on 2 x Xeon Platinum 8360Y, and the runs that must show the same."""

import csv
import statistics
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from numasim.assets import shipped
from numasim.machine import Machine, load
from numasim.results.result import Result
from numasim.study.run import run

MODEL = "icx-8360y-2s"
HOST = shipped("calibration/hosts") / MODEL
# MLC switches the prefetchers off while it measures a latency
# (intel.com/software/mlc: root, "as the tool modifies the H/W prefetch control")
PREFETCHERS_OFF = {"prefetch.streamer": False}


def published(file: str, **where: object) -> float:
    """The number in the last column of the one row of a measurement that has these values."""
    with (HOST / file).open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if all(row[key] == str(value) for key, value in where.items())]
    assert len(rows) == 1, (file, where)
    return float(list(rows[0].values())[-1])


def loaded_curve() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """MLC's loaded latency: GB/s of both sockets, rising, and ns."""
    points = np.loadtxt(HOST / "loaded_latency.csv", delimiter=",", skiprows=1)
    points = points[np.argsort(points[:, 2])]
    return points[:, 2], points[:, 1]


class Figure(NamedTuple):
    """A figure, as measured and as simulated, and the band from low to high it must lie in."""

    name: str
    unit: str
    expected: float
    simulated: float
    low: float
    high: float

    @property
    def good(self) -> bool:
        return bool(self.low <= self.simulated <= self.high)

    def __str__(self) -> str:
        off = f"{100 * (self.simulated / self.expected - 1):+6.1f} %" if self.expected else " " * 8
        mark = "" if self.good else "   <- outside"
        return (
            f"  {self.name:<58} {self.expected:8.1f} {self.simulated:8.1f} {self.unit:<6} {off}"
            f"   {self.low:.1f} to {self.high:.1f}{mark}"
        )


def within(name: str, unit: str, expected: float, simulated: float, percent: float) -> Figure:
    """A figure with a band of so many per cent on both sides."""
    low, high = expected * (1 - percent / 100), expected * (1 + percent / 100)
    return Figure(name, unit, expected, simulated, low, high)


def check(show: Callable[[str], None], figures: Iterable[Figure]) -> None:
    """Print figures as a table; all must lie in their bands."""
    figures = list(figures)
    show(f"\n  {'figure':<58} {'expected':>8} {'simulated':>9} {'':<5} {'off by':>9}   band")
    for figure in figures:
        show(str(figure))
    assert [figure for figure in figures if not figure.good] == []


def machine(**changes: object) -> Machine:
    """The model, some parameters changed: machine(**{"links.upi.count": 1})."""
    return load(MODEL, set=changes)


def chase(changes: dict[str, Any] | None = None, **words: Any) -> Result:
    """A pointer chase without prefetchers, local unless told otherwise; in 2 MiB pages through 512 MiB, cold."""
    asked = {"size": "512MiB", "pages": "2m", "warmup": 0, "accesses": 200_000, **words}
    return run(machine(**PREFETCHERS_OFF, **(changes or {})), "chase", **asked)


def stream_gbps(changes: dict[str, Any] | None = None, **words: Any) -> float:
    """GB/s of 36 cores of node 0, each with a stream of its own; or of others."""
    asked = {"threads": 36, "pages": "2m", "warmup": 0, "accesses": 1_000_000, **words}
    group = run(machine(**(changes or {})), "stream", **asked).groups["stream"]
    return group.read_gbps + group.write_gbps


def core_to_core(state: str, **words: Any) -> float:
    """Mean ns of a reader's chase through what another core has in its caches."""
    result = run(machine(**PREFETCHERS_OFF), "c2c", state=state, pages="2m", laps=4, **words)
    return float(result.groups["reader"].access.mean_ns)


def handover(first: int, second: int) -> float:
    """Ns from one of two cores to the other and no further, for a line they compare-and-swap in turn.

    The two threads' attempts alternate: an attempt ends when the line has come over from the other core, and the next
    one that ends is the other core's. So a round trip is two attempts, one of each thread, and the time a handover
    takes, the run's length over the attempts of both, is half of it, as the published half of a round trip. (The
    latency of an attempt is a whole round trip: its line has to go to the other core and come back.)
    """
    result = run(machine(), "pingpong", laps=1, physcpubind=f"{first},{second}")
    return float(result.simulated_ns / result.access.count)


class Level(NamedTuple):
    """Latency under load. gbps: of both sockets."""

    delay: int
    gbps: float
    latency_ns: float


def loaded(delay: int, accesses: int, changes: dict[str, Any] | None = None, **words: Any) -> Level:
    """One core chases pointers, the other 71 stream from their own nodes, `delay` cycles a line.

    The chase goes through 128 MiB: its few thousand accesses then contain few first walks of the page tables.
    """
    asked = {"threads": 72, "cpunodebind": "all", "pages": "2m", "size": "128MiB", "warmup": 0, **words}
    groups = run(machine(**(changes or {})), "loaded", delay=delay, accesses=accesses, **asked).groups
    return Level(delay, sum(g.read_gbps for g in groups.values()), float(groups["chaser"].access.mean_ns))


def l3_share(result: Result) -> float:
    """Share of look-ups in the L3 that hit."""
    loads = result.counters["LLC-loads"]
    return 1 - result.counters["LLC-load-misses"] / loads if loads else float("nan")


def errors(simulated: Iterable[float], expected: Iterable[float]) -> tuple[float, float]:
    """(median, largest) relative difference, in per cent."""
    off = [100 * abs(s / e - 1) for s, e in zip(simulated, expected, strict=True)]
    return statistics.median(off), max(off)
