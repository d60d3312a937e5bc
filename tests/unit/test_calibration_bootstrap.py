"""Are the joint errors of refits those that a sum of latencies has by arithmetic?"""

import msgspec
import numpy as np
import pytest

from numasim.calibration import bootstrap, fit, host_ship, intervals, published
from numasim.calibration.host_aims import NOISE as OF_RUNS
from numasim.calibration.host_aims import aims
from numasim.calibration.published import Cell, Curve
from numasim.calibration.twins import Twins
from numasim.calibration.values import changed, value_of
from numasim.machine import from_tables, load
from numasim.machine.model import Uncertainty

IVB = "ivb-2680v2-2s"
LOCAL, REMOTE = 62.0, 116.0
CONTROLLER, LINK = "fabric.controller_ns", "links.qpi.latency_ns"


@pytest.fixture(scope="module")
def problem():
    cells = [Cell("idle", (0, 0), LOCAL), Cell("idle", (0, 1), REMOTE)]
    host = published.load(IVB)._replace(cells=cells, curve=None)
    bare = msgspec.structs.replace(load(IVB), uncertainty=Uncertainty())  # of which the fit alone says how sure it is
    return bootstrap.Problem(from_tables(bare.expanded()), host, None, "")


@pytest.fixture(scope="module")
def joint(problem):
    return bootstrap.bootstrap(problem, fit.fit(problem.machine, problem.host), 60)


def slopes(machine, key):
    """What 1 ns more at a key adds to local and remote latency."""
    more = changed(machine, {key: value_of(machine, key) + 4.0})
    return [(Twins(more).idle(0, node) - Twins(machine).idle(0, node)) / 4.0 for node in (0, 1)]


def test_errors_and_their_correlation_follow_from_the_measurements(joint, problem):
    """local = a + c x controller, remote = b + d x controller + k x link: the errors of 1 % of both, solved for."""
    slope = np.array([slopes(joint.machine, CONTROLLER), slopes(joint.machine, LINK)]).T
    inverse = np.linalg.inv(slope)
    covariance = inverse @ np.diag((fit.NOISE["idle"] * np.array([LOCAL, REMOTE])) ** 2) @ inverse.T
    expected = np.sqrt(np.diag(covariance))
    told = joint.machine.uncertainty
    assert told.keys == (CONTROLLER, LINK)
    assert told.standard_error == pytest.approx(expected, rel=0.3)  # 60 draws: 9 % is one standard error of an error
    assert told.correlation[0][1] == pytest.approx(covariance[0, 1] / np.prod(expected), abs=0.25)
    assert joint.errors[CONTROLLER] == told.standard_error[0]
    assert joint.correlation[0][1] == told.correlation[0][1]


def test_the_values_stay_and_say_how_sure_they_are(joint, problem):
    alone = fit.fit(problem.machine, problem.host)
    for key in (CONTROLLER, LINK):
        assert value_of(joint.machine, key) == value_of(alone.machine, key)
        assert joint.machine.source(key).endswith("by 60 refits)")
        assert joint.machine.source(key).count("standard error") == 1


def test_machines_can_be_drawn_from_few_refits(problem):
    """Three refits of two values, and one that none of them moved: a matrix that can be drawn from all the same."""
    found = fit.fit(problem.machine, problem.host)
    before = found.machine.uncertainty.standard_error
    made = bootstrap.joint(found, np.array([[10.0, 15.0], [11.0, 15.0], [12.0, 15.0]]))
    assert made.machine.uncertainty.standard_error == (1.0, before[1])
    same = bootstrap.joint(found, np.array([[10.0, 15.0], [11.0, 16.0], [12.0, 17.0]]))
    assert same.machine.uncertainty.correlation[0][1] == pytest.approx(2 / 3, abs=1e-4), "1, less a third"
    assert np.linalg.eigvalsh(np.array(same.machine.uncertainty.correlation)).min() > 0
    assert len(intervals.draws(same.machine, 5)) == 5


def test_what_was_uncertain_before_and_is_not_fitted_stays_as_it_was(problem):
    """A model that was fitted before has errors of values that these cells do not decide."""
    found = fit.fit(load(IVB), problem.host)
    before = found.machine.uncertainty
    rest = [n for n, key in enumerate(before.keys) if key not in (CONTROLLER, LINK)]
    centre = np.array([value_of(found.machine, key) for key in before.keys])
    rows = np.array([centre, centre, centre])
    at = before.keys.index(CONTROLLER)
    rows[:, at] += (-1, 0, 1)
    told = bootstrap.joint(found, rows).machine.uncertainty
    assert rest and [told.standard_error[n] for n in rest] == [before.standard_error[n] for n in rest]
    assert told.standard_error[at] == 1.0
    assert all(told.correlation[at][n] == 0 for n in rest)


def test_cells_of_an_orbit_are_drawn_together_and_as_wide_as_a_fit_takes_them():
    machine, host = load(IVB), published.load(IVB)
    sigma = {aim.cell.quantity: aim.sigma / aim.mean for aim in fit.targets(machine, host.of("idle"))[:1]}["idle"]
    factors = []
    for seed in range(400):
        other = bootstrap.drawn(machine, host, np.random.default_rng(seed))
        by = [b.value / a.value for a, b in zip(host.cells, other.cells, strict=True)]
        assert by[0] == pytest.approx(by[3]), "0 0 and 1 1"
        factors.append([by[0], other.curve.peak_gbps / host.curve.peak_gbps, other.curve.ns[-1] / host.curve.ns[-1]])
    assert np.mean(factors, axis=0) == pytest.approx([1, 1, 1], abs=0.015)
    assert np.std(factors, axis=0) == pytest.approx([sigma, bootstrap.PEAK, bootstrap.TOP], rel=0.15)


def test_a_file_is_drawn_run_by_run_and_its_programs_are_not():
    file = host_ship.load("epyc-zen5-vm-1n")[0]
    other = bootstrap.drawn_file(file, np.random.default_rng(3))
    before, after = aims(file), aims(other)
    off = np.array([b.value / a.value - 1 for a, b in zip(before, after, strict=True)])
    wide = np.array([a.sigma / a.value for a in before])
    assert np.std(off / wide) == pytest.approx(1.0, rel=0.3) and wide.min() >= OF_RUNS
    assert [one for one in other.measurements if one.experiment in ("list", "tree")] == [
        one for one in file.measurements if one.experiment in ("list", "tree")
    ]


def test_a_host_without_a_curve_has_none_drawn():
    host = published.load(IVB)._replace(curve=None)
    assert bootstrap.drawn(load(IVB), host, np.random.default_rng(1)).curve is None
    curve = Curve(np.array([1.0, 100.0]), np.array([60.0, 200.0]), 2)
    drawn = bootstrap.drawn(load(IVB), host._replace(curve=curve), np.random.default_rng(1)).curve
    assert drawn.sockets == 2 and drawn.ns.tolist() != curve.ns.tolist()
