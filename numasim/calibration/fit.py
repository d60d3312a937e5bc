"""Fitting a machine to measurements: simulated twins, stage by stage from the inside out.

The latencies are fitted together by lmfit's bounded least squares, since each idle latency is a sum of several of them.
A simulated objective is quantised (whole picoseconds, whole accesses), so every run has the same random numbers and
derivatives are taken over steps of 2 %. Bandwidths come after that: the number of misses a core has under way is a
whole number and is searched for; what a line occupies on a link is fitted to that link's bandwidth. The latencies are
then fitted once more, as a message's length is a part of them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.calibration.knobs import Knob, independent, knobs, near, orbit
from numasim.calibration.published import Cell, Floats, Host
from numasim.calibration.twins import Level, Twins, level
from numasim.errors import UserError
from numasim.machine import Machine, from_tables
from numasim.machine.checks import MAX_OUTSTANDING

STEP = 0.02  # of a value, over which a derivative is taken
LEAST = 2  # misses under way that a core is given at least
# relative, of a measurement and of a symmetric model of it: a third of the band that each quantity is held to
STEPS = (1, 2, 3, 4, 6, 8)  # times the assumed time between ranks
NOISE = {"idle": 0.01, "bandwidth": 0.017, "peak": 0.017, "c2c": 0.033, "pairs": 0.033, "chase": 0.017}
LIGHT = 0.05  # of the peak: load that waits for nothing
SHIFT = 20.0  # ns added to what lmfit turns, so that a step is 0.4 ns at least where a value is near 0
Report = Callable[[str, float], None]


class Fitted(NamedTuple):
    """What a fit found.

    machine: the model, its values marked.  knobs: what was turned.  errors: standard error of each, in its unit (0:
    none could be had).  correlation [n, n].  at_bound, undetermined: keys.  cells: how many measurements were used,
    independent: how many of them are so.  evaluations: simulated cells.  unsettled: what has not converged: keys whose
    search ended at the end of its range, and least squares that ended without success.
    """

    machine: Machine
    knobs: list[Knob]
    errors: dict[str, float]
    correlation: Floats
    at_bound: list[str]
    undetermined: list[str]
    cells: int
    independent: int
    evaluations: int
    unsettled: list[str]

    @property
    def converged(self) -> bool:
        """Did every search end inside its range, and least squares with success?"""
        return not self.unsettled


def changed(machine: Machine, values: Mapping[str, float]) -> Machine:
    """The machine with these values, and its sources as they were."""
    tables: dict[str, Any] = machine.expanded()
    for key, value in values.items():
        *path, last = key.split(".")
        table = tables
        for part in path:
            table = table[part]
        table[last] = value
    return from_tables(tables, file=machine.name)


def resourced(machine: Machine, said: Mapping[str, str]) -> Machine:
    """The machine with other words about where some values come from."""
    tables: dict[str, Any] = machine.expanded()
    return from_tables({**tables, "sources": {**machine.sources, **said}}, file=machine.name)


def value_of(machine: Machine, key: str) -> float:
    """The value at a dotted key."""
    found = machine.values()[key]
    assert isinstance(found, (int, float))
    return float(found)


class Target(NamedTuple):
    """What is fitted to: an orbit of cells. cell: one of them, which is simulated.  mean: of all.  sigma: of the mean's
    difference to a symmetric machine, the larger of NOISE and half the spread of the cells."""

    cell: Cell
    mean: float
    sigma: float


def targets(machine: Machine, cells: Sequence[Cell]) -> list[Target]:
    """The orbits among these cells: a symmetric machine shows the same in all cells of one."""
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(orbit(machine, cell), []).append(cell)
    found = []
    for group in groups.values():
        values = [cell.value for cell in group]
        mean = float(np.mean(values))
        found.append(Target(group[0], mean, max(NOISE[group[0].quantity] * mean, (max(values) - min(values)) / 2)))
    return found


def fit(machine: Machine, host: Host, cells: Sequence[Cell] | None = None, report: Report | None = None) -> Fitted:
    """Fit a machine to a host's cells (all of them if None). Raises UserError if they decide nothing."""
    used = list(host.cells if cells is None else cells)
    turned = knobs(machine, host, used)
    if not turned:
        raise UserError("no measurement decides any value", host.name, "idle latencies, bandwidths or core pairs")
    state = _State(machine, host, turned, targets(machine, used + _unloaded(host)), report or (lambda what, done: None))
    state.latency()
    state.bandwidth()
    errors, correlation = state.latency()
    return state.finish(errors, correlation, used)


def _unloaded(host: Host) -> list[Cell]:
    """A loaded curve's levels below 5 % of its peak say what idle latency says, with the load's own chaser."""
    curve = host.curve
    local = [cell for cell in host.of("idle") if cell.where[0] == cell.where[1]]
    if curve is None or len(local) < 2:  # a curve without a matrix gave the idle cell itself
        return []
    low = curve.ns[curve.gbps < LIGHT * curve.peak_gbps]
    return [Cell("idle", local[0].where, float(low.mean()))] if len(low) else []


