"""What a simulation has to beat: a constant latency, and one queue with its constants fitted to the same data."""

from collections.abc import Callable

import numpy as np

from numasim.calibration.published import Floats

Model = Callable[[float], float]


def fixed(gbps: Floats, ns: Floats) -> Model:
    """A constant latency: the one with the least sum of squared relative errors."""
    best = float(np.sum(1 / ns) / np.sum(1 / ns**2))
    return lambda x: best


def md1_wait(rho: float) -> float:
    """Mean wait in an M/D/1 queue, in service times (Pollaczek-Khinchine): rho / (2 (1 - rho))."""
    return rho / (2 * (1 - rho))


def md1(gbps: Floats, ns: Floats) -> Model:
    """idle + scale x wait in an M/D/1 queue of some capacity: three constants, by least squares of relative errors.

    For each of many capacities above the largest bandwidth the two others follow at once; the best capacity is taken.
    """

    def fitted(capacity: float) -> tuple[float, float, float, float]:
        waits = np.array([md1_wait(x / capacity) for x in gbps])
        (idle, scale), *_ = np.linalg.lstsq(np.stack([1 / ns, waits / ns], 1), np.ones(len(gbps)), rcond=None)
        error = float(np.sum(((idle + scale * waits) / ns - 1) ** 2))
        return error, float(idle), float(scale), capacity

    top = float(gbps.max())
    _, idle, scale, capacity = min(fitted(top * (1 + k)) for k in np.geomspace(0.002, 3.0, 400))
    return lambda x: idle + scale * md1_wait(min(x / capacity, 0.999))
