"""Do the caches of a whole run hit as often as theory says? Chains of loads, one core, page walks out of the way."""

import random
from typing import Any

import numpy as np
import pytest

from theory import closed_forms as theory
from theory.naive_policies import Lru
from theory.small_runs import L1, L2, L3, LOCAL, MIB, REMOTE, Done, laid, loads, program, simulated, teaching

LINE = 64


def chain(lines: list[int], laps: int = 2, *, nodes: tuple[int, ...] = (0,), seed: int = 1, **changes: object) -> Done:
    """A chain of loads of these lines, that lap after lap, all but the last one warming up."""
    machine = teaching(**changes)
    lap = loads(np.array(lines) * LINE, dependent=True)
    return simulated(machine, laid(machine, 2 * MIB, nodes=nodes, seed=seed), program(*[lap] * laps))


def after_warm_up(hits: list[bool]) -> int:
    """Of two laps, the hits of the second."""
    return sum(hits[len(hits) // 2 :])


@pytest.mark.parametrize("ways", [4, 12, 16])
def test_fully_associative_lru_by_stack_distance(ways: int) -> None:
    trace = random.Random(ways).choices(range(3 * ways), k=1500)
    done = chain(trace, l1d__ways=ways, l1d__size_bytes=ways * LINE)
    distances = theory.stack_distances(trace * 2)
    hits = after_warm_up([0 <= distance < ways for distance in distances])
    assert 1500 - done.counter("L1-dcache-load-misses") == hits
    assert done.counter("mem-loads") == 1500


def test_two_levels_of_lru_sets_by_stack_distance() -> None:
    """L1 by the stack distance within each of its sets; L2, which sees what L1 misses, likewise."""
    rng = random.Random(9)
    trace = [rng.randrange(24) if rng.random() < 0.5 else rng.randrange(300) for _ in range(4000)]
    done = chain(trace)
    l1, l2 = [Lru(2) for _ in range(8)], [Lru(4) for _ in range(32)]
    where = [1 if l1[line % 8].use(line) else 2 if l2[line % 32].use(line) else 3 for line in trace * 2][4000:]
    assert done.counter("mem-loads") - done.counter("L1-dcache-load-misses") == where.count(1)
    assert done.counter("L2-hits") == where.count(2)
    assert done.counter("LLC-loads") == where.count(3)
    assert done.raw.access_rows[:, :, 0].sum() == where.count(1) * L1 * 1000


def test_each_level_takes_what_the_model_file_says() -> None:
    assert chain([3] * 300).latency(0) == L1
    walk = list(range(64))
    assert chain(walk).latency(0) == L2, "64 lines, 16 of them in L1"
    assert chain(list(range(256)), 3).latency(0) == L3, "twice the L2"
    # rows are closed again by the time the walk comes back to their bank
    walk = list(range(0, 8192, 4))
    assert chain(walk).latency(0) == LOCAL
    assert chain(walk, nodes=(1,)).latency(0) == REMOTE


@pytest.mark.parametrize(("policy", "expected"), [("lru", 0.0), ("rrip", 0.0), ("random", 3 / 5)])
def test_walks_one_line_a_set_too_long_for_l2(policy: str, expected: float) -> None:
    """160 lines round and round through 32 sets of 4: 3 of 5 hit under random replacement, none under the others."""
    done = chain(list(range(160)) * 40, l2__policy=policy, l1d__ways=1, l1d__size_bytes=512)
    rounds = 40 * 32
    noise = 4 * (expected * (1 - expected) / rounds) ** 0.5
    assert done.counter("L1-dcache-load-misses") == 160 * 40
    assert done.counter("L2-hits") / (160 * 40) == pytest.approx(expected, abs=noise)


@pytest.mark.parametrize("policy", ["lru", "rrip", "random"])
def test_walks_larger_than_a_hashed_l3(policy: str) -> None:
    """1.5 times the L3, whose lines are hashed over slices: of each 1024 lines in a row one belongs to a set, if it is
    of the set's slice; so a set holds its binomial share of the walk's 24 stretches, and hits as its own walk does."""
    forms = {"lru": theory.cyclic_lru_hit_rate, "rrip": theory.cyclic_srrip_hit_rate}
    ways, slices, stretches = 4, 4, 24
    shape: dict[str, Any] = {"l3__ways": ways, "l3__slices": slices, "l3__size_bytes": slices * 1024 * ways * LINE}
    lines, hits, looked = 1024 * stretches, 0, 0
    for seed in range(2):  # other frames, another hash
        done = chain(list(range(lines)) * 3, 2, seed=seed, l3__policy=policy, l3__inclusion="non-inclusive", **shape)
        looked += done.counter("LLC-loads")
        hits += done.counter("LLC-loads") - done.counter("LLC-load-misses")
    assert looked == 2 * 3 * lines, "L2 hits nothing of a walk so long"
    form = forms.get(policy, theory.cyclic_random_hit_rate)
    expected = theory.over_random_sets(form, stretches, slices, ways)
    noise = 4 * 0.5 / (2 * 4 * 1024) ** 0.5  # of so many sets' shares of the walk, each of which hits or does not
    assert hits / looked == pytest.approx(expected, abs=noise + (0.01 if policy == "random" else 0))