class _State:
    """A fit under way."""

    def __init__(self, machine: Machine, host: Host, turned: list[Knob], aims: list[Target], report: Report) -> None:
        self.machine, self.host, self.knobs, self.aims, self.report = machine, host, turned, aims, report
        self.evaluations = 0
        self.errors: dict[str, float] = {}
        self.settled: dict[str, bool] = {}  # of each search, the last one counts: has it converged?

    # ---- latencies ----

    def latency(self) -> tuple[dict[str, float], Floats]:
        """Fit all latencies together. Returns their standard errors, and the correlation of these errors."""
        import lmfit

        turned = [knob for knob in self.knobs if knob.stage == "latency"]
        if not turned:
            return {}, np.zeros((0, 0))
        pairs = {cell for knob in turned for cell in knob.cells if cell.quantity in ("pairs", "chase")}
        aims = [
            aim
            for aim in self.aims
            if aim.cell.quantity == "c2c"
            or (aim.cell.quantity == "idle" and near(self.machine, aim.cell))
            or aim.cell in pairs
        ]
        parameters = lmfit.Parameters()
        for n, knob in enumerate(turned):
            start = min(max(value_of(self.machine, knob.key), knob.low), knob.high)
            parameters.add(f"p{n}", value=start + SHIFT, min=knob.low + SHIFT - 1e-6, max=knob.high + SHIFT)

        def values_of(p: Any) -> dict[str, float]:
            return {k.key: max(round(float(p[f"p{n}"].value) - SHIFT, 3), k.low) + 0.0 for n, k in enumerate(turned)}

        def residual(p: Any) -> Floats:
            twins = Twins(changed(self.machine, values_of(p)))
            self.evaluations += len(aims)
            self.report(f"{self.host.name}: latencies", -1.0)
            return np.array([(twins.value(aim.cell) - aim.mean) / aim.sigma for aim in aims])

        found = lmfit.minimize(
            residual, parameters, method="least_squares", scale_covar=False, diff_step=STEP, xtol=1e-4, ftol=1e-4
        )
        self.settled["least squares of latencies"] = bool(found.success) and not found.aborted
        self.machine = changed(self.machine, values_of(found.params))
        covariance = getattr(found, "covar", None)
        if covariance is None:
            return {}, np.eye(len(turned))
        scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))  # below 0: the data do not determine it
        errors = {knob.key: float(scale[n]) for n, knob in enumerate(turned)}
        sure = np.where(scale > 0, scale, np.inf)
        correlation = np.clip(covariance / np.outer(sure, sure), -1.0, 1.0)
        np.fill_diagonal(correlation, 1.0)
        return errors, np.asarray(correlation)

    # ---- bandwidths ----

    def bandwidth(self) -> None:
        """Whole buffers first, then what each link carries: the second hangs on the first."""
        for knob in self.knobs:
            if knob.stage != "bandwidth":
                continue
            if knob.key == "core.prefetch_buffers":
                self._buffers(knob)
            elif knob.key.endswith("data_bytes"):
                self._bytes(knob)

    def _buffers(self, knob: Knob) -> None:
        """The misses a core has under way at most: fill buffers and prefetch buffers together, a whole number.

        Searched for by thirds: more of them never make a core slower. Where a loaded curve was measured, the latency
        at the peak speaks too, with a band four times as wide as the bandwidth's. Where nothing but a curve was
        measured, the time between ranks, which no sheet has, is searched for with it, in steps of its start.
        """
        switch = "memory.dram.rank_switch_ns"
        if not any(other.key == switch for other in self.knobs):
            self.machine, self.errors[knob.key], _ = self._best_buffers(self.machine, knob)
            self.settled[knob.key] = self._inside()
            return
        start = value_of(self.machine, switch)
        tried = [self._best_buffers(changed(self.machine, {switch: round(n * start, 4)}), knob) for n in STEPS]
        self.machine, self.errors[knob.key], _ = min(tried, key=lambda found: found[2])
        self.errors[switch] = start / 2
        self.settled[knob.key] = self._inside()
        self.settled[switch] = value_of(self.machine, switch) < round(STEPS[-1] * start, 4)

    def _inside(self) -> bool:
        """Is the number of misses under way none of the ends of its range?"""
        return LEAST < self.machine.core.fill_buffers + self.machine.core.prefetch_buffers < MAX_OUTSTANDING

    def _best_buffers(self, machine: Machine, knob: Knob) -> tuple[Machine, float, float]:
        """The machine with the best number of misses under way, that number's standard error, and the misfit left."""
        fills = machine.core.fill_buffers
        seen: dict[int, float] = {}

        def with_buffers(buffers: int) -> Machine:
            keys = {"core.fill_buffers": min(fills, buffers), "core.prefetch_buffers": max(0, buffers - fills)}
            return changed(machine, keys)

        def misfit(buffers: int) -> float:
            if buffers not in seen:
                self.report(f"{self.host.name}: buffers of a core", -1.0)
                seen[buffers] = self._misfit(with_buffers(buffers), knob)
            return seen[buffers]

        low, high = LEAST, MAX_OUTSTANDING
        while high - low > 2:
            one, other = low + (high - low) // 3, high - (high - low) // 3
            if misfit(one) <= misfit(other):
                high = other
            else:
                low = one
        best = min(range(low, high + 1), key=misfit)
        near = [seen[n] for n in (best - 1, best + 1) if n in seen]
        curvature = max((value - seen[best] for value in near), default=0.0)
        return with_buffers(best), 1.0 if curvature <= 0 else max(0.5, float(np.sqrt(1.0 / curvature))), seen[best]

    def _misfit(self, machine: Machine, knob: Knob) -> float:
        """Sum of squares of local bandwidth, and of peak and latency of the loaded curve."""
        twins, total = Twins(machine), 0.0
        for aim in self._aims(knob):
            total += (twins.value(aim.cell) / aim.mean - 1) ** 2 / 0.02**2
            self.evaluations += 1
        if self.host.curve:
            top = self._top(machine)
            total += (top.gbps / self.host.curve.peak_gbps - 1) ** 2 / 0.02**2
            total += (top.ns / float(self.host.curve.ns[-1]) - 1) ** 2 / 0.08**2
            self.evaluations += 1
        return total

    def _top(self, machine: Machine) -> Level:
        assert self.host.curve is not None
        return level(machine, self.host.curve.sockets, 0, 2000)

    def _aims(self, knob: Knob) -> list[Target]:
        """The orbits that decide a knob, a bandwidth's."""
        return [aim for aim in self.aims if aim.cell in knob.cells and aim.cell.quantity == "bandwidth"]

    def _bytes(self, knob: Knob) -> None:
        """Bytes a line occupies on a link, by secants: a full link's bandwidth is 64 / bytes of the raw one."""
        aims, value = self._aims(knob), value_of(self.machine, knob.key)
        for _ in range(4):
            twins = Twins(changed(self.machine, {knob.key: int(value)}))
            ratio = float(np.mean([twins.value(aim.cell) / aim.mean for aim in aims]))
            self.evaluations += len(aims)
            self.report(f"{self.host.name}: {knob.key}", -1.0)
            if abs(ratio - 1) < 0.005:
                break
            value = min(max(round(value * ratio), knob.low), knob.high)
        self.machine = changed(self.machine, {knob.key: int(value)})
        self.settled[knob.key] = knob.low < value < knob.high or abs(ratio - 1) < 0.005
        self.errors[knob.key] = max(value * max(aim.sigma / aim.mean for aim in aims) / len(aims) ** 0.5, 0.5)

    # ---- the end ----

    def finish(self, errors: dict[str, float], correlation: Floats, used: list[Cell]) -> Fitted:
        """Mark the values, and tell what is uncertain."""
        from msgspec.structs import replace

        from numasim.machine.model import Uncertainty

        every = {knob.key: errors.get(knob.key, self.errors.get(knob.key, 0.0)) for knob in self.knobs}
        latencies = [knob.key for knob in self.knobs if knob.stage == "latency"]
        n = len(self.knobs)
        whole = np.eye(n)
        whole[: len(latencies), : len(latencies)] = correlation
        bound, loose = [], []
        for knob in self.knobs:
            value, error = value_of(self.machine, knob.key), every[knob.key]
            near_end = min(value - knob.low, knob.high - value) < 0.01 * max(1.0, knob.low)
            if near_end or not self.settled.get(knob.key, True):
                bound.append(knob.key)
            if not 0 < error < max(value, 1.0):
                loose.append(knob.key)
        said = dict(self.machine.sources)
        for knob in self.knobs:
            where = ", ".join(dict.fromkeys(cell.quantity for cell in knob.cells))
            known = f" (standard error {every[knob.key]:.2g})" if every[knob.key] else ""
            said[knob.key] = f"fitted: to {where} of {self.host.name}, {len(knob.cells)} measured values{known}"
        sure = [k for k, knob in enumerate(self.knobs) if every[knob.key] > 0]
        told = Uncertainty(
            keys=tuple(self.knobs[k].key for k in sure),
            standard_error=tuple(round(every[self.knobs[k].key], 4) for k in sure),
            correlation=tuple(tuple(1.0 if i == j else round(float(whole[i, j]), 4) for j in sure) for i in sure),
        )
        machine = from_tables(replace(self.machine, sources=said, uncertainty=told).expanded(), file=self.host.name)
        counted = independent(machine, used) + (2 if self.host.curve else 0)  # of a curve: its peak, and how long there
        unsettled = [what for what, well in self.settled.items() if not well]
        return Fitted(machine, self.knobs, every, whole, bound, loose, len(used), counted, self.evaluations, unsettled)
