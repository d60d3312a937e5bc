"""Do the intervals hold what was left out as often as they say? And how wide are they?

The discrepancy used for a host comes from the errors on other hosts only.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numasim.calibration.held_out import Left
from numasim.calibration.intervals import LEVEL

LEAST = 0.01  # relative: a discrepancy below this is not believed


class Covered(NamedTuple):
    """A left-out measurement with its interval."""

    left: Left
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Is the measured value in the interval?"""
        return self.low <= self.left.measured <= self.high


def discrepancies(lefts: Sequence[Left]) -> dict[str, float]:
    """Relative standard deviation by quantity of what the model leaves out: the errors' second moment, less what the
    spread of the fitted values explains. Every host counts the same, however many cells it has."""
    found = {}
    for quantity in dict.fromkeys(left.quantity for left in lefts):
        moments = []
        for host in dict.fromkeys(left.host for left in lefts):
            mine = [one for one in lefts if one.quantity == quantity and one.host == host]
            if mine:
                moments.append(np.mean([math.log(one.predicted / one.measured) ** 2 - one.spread**2 for one in mine]))
        found[quantity] = max(LEAST, math.sqrt(max(0.0, float(np.mean(moments)))))
    return found


def covered(lefts: Sequence[Left], level: float = LEVEL) -> list[Covered]:
    """Each left-out measurement with its interval, log-normal, whose discrepancy is learnt from the other hosts.

    Programs were measured on one host: there is no other to learn from.

    The quantile is Student's, with as many degrees of freedom as there are other hosts, less one.
    """
    from scipy import stats

    found = []
    for left in lefts:
        if left.experiment == "programs":
            continue
        alike = (left.experiment, left.extrapolated)
        others = [one for one in lefts if one.host != left.host and (one.experiment, one.extrapolated) == alike]
        known = discrepancies(others)
        relative = known.get(left.quantity, max(known.values(), default=0.1))
        width = math.hypot(relative, left.spread)
        hosts = len({one.host for one in others if one.quantity == left.quantity})
        t = float(stats.t.ppf((1 + level) / 2, max(hosts - 1, 1) if hosts > 1 else 2))
        found.append(Covered(left, left.predicted * math.exp(-t * width), left.predicted * math.exp(t * width)))
    return found


class Coverage(NamedTuple):
    """rows: how many.  share: inside.  p_value: two-sided binomial test of the nominal level.  low, high: 95 % interval
    of the share, from a bootstrap over hosts.  width: median half-width, per cent.  score, constant: mean interval
    score (Gneiting and Raftery, 2007) in per cent of the measured value, ours and that of an interval of one constant
    percentage with the same coverage.  families: share inside by family."""

    rows: int
    share: float
    p_value: float
    low: float
    high: float
    width: float
    score: float
    constant: float
    families: dict[str, float]


def coverage(found: Sequence[Covered], level: float = LEVEL, seed: int = 1) -> Coverage:
    """What became of the intervals."""
    from scipy import stats

    inside = np.array([one.inside for one in found])
    hosts = np.array([one.left.host for one in found])
    names = np.unique(hosts)
    rng = np.random.default_rng(seed)
    resampled = [
        float(np.mean(np.concatenate([inside[hosts == name] for name in rng.choice(names, len(names))])))
        for _ in range(2000)
    ]
    errors = np.abs([one.left.error for one in found])
    share = float(inside.mean())
    half = float(np.quantile(errors, share))
    flat = [
        Covered(one.left, one.left.predicted * (1 - half / 100), one.left.predicted * (1 + half / 100)) for one in found
    ]
    families = {
        family: float(np.mean([one.inside for one in found if one.left.family == family]))
        for family in dict.fromkeys(one.left.family for one in found)
    }
    low, high = (float(end) for end in np.quantile(resampled, [0.025, 0.975]))
    return Coverage(
        rows=len(found),
        share=share,
        p_value=float(stats.binomtest(int(inside.sum()), len(found), level).pvalue),
        low=low,
        high=high,
        width=float(np.median([50 * (one.high - one.low) / one.left.predicted for one in found])),
        score=_score(found, level),
        constant=_score(flat, level),
        families=families,
    )


def _score(found: Sequence[Covered], level: float) -> float:
    """Width, and a penalty for each measured value outside: per cent of the measured value."""
    outside = 2 / (1 - level)
    total = 0.0
    for one in found:
        measured = one.left.measured
        miss = max(one.low - measured, measured - one.high, 0.0)
        total += 100 * (one.high - one.low + outside * miss) / measured
    return total / len(found)
