"""Are percentiles within 1 % of the samples behind them, and are sums and tails exact?"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.engine.output import ACCESS_CAUSES
from numasim.errors import UserError
from numasim.results import Distribution
from unit.test_results_synthetic import bucket_edges_ps, random_stacks, rows_of

EDGES = bucket_edges_ps()
GRID = [0, 0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 99.999, 100]

sizes = st.lists(st.integers(1024, 10**12), min_size=1, max_size=400)


def of_stacks(stacks: npt.NDArray[np.int64], causes: tuple[str, ...] = ACCESS_CAUSES) -> Distribution:
    totals = stacks.sum(axis=1)
    return Distribution(rows_of(stacks, EDGES), EDGES, int(totals.min()), int(totals.max()), causes)


def of_totals(totals: list[int]) -> Distribution:
    """All of it one cause."""
    return of_stacks(np.array(totals, dtype=np.int64)[:, None], ("memory",))


def near(found_ns: float, totals_ps: npt.NDArray[np.int64], p: float) -> bool:
    """Whether numpy finds a sample at that percentile within 1 %.

    Where p falls exactly between two ranks, the rounding of numpy's floats decides for one: either will do.
    """
    beside = np.clip([p - 1e-9, p, p + 1e-9], 0, 100)
    samples_ns = np.percentile(totals_ps, beside, method="inverted_cdf") / 1000
    return bool((np.abs(found_ns - samples_ns) <= 0.01 * samples_ns).any())


@settings(max_examples=60, deadline=None)
@given(sizes, st.lists(st.floats(0, 100), max_size=5))
def test_percentile_is_within_one_percent_of_numpys_on_the_samples(totals: list[int], extra: list[float]) -> None:
    latencies = of_totals(totals)
    for p in [*GRID, *extra]:
        assert near(latencies.percentile(p), np.array(totals), p)


@pytest.mark.parametrize("seed", range(3))
def test_percentile_of_a_realistic_shape(seed: int) -> None:
    stacks = random_stacks(np.random.default_rng(seed), 20_000)
    totals = stacks.sum(axis=1)
    for p in GRID:
        assert near(of_stacks(stacks).percentile(p), totals, p)


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_percentiles_never_fall(totals: list[int]) -> None:
    latencies = of_totals(totals)
    found = [latencies.percentile(p) for p in np.linspace(0, 100, 301)]
    assert all(a <= b for a, b in pairwise(found))
    assert found[0] == min(totals) / 1000
    assert found[-1] == max(totals) / 1000


def test_a_percentile_of_equal_samples_is_that_sample() -> None:
    latencies = of_totals([1613] * 1000)
    assert {latencies.percentile(p) for p in GRID} == {1.613}


def test_a_rank_is_counted_in_decimals_not_in_floats() -> None:
    # 99.9 * 1000 / 100 is 999.0000000000001 in floats: the largest sample would be taken for the 999th
    assert of_totals([2000] * 999 + [9000]).percentile(99.9) == 2.0
    assert of_totals([2000] * 999 + [9000]).tail_count(99.9) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 500))
def test_count_mean_extremes_and_causes_are_exact(seed: int, count: int) -> None:
    stacks = random_stacks(np.random.default_rng(seed), count)
    totals = stacks.sum(axis=1)
    latencies = of_stacks(stacks)
    assert latencies.count == count
    assert latencies.total_ps == int(totals.sum()) == sum(latencies.stack_ps.values())
    assert latencies.stack_ps == dict(zip(ACCESS_CAUSES, stacks.sum(axis=0).tolist(), strict=True))
    assert latencies.mean_ns == int(totals.sum()) / count / 1000
    assert (latencies.min_ns, latencies.max_ns) == (totals.min() / 1000, totals.max() / 1000)
    assert sum(latencies.stack_ns.values()) == pytest.approx(latencies.mean_ns, rel=1e-12)


def test_a_tail_that_ends_between_buckets_is_exactly_its_samples() -> None:
    stacks = np.zeros((1000, len(ACCESS_CAUSES)), dtype=np.int64)
    stacks[:, 0] = 2000
    stacks[-10:, 7] = 50_000 + np.arange(10) * 1000
    latencies = of_stacks(stacks)
    assert latencies.tail_count(99) == 10
    by_hand = dict.fromkeys(ACCESS_CAUSES, 0.0) | {"l1": 2.0, "link_wait": 54.5}
    assert latencies.tail_stack_ns(99) == pytest.approx(by_hand)


def test_the_bucket_at_the_percentile_is_split_in_proportion() -> None:
    # 8 samples of 2 ns share a bucket, 2 of 10 ns another: the slowest half is those 2 and 3 of the 8
    latencies = of_totals([2000] * 8 + [10_000] * 2)
    assert latencies.tail_count(50) == 5
    assert latencies.tail_stack_ns(50) == pytest.approx({"memory": (2 * 10 + 3 * 2) / 5})
    assert latencies.tail_shares(50).max() == 1
    assert sorted(latencies.tail_shares(50)[latencies.tail_shares(50) > 0])[0] == pytest.approx(3 / 8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 100))
def test_a_tails_mean_is_that_of_its_samples_within_a_bucket(seed: int, above: float) -> None:
    stacks = random_stacks(np.random.default_rng(seed), 500)
    latencies = of_stacks(stacks)
    slowest = np.sort(stacks.sum(axis=1))[-latencies.tail_count(above) :]
    assert sum(latencies.tail_stack_ns(above).values()) == pytest.approx(slowest.mean() / 1000, rel=1 / 64)


def test_the_tail_above_zero_is_everything() -> None:
    latencies = of_stacks(random_stacks(np.random.default_rng(1), 500))
    assert latencies.tail_stack_ns(0) == pytest.approx(latencies.stack_ns)


def test_the_tail_above_100_is_the_slowest() -> None:
    assert of_totals([2000] * 99 + [70_000]).tail_stack_ns(100) == {"memory": 70.0}


def test_cdf_rises_from_the_fastest_at_0_to_the_slowest_at_1() -> None:
    totals = random_stacks(np.random.default_rng(2), 2000).sum(axis=1)
    latencies, shares = of_totals(totals.tolist()).cdf()
    assert (latencies[0], shares[0]) == (totals.min() / 1000, 0)
    assert (latencies[-1], shares[-1]) == (totals.max() / 1000, 1)
    assert np.all(np.diff(latencies) >= 0)
    assert np.all(np.diff(shares) > 0)
    for latency, share in zip(latencies[1:-1], shares[1:-1], strict=True):
        assert share == np.mean(totals < latency * 1000)


def test_an_empty_distribution_knows_nothing() -> None:
    nothing = Distribution(np.zeros((len(EDGES) - 1, 16), dtype=np.int64), EDGES, 2**62, 0, ACCESS_CAUSES)
    assert nothing.count == nothing.total_ps == 0
    for value in (nothing.mean_ns, nothing.min_ns, nothing.max_ns, nothing.percentile(50), nothing.stack_ns["l1"]):
        assert np.isnan(value)
    assert np.isnan(nothing.tail_stack_ns(99)["l1"])


@pytest.mark.parametrize("p", [-0.1, 100.01, float("nan"), float("inf")])
def test_what_is_no_percentile_is_refused(p: float) -> None:
    with pytest.raises(UserError, match="from 0 to 100"):
        of_totals([2000]).percentile(p)
