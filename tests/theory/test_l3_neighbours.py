"""Do others who share the L3 push out what is used too seldom, at the rate they are said to have, and nothing else?

They bring `neighbours_gbps` of lines into a domain's L3, evenly over its sets. Under LRU, a line is gone once as many
lines as its set has ways have come to it or been used there since.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agreement.programs import mixed
from agreement.test_schedulers import words
from numasim import machine as machines
from numasim.engine import fills, neighbours
from numasim.engine import state as st
from numasim.engine.cache import peek, sliced_set_of, touch
from numasim.engine.feed import Length
from theory.small_runs import COLD, MIB, Done, laid, ld, loads, pause, program, simulated, store, teaching
from theory.test_nested_walks import state

WAYS, SETS = 16, 1024  # of an L3 of 1 MiB: contiguous lines fill its sets evenly
LARGE: dict[str, Any] = {"l3__size_bytes": MIB, "l3__ways": WAYS, "l3__slices": 1, "l3__inclusion": "non-inclusive"}
MS = 1_000_000  # cycles


def walk(first: int, n: int) -> list[Any]:
    """Loads of lines in a row, each after the one before."""
    return [ld(64 * k, dep0=1, site=first // SETS) for k in range(first, first + n)]


# ---- one set, step by step -----------------------------------------------------------------------------------------


class Comes:
    """Lines of others: one every `period`, the first at `first`."""

    def __init__(self, first: int, period: int) -> None:
        self.first, self.period = first, period

    def until(self, now: int) -> int:
        return len(range(self.first, now + 1, self.period))


def first_arrival(every: int, s: int) -> int:
    """When set s gets its first line, found by looking at each moment anew."""
    for now in range(every + 1):
        if neighbours.waiting(twin_of(every, 1), s, now):
            return now
    raise AssertionError("none within a period")


def twin_of(every: int, ways: int) -> Any:
    p, core = SimpleNamespace(neighbours=every), SimpleNamespace(aged=[0] * 300)
    return SimpleNamespace(p=p, core=core, l3=SimpleNamespace(ways=ways))


@pytest.mark.parametrize("ways", [1, 4, 16])
@pytest.mark.parametrize("every", [1, 7, 640, 1000])
def test_as_many_wait_as_have_come_since_and_no_more_than_there_are_ways(every: int, ways: int) -> None:
    rng = np.random.default_rng(every + ways)
    m = twin_of(every, ways)
    for s in range(0, 300, 29):
        comes, seen, now = Comes(first_arrival(every, s), every), 0, 0
        for step in rng.choice([0, 0, every // 3, every, 2 * every + 1, 50 * every], 60).tolist():
            now += step
            assert neighbours.waiting(m, s, now) == min(comes.until(now) - seen, ways), (s, now)
            seen = comes.until(now)
        assert neighbours.waiting(m, s, now - 1) == 0, "an event that looked ahead has been there"
        assert neighbours.waiting(m, s, now) == 0, "and none comes twice for that"


def test_sets_have_times_of_their_own() -> None:
    """Spread evenly over the period: so many of them as chance allows in each tenth of it."""
    every = 1000
    first = np.array([first_arrival(every, s) for s in range(300)])
    assert ((first > 0) & (first <= every)).all()
    tenths = np.bincount((first - 1) // 100, minlength=10)
    assert len(tenths) == 10 and (np.abs(tenths - 30) < 4 * (300 * 0.1 * 0.9) ** 0.5).all()


@pytest.mark.parametrize("gbps", [0.5, 6.4, 100.0])
def test_the_rate_is_that_of_all_sets_together(gbps: float) -> None:
    """In a millisecond, gbps x 1 ms of lines, a set's share each: to a line a set."""
    machine = teaching(**LARGE, l3__neighbours_gbps=gbps)
    m = state(machine, laid(machine, 2 * MIB))
    m = m._replace(l3=m.l3._replace(ways=1 << 20))
    came = [neighbours.waiting(m, s, 10**9) for s in range(SETS)]
    assert sum(came) * 64 == pytest.approx(gbps * 1e6, rel=0.02)
    assert max(came) - min(came) <= 1


