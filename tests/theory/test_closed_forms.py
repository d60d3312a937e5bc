"""Are the closed forms themselves right? Each against a simulation in a few obvious lines, or against another form."""

import itertools
import math
import random

import pytest

from theory import closed_forms as theory
from theory.naive_policies import Lru, NaiveSet, Random, Srrip, TreePlru

HAND = [*"abcbaadb"]


def round_and_round(lines: int, uses: int) -> list[int]:
    return list(itertools.islice(itertools.cycle(range(lines)), uses))


def fifo_waits(arrivals: list[float], services: list[float]) -> list[float]:
    """Lindley's recurrence: what a first-come-first-served server makes each customer wait."""
    waits, free = [], 0.0
    for arrival, service in zip(arrivals, services, strict=True):
        waits.append(max(0.0, free - arrival))
        free = arrival + waits[-1] + service
    return waits


def poisson(rate: float, count: int, seed: int) -> list[float]:
    rng = random.Random(seed)
    return list(itertools.accumulate(rng.expovariate(rate) for _ in range(count)))


def test_stack_distances_by_hand() -> None:
    assert theory.stack_distances(HAND) == [-1, -1, -1, 1, 2, 0, -1, 2]
    assert [theory.lru_hits(HAND, lines) for lines in (1, 2, 3)] == [1, 2, 4]


@pytest.mark.parametrize("ways", [1, 2, 7, 12])
def test_lru_set_hits_where_the_stack_distance_says(ways: int) -> None:
    trace = random.Random(4).choices(range(20), k=2000)
    one = Lru(ways)
    assert sum(one.use(line) for line in trace) == theory.lru_hits(trace, ways)


def test_lru_over_random_sets() -> None:
    """A line, then d others, then it again, each time hashed anew: how often is it still there?"""
    rng, sets, ways, trials = random.Random(5), 16, 4, 20_000
    for distance in (0, 3, 30, 60, 100):
        hits = sum(sum(rng.randrange(sets) == 0 for _ in range(distance)) < ways for _ in range(trials))
        expected = theory.lru_set_hit_probability(distance, sets, ways)
        assert abs(hits / trials - expected) < 4 * math.sqrt(abs(expected * (1 - expected)) / trials) + 1e-9
    assert theory.lru_set_hit_probability(11, 1, 12) == 1
    assert theory.lru_set_hit_probability(12, 1, 12) == 0
    assert theory.lru_set_hit_probability(-1, 16, 4) == 0


@pytest.mark.parametrize(("lines", "ways"), [(3, 2), (5, 4), (8, 4), (10, 8)])
def test_random_replacement_exactly(lines: int, ways: int) -> None:
    """The Markov chain against a long simulation: 4 standard errors of 40 batches."""
    one = Random(ways, seed=lines)
    one.hit_rate(round_and_round(lines, 1000 * lines))
    batches = [one.hit_rate(round_and_round(lines, 200 * lines)) for _ in range(40)]
    mean = sum(batches) / 40
    error = math.sqrt(sum((rate - mean) ** 2 for rate in batches) / 39 / 40)
    assert abs(mean - theory.cyclic_random_exact_hit_rate(lines, ways)) < 4 * error


def test_random_replacement_by_hand() -> None:
    """One line too many. A miss throws out a line that is 1 to `ways` uses away, each with the same chance: the
    next miss comes after (ways + 1) / 2 accesses in the mean.
    """
    for ways in (2, 3, 8):
        assert theory.cyclic_random_exact_hit_rate(ways + 1, ways) == pytest.approx((ways - 1) / (ways + 1), abs=1e-9)
    for form in (theory.cyclic_random_exact_hit_rate, theory.cyclic_random_hit_rate):
        assert form(2, 1) == pytest.approx(0, abs=1e-9)
    assert theory.cyclic_random_hit_rate(12, 12) == 1 == theory.cyclic_random_exact_hit_rate(4, 4)


@pytest.mark.parametrize(("lines", "ways"), [(13, 12), (18, 12), (24, 12), (48, 12), (24, 16), (320, 160)])
def test_random_replacement_nearly(lines: int, ways: int) -> None:
    """Nearly: eviction does depend on a line's age a little."""
    one = Random(ways)
    one.hit_rate(round_and_round(lines, 200 * lines))
    simulated = one.hit_rate(round_and_round(lines, 200_000))
    assert abs(simulated - theory.cyclic_random_hit_rate(lines, ways)) < 0.01


@pytest.mark.parametrize("policy", [Lru, Srrip])
@pytest.mark.parametrize(("lines", "ways"), [(8, 8), (9, 8), (13, 12), (40, 12), (1, 1), (2, 1)])
def test_cyclic_walk_of_lru_and_srrip(policy: type[Lru] | type[Srrip], lines: int, ways: int) -> None:
    one: NaiveSet = policy(ways)
    one.hit_rate(round_and_round(lines, 10 * lines))
    form = theory.cyclic_lru_hit_rate if policy is Lru else theory.cyclic_srrip_hit_rate
    assert one.hit_rate(round_and_round(lines, 100 * lines)) == form(lines, ways)


def test_srrip_keeps_what_hits_while_others_stream_by() -> None:
    """Why it was made: lines used twice stay, lines used once go (their figure 1, a mixed pattern)."""
    srrip, lru = Srrip(4), Lru(4)
    pattern = [line for turn in range(200) for line in (1, 1, 2, 2, *(1000 + 3 * turn + k for k in range(3)))]
    assert srrip.hit_rate(pattern) > lru.hit_rate(pattern) + 0.2


