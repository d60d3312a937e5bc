"""Is numasim as fast, beside the others, as it must be? Ratios of one run only, on a quiet machine."""

from collections.abc import Iterator

import pytest

from benchmarks.bench import Row, markdown, measure
from benchmarks.cases import CORES, DRAM, L1, L3, WALKS, Case

MUST = {L1: 0.8, L3: 0.6, DRAM: 0.5, WALKS: 0.3, CORES: 0.3}  # x pycachesim
MUST_BY_SIMPY = 60


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[Case, Row]]:
    measured = measure()
    print(markdown(measured))
    return {row.case: row for row in measured}


@pytest.mark.parametrize("case", MUST, ids=lambda case: case.name)
def test_ratio_to_pycachesim(rows, case):
    assert rows[case].ratio >= MUST[case]


def test_ratio_to_pure_simpy(rows):
    assert rows[DRAM].by_simpy >= MUST_BY_SIMPY