@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
@pytest.mark.parametrize("seed", range(3))
def test_a_set_as_a_naive_one(seed: int, inclusion: str) -> None:
    """Lines come to a set and are looked for there, at random times: what is there, and what has been written back as
    it fell out, as a list of lines by recency says, to which others' are added as their time comes."""
    every, ways, rng = 64_000, 4, np.random.default_rng(seed)
    machine = teaching(l3__ways=ways, l3__slices=1, l3__size_bytes=64 * ways * 64, l3__inclusion=inclusion,
                       l3__neighbours_gbps=64.0)  # fmt: skip
    m = state(machine, laid(machine, 2 * MIB))
    assert m.p.neighbours == every, "64 sets, each a line a 64 ns"
    m.control[st.K_COUNTING] = 1
    s = sliced_set_of(m.l3, 0, 0)
    lines = [line for line in range(1 << 13) if sliced_set_of(m.l3, 0, line) == s][:10]
    comes, seen, now = Comes(first_arrival(every, s), every), 0, 0
    kept: list[tuple[int | None, int]] = []  # (line, dirty), the latest first; of others (None, 0)
    written = 0
    for _ in range(1500):
        now += int(rng.choice([0, 1000, every // 2, 3 * every]))
        line, dirty = int(rng.choice(lines)), int(rng.integers(0, 2))
        kept = [(None, 0)] * min(comes.until(now) - seen, ways) + kept
        seen = comes.until(now)
        written += sum(d for _, d in kept[ways:])
        kept = kept[:ways]
        was = [d for x, d in kept if x == line]
        if rng.random() < 0.5:  # it falls out of an L2
            fills.put_l3(m, 0, 0, line, dirty, now)
            kept = [(line, dirty | sum(was)), *((x, d) for x, d in kept if x != line)]
            written += sum(d for _, d in kept[ways:])
            kept = kept[:ways]
        else:  # a miss looks for it
            fills.let_in(m, 0, 0, s, now)
            assert (touch(m.l3, s, line >> m.l3.bits) >= 0) == bool(was)
            kept = [(line, d) for d in was] + [(x, d) for x, d in kept if x != line]
        assert {x for x in lines if peek(m.l3, s, x >> m.l3.bits) >= 0} == {x for x, _ in kept if x is not None}
        assert m.dram.traffic[1] == written
    assert written > 50
    assert sum(m.dram.traffic) == written, "nothing is read for them"


# ---- whole runs ----------------------------------------------------------------------------------------------------


def paced(share: float, policy: str = "lru", **changes: Any) -> Done:
    """2048 lines, two a set, chased once in 2 ms and a bit; others bring `share` of what the L3 has room for besides in
    the time between two uses of a line."""
    walked = [*walk(0, 2048), pause(2 * MS)]
    whole_ns = 2 * MS + 2048 * (20 if share < 1 else 100)
    gbps = share * (MIB - 2048 * 64) / whole_ns
    machine = teaching(**{**LARGE, "l3__neighbours_gbps": gbps, "l3__policy": policy, **changes})
    return simulated(machine, laid(machine, 2 * MIB), program(walked), length=Length(3, 0, 1))


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
def test_what_is_used_soon_enough_is_kept(share: float, inclusion: str) -> None:
    """N x 64 + rate x time between uses < size: every load hits the L3."""
    done = paced(share, l3__inclusion=inclusion)
    assert done.counter("LLC-loads") == 2048 and done.counter("LLC-load-misses") == 0


@pytest.mark.parametrize(("share", "young"), [(1.2, 128), (1.6, 128), (20.0, 0)])
@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
def test_what_is_used_too_seldom_is_gone(share: float, young: int, inclusion: str) -> None:
    """Of a victim cache all but the last lines of the lap before: L2 has kept those, and they come to the L3 as the lap
    begins, 0.2 ms before they are used."""
    done = paced(share, l3__inclusion=inclusion)
    assert done.counter("LLC-loads") == 2048
    assert done.counter("LLC-load-misses") == 2048 - (young if inclusion == "victim" else 0)


def test_under_random_replacement_some_are_gone_at_any_rate() -> None:
    """Of w ways each line that comes to a full set takes one at random: after k of them a line is there with (1 - 1/w)
    to the k. With the program's own, 14 x 0.95 and the misses of the two."""
    done = paced(0.95, policy="random")
    missed = done.counter("LLC-load-misses") / 2048
    assert missed == pytest.approx(1 - (1 - 1 / WAYS) ** (14 * 0.95 + 2 * missed), abs=0.05)


def test_of_two_parts_the_one_used_often_is_kept() -> None:
    """Lines used four times in 4 ms, and others used once: at a rate that fills the L3 in 2.2 ms."""
    often, seldom = walk(0, SETS), walk(SETS, SETS)
    lap = [*often, pause(MS), *often, pause(MS), *often, pause(MS), *often, *seldom, pause(MS)]
    machine = teaching(**LARGE, l3__neighbours_gbps=MIB / (2.2 * MS))
    done = simulated(machine, laid(machine, 2 * MIB), program(lap), length=Length(3, 0, 1))
    assert done.counter("LLC-load-misses", site=0) == 0
    assert done.counter("LLC-load-misses", site=1) == SETS


def test_a_chase_without_pauses() -> None:
    """4096 lines, 20 ns each if they hit and 100 if not: at a rate well below (size - N x 64) in 4096 x 100 ns all hit,
    well above that in 4096 x 20 ns none does."""
    order = np.random.default_rng(3).permutation(4096) * 64
    room = MIB - 4096 * 64
    for gbps, missed in ((0.8 * room / (4096 * 100), 0), (1.4 * room / (4096 * 20), 4096)):
        machine = teaching(**LARGE, l3__neighbours_gbps=gbps, prefetch__streamer=False)
        lap = loads(order, dependent=True)
        done = simulated(machine, laid(machine, 2 * MIB), program(lap), length=Length(3, 0, 1))
        assert done.counter("LLC-loads") == pytest.approx(4096, abs=8)  # L2 has a few of an order at random
        assert done.counter("LLC-load-misses") == min(missed, done.counter("LLC-loads"))


@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
def test_dirty_lines_pushed_out_are_written_back(inclusion: str) -> None:
    """A thousand lines are written to, then, after a time in which all that the L3 holds is pushed out, each set is
    looked at twice: their lines are in memory. Without neighbours none is."""
    stores = [store(64 * k, site=0) for k in range(SETS)]
    lap = [*stores, pause(MS), *walk(SETS, SETS), pause(MS), *walk(2 * SETS, SETS)]
    written = {}
    for gbps in (0.0, 30 * MIB / MS):
        machine = teaching(**{**LARGE, "l3__inclusion": inclusion, "l3__neighbours_gbps": gbps})
        done = simulated(machine, laid(machine, 2 * MIB), program(lap), length=COLD)
        written[gbps] = int(done.raw.node_write_bytes.sum()) // 64
    assert list(written.values()) == [0, SETS]


@pytest.mark.parametrize(("inclusion", "level"), [("inclusive", "memory"), ("non-inclusive", "L1")])
def test_an_inclusive_l3_forgets_below(inclusion: str, level: str) -> None:
    """A line in L1, of whose use the L3 is told nothing, is pushed out there as another of its set is looked for."""
    roomy = {"l1d__ways": 16, "l1d__size_bytes": 1 << 17, "l2__size_bytes": 1 << 18, "l2__ways": 16}
    machine = teaching(**{**LARGE, **roomy, "l3__inclusion": inclusion, "l3__neighbours_gbps": 30 * MIB / MS})
    lap = [ld(0, site=0), pause(MS), ld(0, dep0=2, site=3), *walk(SETS, SETS), ld(0, dep0=1, site=2)]
    done = simulated(machine, laid(machine, 2 * MIB), program(lap), length=COLD)
    assert done.latency(3) == 1, "nobody has looked at the set"
    assert done.latency(2) == (1 if level == "L1" else pytest.approx(100, abs=20))


# ---- none ----------------------------------------------------------------------------------------------------------


def a_bit_of_all(machine: Any) -> Done:
    made = [mixed(0, 1 << 16, k, 600, synchronised=True, operations=True, chains=False) for k in range(3)]
    return simulated(machine, laid(machine, 1 << 16, pages="4k"), *made, cpus=[0, 1, 4])


def test_none_is_a_machine_without_the_key() -> None:
    """And others who bring so little that nothing of it comes within the run change nothing, too."""
    text = teaching(l3__inclusion="victim").to_toml()
    assert "neighbours_gbps" not in text
    without = machines.from_toml_text(text)
    expected = dict(words(a_bit_of_all(without).run.m))
    for gbps in (0.0, 1e-3):
        found = dict(words(a_bit_of_all(teaching(l3__inclusion="victim", l3__neighbours_gbps=gbps)).run.m))
        different = [name for name in expected if not np.array_equal(expected[name], found[name])]
        assert different == ([] if gbps == 0 else ["core.aged"])
        assert not found["core.aged"].any()


def test_nothing_waits_for_them() -> None:
    """Others take no time of the program's: a lap of `paced` takes its two milliseconds and its hits."""
    assert paced(0.6).time == pytest.approx(2 * MS + 2048 * 20, rel=0.001)
