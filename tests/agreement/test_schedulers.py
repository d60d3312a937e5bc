"""Do both schedulers give the same simulation: every completion, every counter, every cache, to the picosecond?

Machines, placements and programs are made at random by hypothesis, small so that everything happens: evictions, dirty
write-backs, page walks, joins, upgrades, contended locks, full queues, refresh, ticks.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from agreement.programs import mixed
from numasim.engine import state as st
from numasim.engine.feed import Length
from numasim.engine.packed import CHAIN
from numasim.engine.simulate import Run, Thread
from numasim.machine import load
from numasim.memory import AddressSpace, Placement

STRIDED = {"Window": 1 << st.WIN_SHIFT, "Slot": 1 << st.SLOT_SHIFT}

machines = some.fixed_dictionaries(
    {
        "core.frequency_ghz": some.sampled_from([1.0, 2.4, 3.1]),
        "core.issue_width": some.integers(1, 6),
        "core.rob_entries": some.sampled_from([8, 60, 352]),
        "core.fill_buffers": some.integers(1, 12) | some.sampled_from([24, 48]),
        "core.prefetch_buffers": some.integers(0, 16) | some.sampled_from([40, 64, 72]),
        "core.branch_predictor": some.sampled_from(["perfect", "bimodal", "gshare", "tournament", "tage"]),
        "l1d.policy": some.sampled_from(["lru", "tree-plru"]),
        "l2.policy": some.sampled_from(["lru", "random", "rrip"]),
        "l3.policy": some.sampled_from(["lru", "random", "rrip", "tree-plru"]),
        "l3.inclusion": some.sampled_from(["victim", "inclusive", "non-inclusive"]),
        "l3.neighbours_gbps": some.sampled_from([0.0, 0.0, 0.3, 5.0, 200.0]),
        "prefetch.streamer": some.booleans(),
        "prefetch.ip_stride": some.booleans(),
        "prefetch.next_line": some.booleans(),
        "prefetch.ip_stride_distance": some.sampled_from([1, 2, 8, 64]),
        "prefetch.ip_stride_pages": some.booleans(),
        "prefetch.region": some.booleans(),
        "prefetch.up_down": some.booleans(),
        "os.tick_hz": some.sampled_from([0.0, 50_000.0]),
        "topology.threads_per_core": some.sampled_from([1, 2]),
        "memory.dram.queue_entries": some.sampled_from([2, 48]),
        "memory.dram.write_high": some.sampled_from([4, 40]),
        "memory.dram.write_low": some.just(2),
        "memory.dram.channels": some.sampled_from([1, 2, 3]),
        "fabric.snoop_remote_ns": some.sampled_from([0.0, 17.0]),
        "fabric.directory_ns": some.sampled_from([0.0, 31.0]),
        "fabric.tracked": some.sampled_from(["domain", "socket"]),
        "fabric.remote_trackers": some.sampled_from([0, 0, 1, 3, 9]),
        "memory.dram.rank_switch_ns": some.sampled_from([0.0, 2.5]),
    }
)
walks = some.just({"tlb.walk": "native"}) | some.fixed_dictionaries(
    {
        "tlb.walk": some.just("nested"),
        "tlb.guest_run": some.sampled_from([1, 1, 2, 8, 512]),
        "tlb.host_run": some.sampled_from([1, 512]),
    }
)


def words(m: Any, path: str = "") -> Any:
    """Name and contents of every array of the state, of views only what is theirs."""
    step = STRIDED.get(type(m).__name__, 1)
    for name, value in zip(m._fields, m, strict=True):
        if isinstance(value, tuple):
            yield from words(value, f"{path}{name}.")
        elif isinstance(value, np.ndarray) and f"{path}{name}" not in ("woken", "when"):
            yield f"{path}{name}", value if name in ("next", "stack") else value[::step]


def own_words(m: st.Machine) -> st.Array:
    """The slots' stacks without the other fields that lie between them."""
    whole = np.append(np.asarray(m.slot.stack), np.zeros(16, np.int64))
    return np.asarray(whole.reshape(-1, 1 << st.SLOT_SHIFT)[:, :16])


def simulated(scheduler: str, changes: dict[str, Any], seed: int, threads: int, shared: bool, **kind: Any) -> Run:
    machine = load("teaching-2s", set=changes)
    rng = np.random.default_rng(seed)
    space = AddressSpace(
        machine, seed, pages=str(rng.choice(["4k", "2m", "thp"])), placement=Placement("interleave", (0, 1)),
        page_tables=int(rng.integers(0, 2)),
    )  # fmt: skip
    size = int(rng.choice([8192, 1 << 18]))
    regions = [space.region("data", size) for _ in range(1 if shared else threads)]
    cpus = rng.permutation(machine.topology.cpus)[:threads].tolist()
    arrivals = kind.pop("arrivals", False)
    synchronised, turns = kind.pop("synchronised"), kind.pop("turns", False)
    n = int(rng.integers(60, 700))
    parts = []
    for k in range(threads):
        kind["turns"] = (k, threads) if turns else None
        program = mixed(regions[0 if shared else k].base, size, seed + k, n, synchronised, **kind)
        stream = np.random.default_rng(seed + k)
        gaps = (lambda m, stream=stream: stream.integers(1, 900_000, m)) if arrivals else None
        parts.append(Thread(cpus[k], k % 2, program, Length(1, 0, 2), 0, gaps))
    run = Run(machine, space.finish(), parts, ["even", "odd"], timeline=True)
    assert run.compiled() if scheduler == "compiled" else run.reference()
    return run


