"""Are parameters that were planted found again? Twenty made-up machines, measured by simulation with noise, fitted.

The measurements are those of the planted machine with independent errors of a third of each quantity's band, as the fit
supposes them. What comes out should lie within three standard errors for all but a few values, and within one for about
two thirds.
"""

import numpy as np
import pytest

from numasim.calibration import compose, fit, published, spec
from numasim.calibration.fit import NOISE
from numasim.calibration.knobs import independent
from numasim.calibration.published import Cell
from numasim.calibration.twins import Twins
from numasim.calibration.values import value_of

SHEET = {
    "name": "planted",
    "family": "skylake-sp",
    "sockets": 2,
    "cores": 4,
    "frequency_ghz": 3.0,
    "l3_bytes": "5.5MiB",
    "memory": {"generation": "DDR4", "mts": 2666, "channels": 2},
    "links": {"kind": "upi", "gts": 10.4, "count": 2},
}
ASKED = [
    *(("idle", (a, b)) for a in (0, 1) for b in (0, 1)),
    ("c2c", ("local_L2_to_L2_HIT", "", "")),
    ("c2c", ("local_L2_to_L2_HITM", "", "")),
    *(("c2c", (f"remote_HITM_homed_in_{home}", a, 1 - a)) for home in ("writer", "reader") for a in (0, 1)),
]
RANGES = {
    "fabric.controller_ns": (10, 60),
    "links.upi.latency_ns": (10, 60),
    "fabric.snoop_ns": (10, 50),
    "fabric.snoop_dirty_ns": (3, 15),
    "fabric.directory_ns": (20, 80),
}


def planted(seed):
    """A machine, and measurements of it: (machine, values, host)."""
    rng = np.random.default_rng(seed)
    values = {key: round(float(rng.uniform(*span)), 2) for key, span in RANGES.items()}
    sheet = spec.from_tables(SHEET)
    twins = Twins(compose.compose(sheet, values))
    cells = []
    for quantity, where in ASKED:
        true = twins.value(Cell(quantity, where, 0.0))
        cells.append(Cell(quantity, where, true * (1 + NOISE[quantity] * rng.standard_normal())))
    return compose.compose(sheet), values, published.Host("planted", sheet, cells, None)


@pytest.fixture(scope="module")
def found():
    """(parameter, planted, fitted, standard error) of all machines."""
    rows = []
    for seed in range(20):
        base, values, host = planted(seed)
        fitted = fit.fit(base, host)
        assert fitted.converged
        assert len(fitted.knobs) <= fitted.independent == independent(base, host.cells)
        rows += [(key, value, value_of(fitted.machine, key), fitted.errors[key]) for key, value in values.items()]
    return rows


def test_every_value_has_a_standard_error(found):
    assert all(error > 0 for *_, error in found)


def test_planted_values_are_found_within_their_errors(found):
    off = np.array([abs(got - value) / error for _, value, got, error in found])
    assert len(off) == 100
    assert np.mean(off < 3) >= 0.97
    assert 0.5 < np.mean(off < 1) < 0.95  # the errors are neither too small nor too large


def test_a_fit_moves_away_from_where_it_began(found):
    """lmfit's own steps are too small for a quantised objective: it would end at the family's values."""
    start = compose.compose(spec.from_tables(SHEET))
    moved = [abs(got - value_of(start, key)) > 0.2 for key, _, got, _ in found]
    assert np.mean(moved) > 0.9
