"""Fitting a machine to a file of `numasim measure`: stage by stage, from the core outwards.

What is a whole number, a kind or a size is searched for among candidates (`Search`); the latencies beyond L2 are then
fitted together by lmfit's bounded least squares, with common random numbers and derivatives over steps of 2 %, since a
simulated objective is quantised. `host_stages` says what is decided by what, and in which order.
"""

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from numasim.calibration.fit import SHIFT, Fitted, Report
from numasim.calibration.host_aims import Aim, aims
from numasim.calibration.host_base import base as base_of
from numasim.calibration.host_file import HostFile
from numasim.calibration.host_twins import HostTwins
from numasim.calibration.knobs import Knob
from numasim.calibration.published import Floats
from numasim.calibration.values import changed, resourced, value_of
from numasim.errors import UserError
from numasim.machine import Machine, from_tables
from numasim.machine.model import Uncertainty

STEP = 0.02  # of a value, over which a derivative is taken
ONE_SIGMA = math.log(2.0)  # what one run that fits costs more when it is off by one standard deviation
STRUCTURE = ("size_bytes", "_entries", "channels", "buffers", "guest_run")  # of which not every number makes a machine
Values = dict[str, Any]


def fit_host(
    file: HostFile, base: Machine | None = None, report: Report | None = None, name: str = "", where: str = "host.json"
) -> Fitted:
    """Fit a machine to a measured host. The programs in the file are not read.

    base: the machine to begin with (None: made of what the file says of the host, and the nearest model).  name: of the
    fitted model.  where: what errors and sources call the file.  Raises UserError if the file decides nothing.
    """
    return noted(file, base, report, name, where)[0]


def noted(
    file: HostFile, base: Machine | None, report: Report | None, name: str, where: str
) -> tuple[Fitted, list[str]]:
    """As `fit_host`, with sentences on what the file could not decide or was not asked."""
    from numasim.calibration.host_stages import STAGES

    machine = base or base_of(file, name or "host", where)
    fit = HostFit(machine, file, where, report or (lambda what, done: None))
    if not fit.aims:
        raise UserError("no measurement decides any value", where, "chases, at least")
    for number, (stage, work) in enumerate(STAGES):
        fit.stage = f"{where}: {stage}", number / len(STAGES)
        fit.report(*fit.stage)
        work(fit)
    return fit.finish(), fit.notes