def test_tree_plru_by_hand() -> None:
    """Four ways filled in order, then way 0 used: the tree points right, there to the left: way 2."""
    one = TreePlru(4)
    assert [one.use(line) for line in (10, 11, 12, 13, 10)] == [False, False, False, False, True]
    assert one.victim() == 2
    one.use(14)
    assert one.lines == [10, 11, 14, 13]
    assert one.victim() == 1


@pytest.mark.parametrize("ways", [2, 3, 4, 12, 16])
def test_tree_plru_never_evicts_the_last_used(ways: int) -> None:
    one, rng = TreePlru(ways), random.Random(7)
    for _ in range(2000):
        line = rng.randrange(3 * ways)
        one.use(line)
        if None not in one.lines:
            assert one.lines[one.victim()] != line
    assert TreePlru(2).hit_rate(HAND_LINES) == Lru(2).hit_rate(HAND_LINES)  # two ways: the same policy


HAND_LINES = [ord(letter) for letter in HAND]


def test_walk_over_hashed_sets() -> None:
    """2000 lines hashed over 128 sets of 12 ways, random replacement: 15.6 lines a set in the mean, none alike."""
    sets, ways, lines, rng = 128, 12, 2000, random.Random(11)
    rates = []
    for trial in range(4):
        home = [rng.randrange(sets) for _ in range(lines)]
        cache = [Random(ways, seed=trial * sets + number) for number in range(sets)]
        hits = [cache[home[line]].use(line) for _ in range(30) for line in range(lines)][20 * lines :]
        rates.append(sum(hits) / len(hits))
    expected = theory.over_random_sets(theory.cyclic_random_hit_rate, lines, sets, ways)
    assert abs(sum(rates) / 4 - expected) < 0.015
    assert theory.over_random_sets(theory.cyclic_lru_hit_rate, lines, 1, 2000) == 1


@pytest.mark.parametrize("rho", [0.1, 0.5, 0.8])
def test_waits_of_single_servers(rho: float) -> None:
    """Four standard errors, taken over 50 batches of 8000 customers."""
    service, customers, rng = 3.0, 400_000, random.Random(13)
    arrivals = poisson(rho / service, customers, seed=int(10 * rho))
    kinds = {
        theory.md1_wait(rho / service, service): [service] * customers,
        theory.mm1_wait(rho / service, service): [rng.expovariate(1 / service) for _ in range(customers)],
        theory.mg1_wait(rho / service, 3.0, (1 + 25) / 2): [rng.choice((1.0, 5.0)) for _ in range(customers)],
    }
    for expected, services in kinds.items():
        waits = fifo_waits(arrivals, services)
        batches = [sum(waits[at : at + 8000]) / 8000 for at in range(0, customers, 8000)]
        mean = sum(batches) / 50
        error = math.sqrt(sum((value - mean) ** 2 for value in batches) / 49 / 50)
        assert abs(mean - expected) < 4 * error


def test_distribution_of_the_constant_servers_wait() -> None:
    rate, service = 0.25, 3.0
    waits = fifo_waits(poisson(rate, 200_000, seed=17), [service] * 200_000)
    for wait in (0, 1, 3, 7.5, 20, 40):
        share = sum(value <= wait for value in waits) / len(waits)
        assert share == pytest.approx(theory.md1_wait_below(rate, service, wait), abs=0.01)
    assert theory.md1_wait_below(rate, service, -1) == 0
    assert theory.md1_wait_below(rate, service, 0) == pytest.approx(1 - rate * service)
    mean = sum(1 - theory.md1_wait_below(rate, service, (step + 0.5) / 10) for step in range(1000)) / 10
    assert mean == pytest.approx(
        theory.md1_wait(rate, service), rel=1e-3
    )  # the mean is the area above the distribution
    with pytest.raises(ValueError, match="digits"):
        theory.md1_wait_below(rate, service, 101)


def test_waits_by_hand() -> None:
    assert theory.md1_wait(0.5, 1) == 0.5
    assert theory.mm1_wait(0.5, 1) == 1
    assert theory.md1_wait(0, 1) == 0
    for form in (theory.md1_wait, theory.mm1_wait):
        with pytest.raises(ValueError, match="without end"):
            form(1, 1)


def test_littles_law() -> None:
    arrivals = poisson(0.2, 3000, seed=19)
    stays = [
        (begin, begin + wait + 4) for begin, wait in zip(arrivals, fifo_waits(arrivals, [4.0] * 3000), strict=True)
    ]
    assert theory.little_error(stays) < 1e-9
    assert theory.little_error([(0, 2), (1, 3), (1, 1)]) < 1e-12
    assert theory.little_error([(5, 5)]) == 0


def test_refresh() -> None:
    """A rank refreshed for 350 ns every 7800 ns, accesses at random times."""
    rng = random.Random(23)
    delays = [max(0.0, 350 - rng.random() * 7800) for _ in range(200_000)]
    assert sum(delays) / len(delays) == pytest.approx(theory.refresh_mean_delay(7800, 350), rel=0.05)
    assert sum(delay > 0 for delay in delays) / len(delays) == pytest.approx(theory.refresh_share(7800, 350), rel=0.05)
