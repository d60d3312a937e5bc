"""Is everything counted once? Accesses, events and bytes against the program itself, and times against each other."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from agreement.programs import mixed
from numasim.engine import state as st
from numasim.engine.feed import Length
from numasim.traces.records import ATOMIC, BRANCH, LOAD, LOCK, STORE, UNLOCK, Records
from numasim.workloads.base import ThreadProgram
from theory.small_runs import COLD, LOCAL, MIB, Done, Row, laid, ld, loads, op_end, program, simulated, store, teaching

KINDS = {"mem-loads": (LOAD,), "mem-stores": (STORE, ATOMIC, LOCK, UNLOCK), "branch-instructions": (BRANCH,)}
TIMED = (LOAD, STORE, ATOMIC, LOCK, UNLOCK)  # what has a latency; prefetches have none


def fed(program: ThreadProgram, lap: int) -> Counter[tuple[int, int]]:
    """How many records of a (kind, site) a lap has."""
    found: Counter[tuple[int, int]] = Counter()
    for r in program.lap(lap):
        n = len(r.address)
        kinds, sites = (np.broadcast_to(np.asarray(column), n).tolist() for column in (r.kind, r.site))
        found += Counter(zip(kinds, sites, strict=True))
    return found


def mixture(seed: int, threads: int, shared: bool, **changes: Any) -> tuple[Done, list[ThreadProgram]]:
    """Threads of random programs that do a bit of everything, in one lap of warm-up and one that counts."""
    size = 1 << 15
    made = [
        mixed(
            0 if shared else k * 2 * MIB, size, seed + k, 900, synchronised=True, operations=True, chains=seed % 2 == 1
        )
        for k in range(threads)
    ]
    machine = teaching(topology__threads_per_core=2, memory__dram__trfc_ns=300.0, core__issue_width=2, **changes)
    space = laid(machine, *[size] * (1 if shared else threads), pages="4k", nodes=(0, 1))
    cpus = [0, 8, 5, 1, 2][:threads]  # two threads share a core
    return simulated(machine, space, *made, cpus=cpus), made


BIT_OF_ALL = [(1, 1, False, {}), (2, 3, False, {}), (3, 3, True, {}), (4, 5, True, {"l3__inclusion": "victim"}),
              (5, 5, True, {"os__tick_hz": 50_000.0}), (6, 4, True, {"prefetch__next_line": True})]  # fmt: skip


@pytest.mark.parametrize(("seed", "threads", "shared", "changes"), BIT_OF_ALL)
def test_every_record_is_counted_once_by_group_and_site(
    seed: int, threads: int, shared: bool, changes: dict[str, Any]
) -> None:
    done, made = mixture(seed, threads, shared, **changes)
    for group, each in enumerate(made):
        expected = fed(each, 1)
        for site in {site for _, site in expected}:
            for event, kinds in KINDS.items():
                count = sum(expected[kind, site] for kind in kinds)
                assert done.counter(event, site, group) == count, (event, site, group)
            assert done.accesses(site, group) == sum(expected[kind, site] for kind in TIMED)


@pytest.mark.parametrize(("seed", "threads", "shared", "changes"), BIT_OF_ALL)
def test_counters_agree_with_each_other(seed: int, threads: int, shared: bool, changes: dict[str, Any]) -> None:
    done, _ = mixture(seed, threads, shared, **changes)
    named = {name: done.counter(name) for name in done.raw.event_names}
    assert named["L1-dcache-load-misses"] <= named["mem-loads"] + named["mem-stores"]
    assert named["node-loads"] + named["node-load-misses"] == named["LLC-load-misses"] <= named["LLC-loads"]
    assert named["dtlb_load_misses.walk_completed"] <= named["dTLB-load-misses"]
    assert named["branch-misses"] <= named["branch-instructions"]
    if not shared:
        assert named["snoop-hit"] == named["snoop-hitm"] == named["invalidations"] == 0
    # every line from memory was asked for by a look-up of an L3 that missed, or of a page walk
    assert done.raw.node_read_bytes.sum() == named["LLC-load-misses"] * 64


@pytest.mark.parametrize(("seed", "threads", "shared", "changes"), BIT_OF_ALL)
def test_stacks_sum_to_latencies(seed: int, threads: int, shared: bool, changes: dict[str, Any]) -> None:
    """Of every bucket of every class the sum over causes lies within count x the bucket's edges, and no cause is
    negative; the extremes lie in the outermost buckets that hold anything."""
    raw = mixture(seed, threads, shared, **changes)[0].raw
    for rows, low, high in (
        (raw.access_rows, raw.access_min_ps, raw.access_max_ps),
        (raw.op_rows, raw.op_min_ps, raw.op_max_ps),
    ):
        total, count = rows[:, :, :-1].sum(axis=2), rows[:, :, -1]
        edges = raw.bucket_edges_ps
        assert (rows >= 0).all()
        assert (total >= count * edges[:-1]).all() and (total <= count * edges[1:]).all()
        for k in range(len(rows)):
            held = np.flatnonzero(count[k])
            if len(held):
                assert edges[held[0]] <= low[k] < edges[held[0] + 1]
                assert edges[held[-1]] <= high[k] < edges[held[-1] + 1]
    assert raw.op_rows[:, :, -1].sum() > 0


def test_where_every_access_takes_the_same_the_mean_is_exact() -> None:
    """Bands of a bucket are one thing; here each site's latency is known, so mean = min = max = sum of its stack."""
    rows = [ld(64 * 5), ld(64 * 1000, dep0=1), store(64 * 5, dep0=1), ld(64 * 2000, dep0=2), ld(64 * 1000, dep0=1)]
    done = simulated(teaching(), laid(teaching(), 2 * MIB), program([ld(64 * 5)], rows))
    for site, ns in enumerate([1, 100, 1, 100, 1]):
        assert done.latency(site) == done.mean(site) == ns


