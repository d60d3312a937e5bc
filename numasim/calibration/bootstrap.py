"""How sure a fit is of all its values together, by a parametric bootstrap: measurements drawn anew within their errors,
each set of them fitted again as the first was.

The least squares' own covariance knows the latencies, and of bandwidths each by itself. What is fitted one after the
other hangs together all the same: here it is seen.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from numasim.calibration import fit, host_fit, saturation
from numasim.calibration.fit import Fitted, Report
from numasim.calibration.host_aims import aims
from numasim.calibration.host_file import HostFile, Measurement
from numasim.calibration.knobs import orbit
from numasim.calibration.published import Floats, Host
from numasim.calibration.values import value_of
from numasim.machine import Machine, from_tables
from numasim.machine.model import Uncertainty

LEAST = 10  # refits: fewer say nothing of correlations
# relative errors of a curve's bandwidths, and of its latencies below the knee and above
PEAK, IDLE, TOP = saturation.BANDWIDTH, fit.NOISE["idle"], saturation.LATENCY
KNEE = 0.9  # of the peak
_KNOWN = re.compile(r" \(standard error [^)]*\)")


class Problem(NamedTuple):
    """What was fitted: the machine it began with, the host's cells, or its file as a whole and the file's name."""

    machine: Machine
    host: Host
    file: HostFile | None
    where: str


def bootstrap(of: Problem, found: Fitted, count: int, report: Report | None = None, seed: int = 1) -> Fitted:
    """The fit with the joint errors of `count` refits, side by side on the CPUs there are. The values stay."""
    from joblib import Parallel, cpu_count, delayed

    keys = found.machine.uncertainty.keys
    work = Parallel(n_jobs=min(count, cpu_count()), return_as="generator")
    rows = []
    for row in work(delayed(_again)(of, keys, seed, number) for number in range(count)):
        rows.append(row)
        if report:
            report("bootstrap: measurements drawn anew and fitted", len(rows) / count)
    return joint(found, np.array(rows))


def _again(of: Problem, keys: Sequence[str], seed: int, number: int) -> list[float]:
    """The values that a fit finds in measurements drawn anew."""
    rng = np.random.Generator(np.random.Philox(key=[seed, number]))
    if of.file:
        made = host_fit.fit_host(drawn_file(of.file, rng), of.machine, where=of.where).machine
    else:
        made = fit.fit(of.machine, drawn(of.machine, of.host, rng)).machine
    return [value_of(made, key) for key in keys]


def drawn(machine: Machine, host: Host, rng: np.random.Generator) -> Host:
    """The host as another measurement may have shown it: one draw an orbit of cells, three for a curve."""
    factor = {
        orbit(machine, aim.cell): 1 + aim.sigma / aim.mean * float(rng.standard_normal())
        for aim in fit.targets(machine, host.cells)
    }
    cells = [cell._replace(value=cell.value * max(0.05, factor[orbit(machine, cell)])) for cell in host.cells]
    curve = host.curve
    if curve:
        wide, low, high = rng.standard_normal(3)
        top = curve.gbps >= KNEE * curve.peak_gbps
        ns = curve.ns * np.maximum(0.05, 1 + np.where(top, TOP * high, IDLE * low))
        curve = curve._replace(gbps=curve.gbps * max(0.05, 1 + PEAK * float(wide)), ns=ns)
    return host._replace(cells=cells, curve=curve)


def drawn_file(file: HostFile, rng: np.random.Generator) -> HostFile:
    """The file with what a fit reads of each run drawn anew."""
    relative = {id(aim.one): (aim.sample, aim.sigma / aim.value) for aim in aims(file)}

    def other(one: Measurement) -> Measurement:
        if id(one) not in relative:
            return one
        name, sigma = relative[id(one)]
        by = max(0.05, 1 + sigma * float(rng.standard_normal()))
        sample = one.samples[name]
        told = {key: getattr(sample, key) for key in ("median", "p10", "p90", "quiet")}
        moved = {key: value * by for key, value in told.items() if value is not None}
        return replace(one, samples={**one.samples, name: replace(sample, **moved)})

    return replace(file, measurements=[other(one) for one in file.measurements])


def joint(found: Fitted, values: Floats) -> Fitted:
    """The fit with errors and correlations of what refits found. values [refits, keys of its uncertainty].

    A value that no refit moved keeps the error it had. Correlations are pulled towards none by one refit's share, as a
    few draws correlate by chance, and no matrix of fewer draws than values could be drawn from.
    """
    before, count = found.machine.uncertainty, len(values)
    spread = values.std(axis=0, ddof=1)
    moved = values.max(axis=0) > values.min(axis=0)
    scale = np.where(moved, spread, before.standard_error)
    centred = (values - values.mean(axis=0)) / np.where(moved, spread, 1.0)
    correlation = centred.T @ centred / (count - 1) * (1 - 1 / count)
    np.fill_diagonal(correlation, 1.0)
    rows = correlation.round(4)
    told = Uncertainty(
        keys=before.keys,
        standard_error=tuple(float(max(error, 1e-4)) for error in scale.round(4)),
        correlation=tuple(tuple(float(value) for value in row) for row in rows),
    )
    now = dict(zip(before.keys, told.standard_error, strict=True))
    errors = {knob.key: now.get(knob.key, found.errors.get(knob.key, 0.0)) for knob in found.knobs}
    said = dict(found.machine.sources)
    for key, error, did in zip(before.keys, told.standard_error, moved.tolist(), strict=True):
        if did:
            said[key] = f"{_KNOWN.sub('', said[key])} (standard error {error:.2g}, by {count} refits)"
    machine = from_tables(replace(found.machine, uncertainty=told, sources=said).expanded(), file=found.machine.name)
    return found._replace(machine=machine, errors=errors, correlation=_whole(found, told))


def _whole(found: Fitted, told: Uncertainty) -> Floats:
    """The correlations of all knobs, in their order."""
    at = {key: n for n, key in enumerate(told.keys)}
    whole = np.eye(len(found.knobs))
    for i, one in enumerate(found.knobs):
        for j, other in enumerate(found.knobs):
            if i != j and one.key in at and other.key in at:
                whole[i, j] = told.correlation[at[one.key]][at[other.key]]
    return whole
