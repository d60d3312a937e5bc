"""How far a simulated figure may be off: what is uncertain in the machine, and what the model itself leaves out.

A fitted or estimated model says in [uncertainty] how well its values are known. A figure is simulated once for each of
some machines drawn from that. What a right machine would still get wrong, the discrepancy, is a relative error by
quantity, estimated from hosts that were left out of fits (calibration/discrepancy.toml). An interval holds both.
"""

import tomllib
from collections.abc import Sequence
from typing import Any

import numpy as np

from numasim.assets import shipped
from numasim.calibration.published import Floats
from numasim.calibration.values import changed, value_of
from numasim.errors import UserError
from numasim.machine import Machine
from numasim.machine.checks import MAX_OUTSTANDING as MOST_MISSES

LEVEL = 0.9  # nominal coverage
ONE_AT_LEAST = ("channels", "count", "fill_buffers", "mts", "trackers")  # of trackers, 0 is any number
NORMAL = 400  # points at which the discrepancy's distribution is taken


def draws(machine: Machine, count: int, seed: int = 1) -> list[Machine]:
    """Machines as likely as this one: values drawn from a normal distribution with the errors and correlations in
    [uncertainty], cut off where a value can be no lower. Whole numbers are rounded.

    The same seed gives the same draws. Raises UserError if the model does not say how well it is known.
    """
    told = machine.uncertainty
    if not told.keys:
        expected = "a fitted model, or one of `numasim machine from-spec`: see [uncertainty]"
        raise UserError("the model does not say how well its values are known", machine.name, expected)
    centre = np.array([value_of(machine, key) for key in told.keys])
    scale = np.array(told.standard_error)
    covariance = np.asarray(told.correlation) * np.outer(scale, scale)
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x1A7]))
    drawn = rng.multivariate_normal(centre, covariance, size=count, method="eigh")
    return [changed(machine, _possible(machine, dict(zip(told.keys, row.tolist(), strict=True)))) for row in drawn]


def _possible(machine: Machine, values: dict[str, float]) -> dict[str, float]:
    """The values within what the keys allow."""
    kinds = machine.values()
    found: dict[str, float] = {}
    for key, value in values.items():
        low = 64 if key.endswith("data_bytes") else 1 if key.endswith(ONE_AT_LEAST) else 0
        value = max(value, float(low))
        found[key] = round(value) if isinstance(kinds[key], int) else round(value, 4)
    fills = found.get("core.fill_buffers", machine.core.fill_buffers)
    if "core.prefetch_buffers" in found:
        found["core.prefetch_buffers"] = min(found["core.prefetch_buffers"], MOST_MISSES - fills)
    return found


def discrepancy(machine: Machine, quantity: str) -> float:
    """Relative standard deviation of what the model leaves out, for a quantity such as "idle": that of models fitted
    to their host, of models from a sheet, or of those whose family nobody has measured. The largest of all for a
    quantity that has no entry."""
    table: dict[str, Any] = tomllib.loads((shipped("calibration") / "discrepancy.toml").read_text(encoding="utf-8"))
    known = {key: float(value) for key, value in table[_table(machine)].items()}
    return known.get(quantity, max(known.values()))


def _table(machine: Machine) -> str:
    if machine.fitted():
        return "fitted"
    told = machine.source("fabric.controller_ns")
    return "sheet" if told.startswith("assumed: the mean of") and "extrapolation" not in told else "extrapolated"


def interval(values: Sequence[float] | Floats, relative: float, level: float = LEVEL) -> tuple[float, float]:
    """The central interval of a positive figure. values: of the drawn machines.  relative: the discrepancy.

    Each value is spread by a log-normal factor of that relative width; the interval's ends are quantiles of all.
    """
    from statistics import NormalDist

    normal = np.array([NormalDist().inv_cdf((k + 0.5) / NORMAL) for k in range(NORMAL)])
    spread = np.outer(np.asarray(values, float), np.exp(relative * normal)).ravel()
    low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
