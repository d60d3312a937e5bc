"""Machines drawn from what a fit knows, and intervals: against closed forms."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from msgspec.structs import replace

from numasim.calibration import coverage, intervals
from numasim.calibration.held_out import Left
from numasim.calibration.values import value_of
from numasim.errors import UserError
from numasim.machine import load
from numasim.machine.checks import MAX_OUTSTANDING
from numasim.machine.model import Uncertainty


def test_draws_have_the_errors_and_correlations_of_the_model():
    machine = load("hsw-2680v3-2s")
    keys = [key for key in machine.uncertainty.keys if value_of(machine, key) > 10]  # far from where they are cut off
    drawn = np.array([[value_of(m, key) for key in keys] for m in intervals.draws(machine, 400)])
    at = [machine.uncertainty.keys.index(key) for key in keys]
    errors = np.array(machine.uncertainty.standard_error)[at]
    assert np.mean(drawn, 0) == pytest.approx([value_of(machine, key) for key in keys], abs=4 * errors.max() / 20)
    assert np.std(drawn, 0) == pytest.approx(errors, rel=0.2, abs=0.5)  # whole numbers are rounded
    told = np.array(machine.uncertainty.correlation)[np.ix_(at, at)]
    assert np.corrcoef(drawn.T) == pytest.approx(told, abs=0.2)


def test_the_same_seed_draws_the_same_machines():
    machine = load("ivb-2680v2-2s")
    assert intervals.draws(machine, 3, seed=5) == intervals.draws(machine, 3, seed=5)
    assert intervals.draws(machine, 3, seed=5) != intervals.draws(machine, 3, seed=6)


def test_draws_are_machines_whatever_the_errors():
    """Trackers do not become any number, which is what 0 says, and a core has no more misses than it may."""
    keys = ("fabric.remote_trackers", "core.fill_buffers", "core.prefetch_buffers")
    told = Uncertainty(keys=keys, standard_error=(30.0, 9.0, 90.0), correlation=((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    for machine in intervals.draws(replace(load("bdw-2680v4-2s-cod"), uncertainty=told), 200):
        assert machine.fabric.remote_trackers >= 1
        assert machine.core.fill_buffers + machine.core.prefetch_buffers <= MAX_OUTSTANDING


def test_a_model_that_was_never_fitted_has_no_interval():
    with pytest.raises(UserError, match="does not say how well"):
        intervals.draws(load("teaching-2s"), 3)


@pytest.mark.parametrize("relative", [0.05, 0.3])
def test_of_one_value_the_interval_is_the_discrepancy_s(relative):
    z = NormalDist().inv_cdf(0.95)
    low, high = intervals.interval([100.0], relative)
    assert low == pytest.approx(100 * math.exp(-z * relative), rel=0.01)
    assert high == pytest.approx(100 * math.exp(z * relative), rel=0.01)


def test_without_a_discrepancy_it_is_the_values_own():
    values = np.linspace(90, 110, 201)
    assert intervals.interval(values, 0.0) == pytest.approx((91, 109), rel=0.01)


def lefts(relative, hosts=12, each=20, seed=3):
    """Predictions of 100 of hosts that differ by a common factor of this relative width, and a little of their own."""
    rng = np.random.default_rng(seed)
    return [
        Left("pairs", f"host{h}", "family", "idle", str(k), 100 * math.exp(shift + 0.01 * rng.standard_normal()),
             100.0, 0.0, 100.0, 100.0, "")
        for h in range(hosts)
        for shift in [relative * rng.standard_normal()]
        for k in range(each)
    ]  # fmt: skip


def test_a_planted_discrepancy_is_found():
    assert coverage.discrepancies(lefts(0.1, hosts=200, each=3))["idle"] == pytest.approx(0.1, rel=0.15)


def test_intervals_of_many_hosts_hold_what_they_say():
    told = coverage.coverage(coverage.covered(lefts(0.1, hosts=200, each=1)))
    assert told.rows == 200
    assert told.p_value > 0.05
    assert told.share == pytest.approx(0.9, abs=0.06)


def test_intervals_that_are_too_narrow_are_found_out():
    found = [
        one._replace(low=one.left.predicted * 0.99, high=one.left.predicted * 1.01)
        for one in coverage.covered(lefts(0.1))
    ]
    assert coverage.coverage(found).p_value < 1e-6