@pytest.mark.parametrize("threads", [1, 4])
def test_in_a_closed_loop_operations_take_all_of_a_threads_time(threads: int) -> None:
    """Programs of whole operations: the latencies of a thread's operations add up to its time, to the picosecond."""
    rng = np.random.default_rng(threads)
    made = []
    for k in range(threads):
        rows: list[Row] = []
        for _ in range(60):
            body = [
                ld(k * 2 * MIB + int(a) * 64, dep0=int(rng.integers(0, 2)), insns=int(rng.integers(1, 9)))
                for a in rng.integers(0, 900, rng.integers(1, 9))
            ]
            rows += [*body, op_end()]
        made.append(program(rows, rows, operations=True))
    machine = teaching(memory__dram__trfc_ns=300.0)
    done = simulated(machine, laid(machine, *[2 * MIB] * threads, pages="4k"), *made)
    f, origin = done.run.m.front, done.run.m.control[st.K_ORIGIN]
    for k in range(threads):
        assert done.raw.op_rows[k, :, -1].sum() == 60
        assert done.raw.op_rows[k, :, :-1].sum() == f.ended[k] - origin


def chains_of_three(operations: int) -> list[Row]:
    """Operations of three cold loads, each needing the load before, also across operations."""
    lines = (np.arange(3 * operations) * 17 * 64).tolist()
    return [
        row
        for k in range(0, 3 * operations, 3)
        for row in (ld(lines[k], dep0=2), ld(lines[k + 1], dep0=1), ld(lines[k + 2], dep0=1), op_end())
    ]


def every(ns: int) -> Any:
    """Operations that arrive so often."""
    return lambda thread: lambda n: np.full(n, ns * 1000, np.int64)


def test_an_operation_of_dependent_loads_is_made_of_its_loads() -> None:
    machine = teaching()
    done = simulated(machine, laid(machine, 2 * MIB), program([ld(64)], chains_of_three(100), operations=True))
    assert done.raw.op_min_ps[0] == done.raw.op_max_ps[0] == 3 * LOCAL * 1000
    total, loads_ = done.raw.op_rows.sum(axis=(0, 1)), done.raw.access_rows.sum(axis=(0, 1))
    assert total[17] == 100 and loads_[15] == 300
    assert (total[:15] == loads_[:15]).all() and not total[15:17].any()


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
def test_operations_that_come_slower_than_they_are_served_take_their_service_time(scheduler: str) -> None:
    """One operation of three dependent cold loads every 2 us: latency = service time = the sum of its stack."""
    machine = teaching()
    done = simulated(
        machine,
        laid(machine, 2 * MIB),
        program([ld(64)], chains_of_three(30), operations=True),
        arrivals=every(2000),
        scheduler=scheduler,
    )
    raw = done.raw
    assert raw.op_rows[0, :, -1].sum() == 30
    assert raw.op_min_ps[0] == raw.op_max_ps[0] == 3 * LOCAL * 1000
    assert raw.op_rows[0, :, :-1].sum() == 30 * 3 * LOCAL * 1000
    assert (raw.op_rows[0, :, :15].sum(axis=0) == raw.access_rows[:, :, :15].sum(axis=(0, 1))).all()