class HostFit:
    """A fit under way. knobs, errors, correlations grow as stages decide values.

    kinds: values that are no numbers, or follow from a knob's, and what decided them.  used: the measurements that
    decided anything.  notes: what was left out, and why.  settled: of each search that may not converge, whether the
    last one has.  l3: as the fit began with it, of which the program may have a part.
    """

    def __init__(self, machine: Machine, file: HostFile, where: str, report: Report) -> None:
        self.machine, self.file, self.where, self.report = machine, file, where, report
        self.aims = aims(file)
        self.l3 = machine.l3
        self.knobs: list[Knob] = []
        self.errors: dict[str, float] = {}
        self.correlations: dict[tuple[str, str], float] = {}
        self.kinds: dict[str, Sequence[Aim]] = {}
        self.used: dict[int, Aim] = {}
        self.notes: list[str] = []
        self.settled: dict[str, bool] = {}
        self.evaluations = 0
        self.stage = where, -1.0

    def copy(self) -> "HostFit":
        """A fit that goes its own way from here."""
        other = copy(self)
        for name in ("knobs", "errors", "correlations", "kinds", "used", "notes", "settled"):
            setattr(other, name, copy(getattr(self, name)))
        return other

    def restore(self, other: "HostFit") -> None:
        """Be where a copy has come to."""
        evaluations = self.evaluations
        self.__dict__ |= other.__dict__
        self.evaluations = max(evaluations, other.evaluations)

    def residual(self, machine: Machine, chosen: Sequence[Aim]) -> Floats:
        """Deviations of the simulated from the measured numbers, in standard deviations. What has no twin is 0."""
        twins, found = HostTwins(machine), []
        for aim in chosen:
            simulated = twins.values(aim.one).get(aim.sample)
            found.append(0.0 if simulated is None else (simulated - aim.value) / aim.sigma)
        self.evaluations += len(chosen)
        self.report(*self.stage)
        return np.array(found)

    def misfit(self, values: Values, chosen: Sequence[Aim]) -> float:
        """How badly these values fit: the sum of ln(1 + z^2), with which one run that no value fits (in Cauchy's
        distribution of errors) does not decide alone, and a large misfit is still better than a larger one."""
        return float(np.sum(np.log1p(self.residual(changed(self.machine, values), chosen) ** 2)))

    def direct(self, key: str, value: float, error: float, low: float, high: float, chosen: Sequence[Aim]) -> None:
        """A value that a measurement states without a simulation."""
        self.machine = changed(self.machine, {key: value})
        self.decided(key, low, high, chosen, error)

    def search(
        self, candidates: Sequence[Values], chosen: Sequence[Aim], errors: Mapping[str, float], keys: Sequence[str]
    ) -> None:
        """Take the best of some candidates; of equally good ones the first.

        errors: of the keys that are numbers, at least (half of what lies between candidates).  keys: those to report.
        """
        if not chosen or not candidates:
            return
        found = [self.misfit(values, chosen) for values in candidates]
        self.take(candidates, found, chosen, errors, keys)

    def take(
        self, candidates: Sequence[Values], found: Sequence[float], chosen: Sequence[Aim], errors: Mapping[str, float],
        keys: Sequence[str],
    ) -> None:  # fmt: skip
        """Take the candidate with the least misfit of those found. Otherwise as `search`."""
        best = int(np.argmin(found))
        self.machine = changed(self.machine, candidates[best])
        self.kinds |= dict.fromkeys(candidates[best], chosen)
        for key in keys:
            numbers = [float(values[key]) for values in candidates]
            near = [k for k in range(len(found)) if found[k] <= found[best] + ONE_SIGMA]
            spread = max(abs(numbers[k] - numbers[best]) for k in near)
            self.decided(key, min(numbers), max(numbers), chosen, max(errors[key], spread))

    def least_squares(self, bounds: Mapping[str, tuple[float, float]], chosen: Sequence[Aim]) -> None:
        """Fit some values together, and keep their standard errors and correlations."""
        import lmfit

        keys, parameters = list(bounds), lmfit.Parameters()
        for n, key in enumerate(keys):
            low, high = bounds[key]
            start = min(max(value_of(self.machine, key), low), high)
            parameters.add(f"p{n}", value=start + SHIFT, min=low + SHIFT - 1e-6, max=high + SHIFT)

        def values_of(p: Any) -> Values:
            return {k: max(round(float(p[f"p{n}"].value) - SHIFT, 3), bounds[k][0]) for n, k in enumerate(keys)}

        def residual(p: Any) -> Floats:
            return self.residual(changed(self.machine, values_of(p)), chosen)

        found = lmfit.minimize(
            residual, parameters, method="least_squares", scale_covar=False, diff_step=STEP, xtol=1e-3, ftol=1e-3,
            loss="soft_l1", max_nfev=40,
        )  # fmt: skip
        self.settled[f"least squares of {', '.join(keys)}"] = bool(found.success) and not found.aborted
        self.machine = changed(self.machine, values_of(found.params))
        covariance = getattr(found, "covar", None)
        # a misfit of more than one standard deviation is the model's, and makes its values less sure
        lack = max(1.0, float(found.redchi)) if np.isfinite(found.redchi) else 1.0
        for n, key in enumerate(keys):
            variance = 0.0 if covariance is None else float(covariance[n][n]) * lack
            deciding = [aim for aim in chosen if aim.one.experiment in _deciding(key)] or list(chosen)
            self.decided(key, *bounds[key], deciding, float(np.sqrt(max(variance, 0.0))))
            for m, other in enumerate(keys[:n]):
                if covariance is not None and covariance[n][n] > 0 and covariance[m][m] > 0:
                    r = float(covariance[n][m] / np.sqrt(covariance[n][n] * covariance[m][m]))
                    self.correlations[key, other] = self.correlations[other, key] = min(max(r, -1.0), 1.0)

    def decided(self, key: str, low: float, high: float, chosen: Sequence[Aim], error: float) -> None:
        """Note that a value was decided, and by what. The last decision of a value counts."""
        for knob in self.knobs:
            if knob.key == key:  # decided before, among others
                low, high = min(low, knob.low), max(high, knob.high)
        self.knobs = [knob for knob in self.knobs if knob.key != key]
        self.knobs.append(Knob(key, low, high, [aim.cell for aim in chosen], "host"))
        self.errors[key] = error
        self.used |= {id(aim.one): aim for aim in chosen}

    def finish(self) -> Fitted:
        """The model, its values marked, and what is uncertain of them."""
        bound, loose = [], []
        said = {
            key: f"fitted: the best of some for {_experiments(chosen)} of {self.where}"
            for key, chosen in self.kinds.items()
        }
        for knob in self.knobs:
            value, error = value_of(self.machine, knob.key), self.errors[knob.key]
            if min(value - knob.low, knob.high - value) < 0.01 * max(1.0, knob.low) and knob.high > knob.low:
                bound.append(knob.key)
            if not 0 < error < max(value, 1.0):
                loose.append(knob.key)
            what = ", ".join(dict.fromkeys(cell.quantity for cell in knob.cells))
            known = f" (standard error {error:.2g})" if error else ""
            said[knob.key] = f"fitted: to {what} of {self.where}, {len(knob.cells)} measured values{known}"
        # what may be drawn at random for an interval
        sure = [knob.key for knob in self.knobs if self.errors[knob.key] > 0 and not knob.key.endswith(STRUCTURE)]
        told = Uncertainty(
            keys=tuple(sure),
            standard_error=tuple(round(self.errors[key], 4) for key in sure),
            correlation=tuple(
                tuple(1.0 if one == other else round(self.correlations.get((one, other), 0.0), 4) for other in sure)
                for one in sure
            ),
        )
        from msgspec.structs import replace

        machine = resourced(self.machine, said)
        machine = from_tables(replace(machine, uncertainty=told).expanded(), file=self.where)
        keys = [knob.key for knob in self.knobs]
        whole = np.array([[1.0 if a == b else self.correlations.get((a, b), 0.0) for b in keys] for a in keys])
        used = len(self.used)
        unsettled = [what for what, well in self.settled.items() if not well]
        return Fitted(machine, self.knobs, self.errors, whole, bound, loose, used, used, self.evaluations, unsettled)


def _experiments(chosen: Sequence[Aim]) -> str:
    return ", ".join(dict.fromkeys(aim.one.experiment for aim in chosen))


def _deciding(key: str) -> tuple[str, ...]:
    """The experiments that a value of the joint fit hangs on."""
    return ("c2c", "pingpong") if "snoop" in key else ("chase",)