def compare(one: Run, other: Run) -> None:
    a, b = dict(words(one.m)), dict(words(other.m))
    a["slot.stack"], b["slot.stack"] = own_words(one.m), own_words(other.m)
    different = [name for name in a if not np.array_equal(a[name], b[name])]
    assert not different
    x, y = one.result(1.0), other.result(1.0)
    assert np.array_equal(x.access_rows, y.access_rows)
    assert np.array_equal(x.counters, y.counters)
    rows = x.access_rows
    total, counts, edges = rows[:, :, :15].sum(axis=2), rows[:, :, 15], x.bucket_edges_ps
    assert (rows >= 0).all()
    assert (total >= counts * edges[:-1]).all() and (total <= counts * edges[1:]).all()  # sums are latencies


@settings(max_examples=25, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    changes=machines, walk=walks, seed=some.integers(0, 10_000), threads=some.integers(1, 7), shared=some.booleans(),
    synchronised=some.booleans(), operations=some.booleans(), chains=some.booleans(), turns=some.booleans(),
)  # fmt: skip
def test_random_machines_and_programs(
    changes: dict[str, Any], walk: dict[str, Any], seed: int, threads: int, shared: bool, synchronised: bool,
    operations: bool, chains: bool, turns: bool,
) -> None:  # fmt: skip
    kind = {"synchronised": synchronised, "operations": operations, "chains": chains, "turns": turns}
    both = [simulated(scheduler, changes | walk, seed, threads, shared, **kind) for scheduler in ("compiled", "simpy")]
    compare(*both)


@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
@pytest.mark.parametrize(("seed", "gbps"), [(0, 20.0), (1, 200.0), (4, 1000.0)])
def test_neighbours_push_out_dirty_lines_of_many_threads(seed: int, gbps: float, inclusion: str) -> None:
    """So many lines of others that most of what is written to leaves by them: each event may wake several channels."""
    kind = {"synchronised": True, "operations": True, "chains": False}
    changes = {
        "l3.neighbours_gbps": gbps, "l3.inclusion": inclusion, "memory.dram.write_high": 4,
        "memory.dram.write_low": 2, "memory.dram.channels": 3, "prefetch.streamer": True, "core.prefetch_buffers": 8,
    }  # fmt: skip
    both = [simulated(scheduler, changes, seed, 5, seed > 0, **kind) for scheduler in ("compiled", "simpy")]
    compare(*both)
    assert np.asarray(both[0].m.core.aged).any() and both[0].result(1.0).node_write_bytes.sum() > 0


@pytest.mark.parametrize(("fills", "ahead"), [(24, 64), (48, 72), (12, 17)])
def test_many_misses_under_way(fills: int, ahead: int) -> None:
    """More than the few slots that are looked through in one go, all of them taken."""
    kind = {"synchronised": False, "operations": False, "chains": False}
    changes = {
        "core.fill_buffers": fills, "core.prefetch_buffers": ahead, "core.rob_entries": 4096, "core.issue_width": 6,
        "prefetch.streamer": True, "prefetch.streamer_degree": 8, "prefetch.streamer_distance": 64,
        "prefetch.next_line": True, "topology.threads_per_core": 2,
    }  # fmt: skip
    both = [simulated(scheduler, changes, fills, 4, True, **kind) for scheduler in ("compiled", "simpy")]
    compare(*both)
    used = np.asarray(both[0].m.slot.t0)[:: STRIDED["Slot"]].reshape(both[0].m.cores, -1) > 0
    assert used[:, st.FEW :].any(), "so few are under way that it is none of what this is about"


@pytest.mark.parametrize("seed", range(3))
def test_operations_that_arrive(seed: int) -> None:
    kind = {"synchronised": False, "operations": True, "chains": False, "arrivals": True}
    both = [simulated(scheduler, {}, seed, 3, False, **kind) for scheduler in ("compiled", "simpy")]
    compare(*both)
    rows = both[0].result(1.0).op_rows
    assert rows[:, :, 17].sum() > 0


def test_plain_chains_of_threads_that_share_cores() -> None:
    """The front end waits at a plain chain, and L1 hits of one are taken in one go. Lines come and go by the other
    thread of the core, and by other cores."""
    kind = {"synchronised": False, "operations": False, "chains": True}
    flagged = 0
    for seed in (2, 5, 6, 8, 15, 19, 24):  # those with long ones
        changes = {"topology.threads_per_core": 2, "core.issue_width": [1, 5][seed % 2]}
        both = [simulated(scheduler, changes, seed, 4, seed % 3 > 0, **kind) for scheduler in ("compiled", "simpy")]
        compare(*both)
        flagged += int((np.asarray(both[0].m.word1) >> CHAIN & 1).sum())
    assert flagged > 1000, "so few links are none of what this is about"
