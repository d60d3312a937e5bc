"""What a model says of a host that was measured twice, in turn: the second measurement, simulated, deviation, verdict.

A row's band is the larger of the fixed one and of twice what the two measurements differ by from round to round. A host
on which that excuses too many rows does not repeat what it does: the measurement is unusable, whatever the model says.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from numasim.calibration.fit import Report
from numasim.calibration.host_aims import value_of, words
from numasim.calibration.host_file import RAN, HostFile, Measurement, Sample
from numasim.calibration.host_twins import PROGRAMS, HostTwins
from numasim.machine import Machine

CHASE, PROGRAM, PROGRAM_MEDIAN = 5.0, 30.0, 10.0  # per cent
TAILS = {"p50_ns": 5.0, "p99_ns": 10.0, "p999_ns": 20.0}  # of the access latencies of a chase through memory
EXCUSED = 0.2  # of the rows, at most, may lie outside the fixed bands
BEYOND = 4  # a chase through so many times the L3 is one through memory
REPORTED = {
    "tlb": ("latency_ns",), "chains": ("step_ns",), "bandwidth": ("read_gbps",), "loaded": ("latency_ns", "read_gbps"),
    "pingpong": ("handover_ns",), "c2c": ("latency_ns",), "stride": ("latency_ns",), "split": ("split_ns",),
}  # fmt: skip
NO_BAND = float("inf")


class HostRow(NamedTuple):
    """A comparison. expected: of the second measurement, simulated: in `unit`.  limit: per cent, the fixed band; inf
    where none applies.  repeat: per cent, the median difference of both measurements' rounds (0: measured once).
    fitted: the experiment is one that a fit reads.  fixed, md1: nan, as no baseline is of this kind."""

    name: str
    unit: str
    expected: float
    simulated: float
    limit: float
    repeat: float
    fitted: bool
    fixed: float = float("nan")
    md1: float = float("nan")

    @property
    def deviation(self) -> float:
        """Per cent."""
        return 100 * (self.simulated / self.expected - 1)

    @property
    def band(self) -> float:
        """Per cent, to both sides: the limit, or twice what the host itself differs by."""
        return max(self.limit, 2 * self.repeat)

    @property
    def good(self) -> bool:
        """Is it within the band?"""
        return abs(self.deviation) <= self.band

    @property
    def excused(self) -> bool:
        """Is it good only because the host does not repeat itself any closer?"""
        return self.good and abs(self.deviation) > self.limit

    @property
    def judged(self) -> bool:
        """Does a band apply?"""
        return self.limit < NO_BAND


class Verdict(NamedTuple):
    """Of the rows to which a band applies: how many, good, excused.  programs: median deviation of the predicted
    programs, per cent (nan: none).  usable: few enough are excused."""

    rows: int
    good: int
    excused: int
    programs: float
    usable: bool

    @property
    def passed(self) -> bool:
        """Are all within their bands, the programs in the middle, too, and is the measurement usable?"""
        return self.usable and self.good == self.rows and not self.programs > PROGRAM_MEDIAN


def rows(machine: Machine, a: HostFile | None, b: HostFile, report: Report | None = None) -> list[HostRow]:
    """Every run of B that has a twin, in the file's order. a: the measurement taken in turn with it, or None."""
    twins, found = HostTwins(machine), []
    first = {(one.experiment, words(one)): one for one in a.measurements} if a else {}
    memory = BEYOND * _l3_bytes(b)
    for number, one in enumerate(b.measurements):
        limits = _limits(one, memory)
        wanted = [name for name in limits if value_of(one, name)]
        if not wanted:
            continue
        if report:
            report(f"{one.experiment} {words(one)}", number / len(b.measurements))
        simulated = twins.values(one)
        other = first.get((one.experiment, words(one)))
        for name in wanted:
            told = value_of(one, name)
            if name in simulated and told:
                repeat = _repeat(other.samples[name], other, one.samples[name], one) if other else 0.0
                unit = "GB/s" if name.endswith("_gbps") else "ns"
                what = f"{one.experiment} {words(one)} {name.rsplit('_', 1)[0]}"
                fitted = one.experiment not in (*PROGRAMS, "access", "loaded")
                found.append(HostRow(what, unit, told[0], simulated[name], limits[name], repeat, fitted))
    return found


def verdict(found: Sequence[HostRow]) -> Verdict:
    """What the rows say together."""
    judged = [row for row in found if row.judged]
    programs = [abs(row.deviation) for row in judged if row.name.split()[0] in PROGRAMS]
    excused = sum(row.excused for row in judged)
    return Verdict(
        len(judged), sum(row.good for row in judged), excused,
        statistics.median(programs) if programs else float("nan"), excused <= EXCUSED * len(judged),
    )  # fmt: skip


def _limits(one: Measurement, memory: float) -> dict[str, float]:
    """The samples of a run that are compared, each with its fixed band in per cent."""
    if one.experiment == "chase":
        return {"latency_ns": CHASE}
    if one.experiment in PROGRAMS:
        return {"operation_ns": PROGRAM}
    if one.experiment == "access":
        through_memory = int(one.keys["size"]) >= memory
        return TAILS if through_memory else dict.fromkeys(TAILS, NO_BAND)
    return dict.fromkeys(REPORTED.get(one.experiment, ()), NO_BAND)


def _l3_bytes(file: HostFile) -> int:
    return max((int(one["size_bytes"]) for one in file.host["caches"] if one["level"] == 3), default=1 << 20)


def _repeat(first: Sample, of_first: Measurement, second: Sample, of_second: Measurement) -> float:
    """Per cent: the median over rounds of what both measurements' medians differ by.

    Only of rounds in which nothing disturbed a repetition of either; of all, if there are no such.
    """
    for calm in (True, False):
        ours, theirs = _by_round(first, of_first, calm), _by_round(second, of_second, calm)
        apart = [abs(ours[n] - theirs[n]) for n in ours if n in theirs]
        middle = second.quiet if second.quiet is not None else second.median
        if apart and middle:
            return 100 * statistics.median(apart) / middle
    return 0.0


def _by_round(sample: Sample, one: Measurement, calm: bool) -> dict[int, float]:
    """The median of each round, over its repetitions, or those in which nothing disturbed the program."""
    gave_way, ran = (one.samples[name].raw if name in one.samples else [] for name in ("preempted", "ran_share"))
    found: dict[int, list[float]] = {}
    for n, (value, number) in enumerate(zip(sample.raw, one.rounds, strict=True)):
        quiet = n < len(ran) and gave_way[n] == 0 and (ran[n] or 0.0) >= RAN
        if value is not None and (quiet or not calm):
            found.setdefault(number, []).append(value)
    return {number: statistics.median(values) for number, values in found.items()}