@pytest.mark.parametrize("operations", [100, 9000])
def test_fixed_arrivals_set_the_pace_however_many_they_are(operations: int) -> None:
    """One operation every microsecond: the last of n comes at n us, and each takes its own time, waiting for none."""
    machine = teaching()
    rows = [x for _ in range(operations) for x in (ld(64), op_end())]
    done = simulated(machine, laid(machine, 2 * MIB), program([ld(64)], rows, operations=True), arrivals=every(1000))
    assert done.raw.op_rows[0, :, -1].sum() == operations
    assert done.time == pytest.approx(1000 * operations, abs=10)
    assert done.raw.op_max_ps[0] == 1000


def test_operations_that_come_faster_than_they_are_served_queue_up() -> None:
    """One every 200 ns of 300 ns each: the k-th has waited 100 ns more than the one before, which its stack shows as
    the service of those before it."""
    machine = teaching()
    whole = program([ld(64)], chains_of_three(30), operations=True)
    done = simulated(machine, laid(machine, 2 * MIB), whole, arrivals=every(200))
    assert done.raw.op_min_ps[0] == 300_000
    assert done.raw.op_max_ps[0] == 300_000 + 29 * 100_000
    assert done.raw.op_rows[0, :, :-1].sum() == sum(300_000 + k * 100_000 for k in range(30))


def test_bytes_over_links_and_channels_are_those_of_the_lines_that_crossed_them() -> None:
    """500 remote reads: as many requests out, as many lines back."""
    machine = teaching()
    reads = loads(np.arange(500) * 64 * 4, dependent=True)
    done = simulated(machine, laid(machine, 2 * MIB, nodes=(1,)), program([ld(64 * 30_000)], reads))
    out, back = (next(u for u in done.raw.links if u.source == f"socket{k}") for k in (0, 1))
    assert (out.bytes, back.bytes) == (500 * 8, 500 * 72)
    assert (out.busy_ps, back.busy_ps) == (500 * 1000, 500 * 9000)
    channels = [c for c in done.raw.channels if c.node == 1]
    assert sum(c.read_bytes for c in channels) == done.raw.node_read_bytes[0, 1] == 500 * 64
    assert sum(c.busy_ps for c in channels) == 500 * 10_000
    assert done.raw.link_series.sum() == 500 * 10_000
    assert done.raw.channel_series.sum() == 500 * 10_000


@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
def test_every_line_made_dirty_is_written_back_once_or_still_in_a_cache(inclusion: str) -> None:
    """3,000 lines stored to once each: those written back and those still dirty in a cache are all of them."""
    machine = teaching(l3__inclusion=inclusion)
    lines = np.random.default_rng(2).permutation(3000)
    r = Records(lines * 64, np.int64(STORE))
    done = simulated(machine, laid(machine, 2 * MIB), program(r), length=COLD)
    m, dirty = done.run.m, set()
    for c, unit in ((m.l1, "set_of"), (m.l2, "set_of"), (m.l3, "sliced_set_of")):
        dirty |= _dirty_lines(c, unit)
    written = int(done.raw.node_write_bytes.sum()) // 64
    assert written + len(dirty) == 3000
    assert written >= 3000 - 16 - 128 - 1024
    assert done.counter("mem-stores") == 3000
    assert done.raw.node_read_bytes.sum() >= 3000 * 64, "a line is read before it is written to"


def _dirty_lines(c: st.Cache, unit: str) -> set[int]:
    from numasim.engine import cache

    line_of = cache.line_of if unit == "set_of" else cache.sliced_line_of
    found = set()
    for i, entry in enumerate(c.tag.tolist()):
        if entry & cache.DIRTY and entry & cache.VALID:
            found.add(line_of(c, i // c.ways % c.sets, entry >> 3))
    return found


def test_lengths_are_kept() -> None:
    """So many accesses, or so many laps, and whatever warms up is not counted."""
    machine, space = teaching(), laid(teaching(), 2 * MIB)
    lap = loads(np.arange(100) * 64, dependent=True)
    for length, counted in ((Length(0, 250, 0), 250), (Length(2, 70, 0), 70), (Length(1, 0, 3), 300)):
        done = simulated(machine, space, program(lap), length=length)
        assert done.accesses() == done.counter("mem-loads") == counted
        assert done.raw.accesses_simulated == counted + 100 * length.warmup
