"""Fitting a machine to measurements: simulated twins, stage by stage from the inside out.

The latencies are fitted together by lmfit's bounded least squares, since each idle latency is a sum of several of them.
A simulated objective is quantised (whole picoseconds, whole accesses), so every run has the same random numbers and
derivatives are taken over steps of 5 %. Bandwidths come after that: full load decides how many misses a core has under
way and how well memory is used (`saturation`); what a line occupies on a link is fitted to that link's bandwidth. The
latencies are then fitted once more, as a message's length is a part of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.calibration import saturation
from numasim.calibration.knobs import C2C_ERROR, DIES, LOAD, LOAD_BOUNDS, Knob, independent, knobs, orbit
from numasim.calibration.published import Cell, Floats, Host
from numasim.calibration.twins import Twins
from numasim.calibration.values import changed, value_of
from numasim.errors import UserError
from numasim.machine import Machine, from_tables
from numasim.machine.model import Uncertainty

STEP = 0.05  # of a value, over which a derivative is taken: a chase beats with refreshes, 0.5 ns off a straight line
# relative, of a measurement and of a symmetric model of it: a third of the band that each quantity is held to
NOISE = {"idle": 0.01, "bandwidth": 0.017, "peak": 0.017, "c2c": C2C_ERROR, "pairs": C2C_ERROR, "chase": 0.017}
LIGHT = 0.05  # of the peak: load that waits for nothing
MOST_BYTES = 128  # a line on a link: what takes more than twice its own is no matter of the link's
TRACKERS, MOST_TRACKERS = "fabric.remote_trackers", 4096
SHIFT = 20.0  # ns added to what lmfit turns, so that a step is 1 ns at least where a value is near 0
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
        aims = [aim for aim in self.aims if aim.cell.quantity in ("idle", "c2c") or aim.cell in pairs]
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
        """A node's own bandwidth first, then what each link carries: the second hangs on the first."""
        own = [knob for knob in self.knobs if knob.key in LOAD_BOUNDS]
        if own:
            aims = [(aim.cell, aim.mean, aim.sigma) for aim in self._aims(own[0])]
            known = saturation.Known(aims, self.host.curve, own[0].key)

            def told() -> None:
                self.report(f"{self.host.name}: full load", -1.0)

            found = saturation.search(self.machine, known, told)
            if DIES in found.errors and LOAD[0] in self.machine.values():
                much = value_of(found.machine, DIES) > MOST_BYTES  # it is the channels that limit, not the link
                if much or found.misfit:
                    other = saturation.search(self.machine, known._replace(use=LOAD[0]), told)
                    link = not much and other.misfit >= found.misfit + saturation.WELL
                    self.evaluations += other.evaluations if link else found.evaluations
                    found = found if link else other
            self.machine, self.evaluations = found.machine, self.evaluations + found.evaluations
            self.errors |= found.errors
            self.settled |= found.settled
            cells = own[0].cells
            kept = [knob for knob in self.knobs if knob not in own]
            self.knobs = kept + [saturation.knob(key, cells) for key in found.errors]
        before = self.machine
        wires = [knob for knob in self.knobs if knob.key.endswith("data_bytes") and knob.key != DIES]
        for knob in wires:
            self._bytes(knob)
        slow = [knob for knob in wires if value_of(self.machine, knob.key) > MOST_BYTES]
        if slow:
            bytes_ = {knob.key: int(value_of(before, knob.key)) for knob in slow}
            self.machine = changed(self.machine, bytes_)
            self.knobs = [knob for knob in self.knobs if knob not in slow]
            for knob in slow:  # what its search came to counts no longer
                del self.errors[knob.key], self.settled[knob.key]
            self._trackers(slow)

    def _trackers(self, slow: list[Knob]) -> None:
        """Links that carry much less than their wires could: so many requests of a node are under way to others."""
        t, aims = self.machine.topology, [aim for knob in slow for aim in self._aims(knob)]
        lines = [aim.mean * t.unloaded_ns(*(int(n) for n in aim.cell.where)) / 64 for aim in aims]
        count, seen = max(1, round(float(np.mean(lines)))), dict[int, float]()
        while count not in seen:
            twins = Twins(changed(self.machine, {TRACKERS: count}))
            ratios = [twins.value(aim.cell) / aim.mean for aim in aims]
            self.evaluations += len(aims)
            self.report(f"{self.host.name}: {TRACKERS}", -1.0)
            seen[count] = abs(float(np.mean(ratios)) - 1)
            count = min(max(1, round(count / float(np.mean(ratios)))), MOST_TRACKERS)
        best = min(seen, key=lambda n: seen[n])
        self.machine = changed(self.machine, {TRACKERS: best})
        cells = [cell for knob in slow for cell in knob.cells]
        self.knobs.append(Knob(TRACKERS, 1, MOST_TRACKERS, cells, "bandwidth"))
        self.errors[TRACKERS] = max(0.5, best * max(aim.sigma / aim.mean for aim in aims) / len(aims) ** 0.5)

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

        every = {knob.key: errors.get(knob.key, self.errors.get(knob.key, 0.0)) for knob in self.knobs}
        latencies = [knob.key for knob in self.knobs if knob.stage == "latency"]
        n = len(self.knobs)
        whole = np.eye(n)
        whole[: len(latencies), : len(latencies)] = correlation
        bound, loose = [], []
        for knob in self.knobs:
            value, error = value_of(self.machine, knob.key), every[knob.key]
            if knob.key == LOAD[1]:  # with the fill buffers, as it was searched for: there may be none beside them
                value = float(saturation.outstanding(self.machine))
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
        told = _with_rest(told, self.machine.uncertainty)
        machine = from_tables(replace(self.machine, sources=said, uncertainty=told).expanded(), file=self.host.name)
        ended = self.host.curve is not None and self.host.curve.ended  # two more: its peak, and the latency there
        counted = independent(machine, used) + 2 * ended
        unsettled = [what for what, well in self.settled.items() if not well]
        return Fitted(machine, self.knobs, every, whole, bound, loose, len(used), counted, self.evaluations, unsettled)


def _with_rest(told: Uncertainty, before: Uncertainty) -> Uncertainty:
    """What was uncertain before the fit and no measurement decided stays so."""
    rest = [k for k, key in enumerate(before.keys) if key not in told.keys]
    n, m = len(told.keys), len(rest)
    return Uncertainty(
        keys=(*told.keys, *(before.keys[k] for k in rest)),
        standard_error=(*told.standard_error, *(before.standard_error[k] for k in rest)),
        correlation=(
            *((*row, *(0.0,) * m) for row in told.correlation),
            *((*(0.0,) * n, *(float(i == j) for j in range(m))) for i in range(m)),
        ),
    )
