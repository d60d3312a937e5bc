"""What a model says of a host, beside what was measured there: expected, simulated, deviation, band, verdict."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from numasim.calibration import baselines
from numasim.calibration.knobs import in_memory, orbit
from numasim.calibration.published import Cell, Curve, Floats, Host
from numasim.calibration.twins import SHARES, Twins, curve
from numasim.machine import Machine

# per cent; a cell's band is the larger of this and the host's own asymmetry between mirrored cells
BANDS = {"idle": 3.0, "bandwidth": 5.0, "c2c": 10.0, "pairs": 10.0, "peak": 10.0, "chase": 5.0}
UNITS = {
    "idle": "ns", "chase": "ns", "bandwidth": "GB/s", "c2c": "ns", "pairs": "ns", "peak": "GB/s", "loaded": "ns",
    "stream": "GB/s", "triad": "GB/s",
}  # fmt: skip
KNEE = 0.9  # of the peak; above it a curve is a wall
NO_BAND, NAN = float("inf"), float("nan")
FEWEST = 3  # points below the knee that tell: a queue has as many constants; a log cut short has fewer
BELOW_MEDIAN, BELOW_WORST, PEAK, SATURATED = 5.0, 15.0, 5.0, 20.0


def listed(machine: Machine, cell: Cell) -> str:
    """Why no band applies to a cell: what it hangs on has no data here, so it is assumed. Empty if a band applies."""
    if cell.quantity == "chase" and not in_memory(machine, cell):
        return "caches are assumed"
    return ""


class Row(NamedTuple):
    """A comparison. expected, simulated: in `unit`.  band: per cent, to both sides; inf where none applies.  fitted:
    the model was fitted to this.  fixed, md1: what the two baselines say, nan where they say nothing."""

    name: str
    unit: str
    expected: float
    simulated: float
    band: float
    fitted: bool
    fixed: float
    md1: float

    @property
    def deviation(self) -> float:
        """Per cent."""
        return 100 * (self.simulated / self.expected - 1) if self.expected else 0.0

    @property
    def good(self) -> bool:
        """Is it within the band?"""
        return abs(self.deviation) <= self.band


def asymmetry(machine: Machine, cells: Sequence[Cell]) -> dict[Cell, float]:
    """Per cent between the smallest and the largest of the cells that a symmetric machine cannot tell apart."""
    groups: dict[object, list[float]] = {}
    for cell in cells:
        groups.setdefault(orbit(machine, cell), []).append(cell.value)
    return {cell: 100 * (max(values) / min(values) - 1) for cell in cells for values in [groups[orbit(machine, cell)]]}


def rows(machine: Machine, host: Host) -> list[Row]:
    """Every cell of a host, and its curve: first the cells in their order, then those that no fit reads, which have no
    band, then the curve's points and summary."""
    twins, own = Twins(machine), asymmetry(machine, host.cells)
    seen: dict[object, float] = {}
    found = []
    for cell in host.cells:
        key = orbit(machine, cell)
        if key not in seen:
            seen[key] = twins.value(cell)
        band = float("inf") if listed(machine, cell) else max(BANDS[cell.quantity], own[cell])
        flat = _flat(machine, host, cell)
        found.append(
            Row(str(cell), UNITS[cell.quantity], cell.value, seen[key], band, _fitted(machine, cell), flat, flat)
        )
    for cell in host.also:
        found.append(Row(str(cell), UNITS[cell.quantity], cell.value, twins.value(cell), NO_BAND, False, NAN, NAN))
    if host.curve:
        found += curve_rows(machine, host.curve)
    return found


def _fitted(machine: Machine, cell: Cell) -> bool:
    """Does a value of the model say that it was fitted to this quantity?"""
    return any(cell.quantity in machine.source(key) for key in machine.fitted())


def _flat(machine: Machine, host: Host, cell: Cell) -> float:
    """A baseline without a machine: the mean of the local cells, or of all others, of a matrix."""
    if cell.quantity not in ("idle", "bandwidth"):
        return float("nan")
    local = cell.where[-2] == cell.where[-1]
    return float(np.mean([c.value for c in host.of(cell.quantity) if (c.where[-2] == c.where[-1]) == local]))


def simulated_at(machine: Machine, measured: Curve, shares: Sequence[float] = SHARES) -> tuple[Floats, float, float]:
    """The simulated latency at each measured bandwidth (nan above what the model reaches); its peak, and the latency
    without a delay. shares: of the measured peak, at which it is simulated; the last is 1, no delay."""
    levels = curve(machine, measured, tuple(shares))
    gbps, ns = np.array(sorted(levels)).T
    at = np.interp(measured.gbps, gbps, ns)
    at[measured.gbps > gbps[-1]] = np.nan
    return at, float(gbps[-1]), levels[-1].ns


def curve_rows(machine: Machine, measured: Curve) -> list[Row]:
    """Points below the knee, each beside both baselines fitted to the same points; then medians, peak, saturation."""
    at, peak, top = simulated_at(machine, measured)
    below = (measured.gbps < KNEE * measured.peak_gbps) & np.isfinite(at) & (measured.gbps > 0)
    found = []
    if below.sum() >= FEWEST:
        gbps, ns = measured.gbps[below], measured.ns[below]
        flat, queue = baselines.fixed(gbps, ns), baselines.md1(gbps, ns)
        found = [
            Row(f"loaded {x:.0f} GB/s", "ns", e, s, BELOW_WORST, False, flat(x), queue(x))
            for x, e, s in zip(gbps.tolist(), ns.tolist(), at[below].tolist(), strict=True)
        ]
    fitted = machine.source("core.prefetch_buffers").startswith("fitted")
    nan = float("nan")
    found.append(Row("loaded, peak", "GB/s", measured.peak_gbps, peak, PEAK, fitted, nan, nan))
    found.append(Row("loaded, latency at the peak", "ns", measured.full_ns, top, SATURATED, fitted, nan, nan))
    return found


class Summary(NamedTuple):
    """Relative errors of some rows, in per cent: of the simulation and of both baselines. points: how many rows."""

    name: str
    points: int
    median: float
    worst: float
    fixed: float
    md1: float
    band_median: float
    band_worst: float

    @property
    def good(self) -> bool:
        """Are both the median and the worst within their bands?"""
        return self.median <= self.band_median and self.worst <= self.band_worst


def below_knee(found: Iterable[Row]) -> Summary | None:
    """The points of a curve together: median and worst error, and the baselines' median."""
    points = [row for row in found if row.name.startswith("loaded ") and row.unit == "ns"]
    if not points:
        return None
    ours = [abs(row.deviation) for row in points]
    flat = [100 * abs(row.fixed / row.expected - 1) for row in points]
    queue = [100 * abs(row.md1 / row.expected - 1) for row in points]
    return Summary(
        "loaded, below 90 % of the peak", len(points), float(np.median(ours)), max(ours), float(np.median(flat)),
        float(np.median(queue)), BELOW_MEDIAN, BELOW_WORST,
    )  # fmt: skip
