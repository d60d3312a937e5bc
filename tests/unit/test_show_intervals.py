"""Do the intervals of `show` hold its figures, and follow from the draws and the discrepancy?"""

import json

import numpy as np
import pytest

from numasim.calibration.intervals import discrepancy, draws, interval
from numasim.calibration.predictive import matrix_intervals
from numasim.calibration.twins import Twins
from numasim.cli.app import main
from numasim.machine import load

HOST = "ivb-2680v2-2s"


def ended(*words):
    with pytest.raises(SystemExit) as told:
        main(list(words))
    return told.value.code or 0


def test_an_interval_is_that_of_the_machines_drawn():
    machine = load(HOST)
    found = matrix_intervals(machine, 3)
    ours = [Twins(other).bandwidth(0, 1) for other in draws(machine, 3)]
    assert found["bandwidth_gbps"][0][1] == pytest.approx(interval(ours, discrepancy(machine, "bandwidth")))


def test_figures_lie_in_their_intervals(capsys):
    assert ended("show", HOST, "--intervals", "4", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    for name in ("latency_ns", "bandwidth_gbps"):
        low, high = np.moveaxis(np.array(told[f"{name}_interval"]), 2, 0)
        assert np.all((low < told[name]) & (told[name] < high))


@pytest.mark.parametrize("words", [["teaching-2s", "--intervals", "3"], [HOST, "--no-simulate", "--intervals", "3"]])
def test_what_has_no_interval_says_so_in_a_line(words, capsys):
    assert ended("show", *words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
