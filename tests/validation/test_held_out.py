"""What was left out of fits, as shipped: do the predictions lie in the bands of the split, and the intervals hold them?

`python -m numasim.calibration.judge` makes calibration/hosts/held_out.csv; some of its rows are made here again.
"""

import math

import pytest

from numasim.calibration import coverage, held_out, judge


@pytest.fixture(scope="module")
def lefts():
    return judge.read()


@pytest.fixture(scope="module")
def verdicts(lefts):
    return {verdict.experiment: verdict for verdict in judge.verdicts(lefts)}


def test_the_verdicts_are_shown(lefts, capsys):
    with capsys.disabled():
        print("\n  " + "\n  ".join(judge.lines(lefts)))


@pytest.mark.parametrize("experiment", ["pairs", "load", "machine"])
def test_what_was_left_out_lies_in_its_band(verdicts, experiment):
    told = verdicts[experiment]
    assert told.rows >= 20
    assert told.median <= told.band_median
    assert told.worst <= told.band_worst


def test_load_is_told_better_than_by_a_queue(verdicts):
    assert verdicts["load"].beaten >= 0.95


def test_intervals_hold_what_was_left_out(lefts):
    told = coverage.coverage(coverage.covered(lefts))
    assert told.rows >= 100
    assert told.p_value >= 0.05
    assert min(told.families.values()) >= 0.7
    assert told.score < told.constant
    assert told.width <= 4 * held_out.split()["machine"]["median"]


@pytest.mark.parametrize("host", ["ivb-2680v2-2s", "clx-6252n-2s"])
def test_what_is_shipped_is_what_the_models_of_today_predict(lefts, host):
    """A machine from its sheet once more: the figures in the file are not those of other models."""
    shipped = {(one.quantity, one.where): one for one in lefts if one.experiment == "machine" and one.host == host}
    again = held_out.machine(host, lambda what, done: None)
    assert len(again) == len(shipped) > 0
    for one in again:
        assert math.isclose(one.predicted, shipped[one.quantity, one.where].predicted, rel_tol=1e-3)
