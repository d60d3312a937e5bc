"""What of a measured host a fit aims at: a number of each run, how well it is known, and which repetitions say it."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from numasim.calibration.host_file import HostFile, Keys, Measurement
from numasim.calibration.published import Cell

SAMPLES = {
    "chase": "latency_ns", "tlb": "latency_ns", "chains": "step_ns", "bandwidth": "read_gbps", "loaded": "latency_ns",
    "pingpong": "handover_ns", "c2c": "latency_ns", "stride": "latency_ns", "split": "split_ns",
}  # fmt: skip
COMMON = ("seed", "repetitions", "ms", "cpu", "node")
NOISE = 0.015  # relative, of a run in which nothing disturbed the program, and of the model: the half of a band of 3 %
OF_A_MEDIAN = 1.4826 * 1.2533  # standard errors of a median, in median deviations of normal errors, of one round
DISTURBED = 3.0  # times as much where every repetition was disturbed
SAME = 0.8  # a chase within pages that is faster than this share of one through all is the prefetchers' doing


class Aim(NamedTuple):
    """A measured number. sample: its name.  sigma: its standard deviation and the model's."""

    one: Measurement
    sample: str
    value: float
    sigma: float

    @property
    def keys(self) -> Keys:
        """Of the run."""
        return self.one.keys

    @property
    def cell(self) -> Cell:
        """As a fit's report names it."""
        return Cell(self.one.experiment, (words(self.one),), self.value)


def words(one: Measurement) -> str:
    """The keys that tell runs of an experiment apart: "pages=2m size=64m"."""
    told = [f"{key}={short(value)}" for key, value in one.keys.items() if key not in COMMON]
    if one.experiment in ("pingpong", "c2c") or int(one.keys.get("cpu", 0)):
        told.insert(0, f"cpu={one.keys['cpu']}")
    return " ".join(told + ([f"node={one.keys['node']}"] if int(one.keys.get("node", 0)) > 0 else []))


def short(value: object) -> str:
    """A size as people write it: 64m for 67108864."""
    if isinstance(value, int) and value:
        for power, letter in ((30, "g"), (20, "m"), (10, "k")):
            if value % (1 << power) == 0:
                return f"{value >> power}{letter}"
    return str(value)


def value_of(one: Measurement, name: str) -> tuple[float, bool] | None:
    """A sample's median over the repetitions in which nothing disturbed the program, and True; if there are none, the
    better decile of all, as a disturbance makes everything slower, and False. None: nothing was measured."""
    sample = one.samples.get(name)
    if sample is None:
        return None
    best = sample.p90 if name.endswith(("_gbps", "_ghz")) else sample.p10
    value = sample.quiet if sample.quiet is not None else best
    return (value, sample.quiet is not None) if value is not None and value > 0 else None


def aims(file: HostFile) -> list[Aim]:
    """All that a fit may use: nothing of the programs to be predicted, and no loaded latency that was disturbed."""
    found = []
    for one in file.measurements:
        name = SAMPLES.get(one.experiment)
        told = value_of(one, name) if name else None
        if name is None or told is None or (one.experiment == "loaded" and not told[1]):
            continue
        value, calm = told
        sample, rounds = one.samples[name], len(set(one.rounds)) or 1
        own = OF_A_MEDIAN * (sample.mad or 0.0) / rounds**0.5
        found.append(Aim(one, name, value, math.hypot(value * NOISE * (1.0 if calm else DISTURBED), own)))
    return found


def pick(found: Iterable[Aim], experiment: str, fits: Callable[[Keys], bool]) -> list[Aim]:
    """Those of an experiment whose keys fit."""
    return [aim for aim in found if aim.one.experiment == experiment and fits(aim.keys)]


def of_size(low: float, high: float, pages: str = "", within: str = "all") -> Callable[[Keys], bool]:
    """Is the size above `low` and at most `high` bytes, in these pages (any if empty), on the CPU's own node?"""

    def fits(keys: Keys) -> bool:
        near = int(keys.get("node", 0)) <= 0 and (not pages or keys["pages"] == pages)
        return near and keys.get("within", within) == within and low < int(keys["size"]) <= high

    return fits


def paged_ratio(file: HostFile, beyond: float) -> float:
    """How much a chase within pages takes of one through all of 2 MiB pages, beyond so many bytes; 1 if unknown."""
    found = aims(file)
    whole = pick(found, "chase", of_size(beyond, 1 << 50, "2m"))
    paged = pick(found, "chase", of_size(beyond, 1 << 50, "", "page"))
    return paged[-1].value / whole[-1].value if whole and paged else 1.0
