"""What samples of accesses tell: which code, which memory, served from where, and what if it were served elsewhere.

A sample is no trace. It says where one access in many was served and how long that took; not what ran before, so
nothing can be replayed. What can be done is counting, and resampling: `what_if` gives the samples of one place the
cycles of another's and says, by bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13:
percentile intervals), how far the answer hangs on which accesses happened to be sampled. It leaves out that other
accesses would then wait less or more, too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.readers.perf_mem import Sample

BLOCK_SHIFT = 21  # addresses are counted by 2 MiB
NEAR_BLOCKS = 32  # touched blocks no further apart than 64 MiB are one region
RESAMPLED = 2000
INTERVAL = (2.5, 97.5)  # percentiles of the resampled answers: 95 % lie between
SEED = 1
NOTE = "A sample is no trace: it cannot be replayed; each sample counts once."


class Group(NamedTuple):
    """Samples that have something in common.

    name: of the place, the site, the region.  samples: how many.  share: of all.  timed: how many have cycles.  mean:
    of their cycles, None if none has.  places: samples by place.
    """

    name: str
    samples: int
    share: float
    timed: int
    mean: float | None
    places: dict[str, int]


class Estimate(NamedTuple):
    """A figure, and the interval that holds it in 95 of 100 resamplings."""

    value: float
    low: float
    high: float


class WhatIf(NamedTuple):
    """What resampling says.

    moved: which place's samples took which place's cycles.  share: of the timed samples, those moved.  before, after:
    mean cycles of a timed sample.  less: part of all cycles that would go (negative: come).
    """

    moved: dict[str, str]
    share: Estimate
    before: Estimate
    after: Estimate
    less: Estimate


class Samples:
    """Counts of samples, in memory that grows with the code and the memory touched, not with their number."""

    def __init__(self) -> None:
        self.cycles: Counter[tuple[str, int]] = Counter()  # (place, cycles), -1: no cycles
        self.sites: dict[tuple[str, str], Counter[tuple[str, int]]] = {}  # by (symbol, file)
        self.blocks: dict[int, Counter[tuple[str, int]]] = {}  # by address >> BLOCK_SHIFT
        self.operations: Counter[str] = Counter()

    def add(self, samples: Iterable[Sample]) -> "Samples":
        """Count these. Those of no access (operation "n/a") are only counted as such. Returns itself."""
        for sample in samples:
            self.operations[sample.operation] += 1
            if sample.operation == "n/a":
                continue
            what = sample.place, sample.cycles
            self.cycles[what] += 1
            if sample.symbol:
                self.sites.setdefault((sample.symbol, sample.file), Counter())[what] += 1
            if sample.address >= 0:
                self.blocks.setdefault(sample.address >> BLOCK_SHIFT, Counter())[what] += 1
        return self

    @property
    def count(self) -> int:
        """Samples of accesses."""
        return self.cycles.total()

    def places(self) -> list[Group]:
        """By place, most samples first."""
        by_place: dict[str, Counter[tuple[str, int]]] = {}
        for (place, cycles), samples in self.cycles.items():
            by_place.setdefault(place, Counter())[place, cycles] += samples
        return self._groups(by_place)

    def by_site(self) -> list[Group]:
        """By function and file, most samples first."""
        return self._groups({f"{symbol} ({file})" if file else symbol: c for (symbol, file), c in self.sites.items()})

    def by_region(self) -> list[Group]:
        """By stretch of addresses: touched 2 MiB blocks with gaps of at most 64 MiB; most samples first."""
        found: dict[str, Counter[tuple[str, int]]] = {}
        blocks = sorted(self.blocks)
        starts = [i for i, block in enumerate(blocks) if i == 0 or block - blocks[i - 1] > NEAR_BLOCKS]
        for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True):
            total = sum((self.blocks[block] for block in blocks[start:end]), Counter[tuple[str, int]]())
            first, last = blocks[start] << BLOCK_SHIFT, blocks[end - 1] + 1 << BLOCK_SHIFT
            found[f"{first:#x}-{last:#x}"] = total
        return self._groups(found)

    def _groups(self, counts: Mapping[str, Counter[tuple[str, int]]]) -> list[Group]:
        groups = []
        for name, count in counts.items():
            timed = {what: n for what, n in count.items() if what[1] >= 0}
            number = sum(timed.values())
            mean = sum(cycles * n for (_, cycles), n in timed.items()) / number if number else None
            places: Counter[str] = Counter()
            for (place, _), n in count.items():
                places[place] += n
            groups.append(Group(name, count.total(), count.total() / self.count, number, mean, dict(places)))
        return sorted(groups, key=lambda group: (-group.samples, group.name))

    def what_if(self, moved: Mapping[str, str], resampled: int = RESAMPLED, seed: int = SEED) -> WhatIf:
        """The samples of each place in `moved` with the cycles that samples of the place it names have.

        Raises UserError for a place without timed samples.
        """
        kinds = sorted((place, cycles) for place, cycles in self.cycles if cycles >= 0)
        have = sorted({place for place, _ in kinds})
        for place in [*moved, *moved.values()]:
            if place not in have:
                expected = "one of " + ", ".join(have) if have else "samples with cycles (perf record -W)"
                raise UserError(f"no timed sample was served from {place!r}", "--what-if", expected)
        count = np.array([self.cycles[kind] for kind in kinds], np.int64)
        total = int(count.sum())
        rng = np.random.default_rng(seed)
        numbers = np.vstack([count, rng.multinomial(total, count / total, resampled)])
        return _what_if(dict(moved), kinds, numbers)


def _what_if(moved: dict[str, str], kinds: list[tuple[str, int]], numbers: npt.NDArray[np.int64]) -> WhatIf:
    """numbers [1 + resampled, kinds]: samples of each (place, cycles), as taken, then as resampled."""
    cycles = np.array([c for _, c in kinds], float)
    member = {place: np.array([p == place for p, _ in kinds]) for place in {*moved, *moved.values()}}
    total = numbers.sum(axis=1)
    before = numbers @ cycles / total
    after, share = before.copy(), np.zeros(len(numbers))
    for here, there in moved.items():
        at_here, at_there = numbers[:, member[here]], numbers[:, member[there]]
        n_here, n_there = at_here.sum(axis=1), at_there.sum(axis=1)
        mean_there = at_there @ cycles[member[there]] / np.maximum(n_there, 1)
        mean_there[n_there == 0] = mean_there[0]  # a resampling without any: take the mean as sampled
        after += (n_here * mean_there - at_here @ cycles[member[here]]) / total
        share += n_here / total
    less = 1 - after / np.where(before > 0, before, 1)
    return WhatIf(moved, *(_estimate(figure) for figure in (share, before, after, less)))


def _estimate(figure: npt.NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(figure[1:], INTERVAL)
    return Estimate(float(figure[0]), float(low), float(high))
