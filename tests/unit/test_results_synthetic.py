"""Raw results made up sample by sample, so that other tests know every latency behind them; and tests of this maker."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.engine.output import OPERATION_CAUSES, ChannelUse, LinkUse, RawResult
from numasim.results.result import Result

SITES = [["list.go Next: load e.next", "sum += e.Value"], ["read stream"]]
REGIONS = ["elements", "buffer [big]"]
EVENTS = ("instructions", "L1-dcache-loads", "L1-dcache-load-misses", "dTLB-load-misses", "never")
PROVENANCE: dict[str, Any] = {
    "version": "0.1",
    "configuration": {"machine": {"name": "teaching-2s"}},
    "seed": 1,
    "host": {"system": "test"},
    "title": "list length=1000000 order=shuffled on icx-8360y-2s, cpus of node 0, memory of node 1",
}

Stacks = npt.NDArray[np.int64]  # [samples, causes] picoseconds


class Samples(NamedTuple):
    """Stacks of single accesses by class, of single operations by group."""

    classes: list[tuple[int, int, int]]
    access: list[Stacks]
    operation: list[Stacks]


def bucket_edges_ps() -> npt.NDArray[np.float64]:
    """64 buckets an octave from 1024 ps, as the engine's; below that, one."""
    octaves = 1024.0 * 2.0 ** np.arange(30)
    inner = (octaves[:, None] * (1 + np.arange(64) / 64)).ravel()
    return np.array([0.0, *inner, octaves[-1] * 2])


def rows_of(stacks: Stacks, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """[buckets, causes + 1], sample by sample."""
    rows = np.zeros((len(edges) - 1, stacks.shape[1] + 1), dtype=np.int64)
    for stack in stacks:
        bucket = int(np.searchsorted(edges, stack.sum(), side="right")) - 1
        rows[bucket, :-1] += stack
        rows[bucket, -1] += 1
    return rows


def random_stacks(rng: np.random.Generator, count: int, causes: int = 15, typical_ps: int = 9000) -> Stacks:
    """Stacks with spikes (cache hits), a broad middle, and a long tail in one cause."""
    stacks = np.zeros((count, causes), dtype=np.int64)
    stacks[:, 0] = 1613
    miss = rng.random(count) < 0.7
    stacks[miss, 2] = 5500
    stacks[miss, 10] = rng.gamma(3.0, typical_ps, miss.sum()).astype(np.int64)
    slow = rng.random(count) < 0.01
    stacks[slow, 7] = (rng.pareto(1.5, slow.sum()) * 100_000).astype(np.int64).clip(0, 10**10)
    if causes == len(OPERATION_CAUSES):
        stacks[:, 16] = 4000
    return stacks


def samples(seed: int = 0, count: int = 3000, groups: int = 2) -> Samples:
    """A chaser with two sites in two regions, and generators with operations of their own."""
    rng = np.random.default_rng(seed)
    classes = [(0, 0, 0), (0, 1, 1), (1, 0, 1)][: groups + 1]
    access = [random_stacks(rng, count, typical_ps=9000 * (1 + i)) for i in range(len(classes))]
    operations = [random_stacks(rng, count // 10, len(OPERATION_CAUSES), 90_000) for _ in range(groups)]
    operations[0] = operations[0][:0]  # the chaser has none
    return Samples(classes, access, operations)


def raw_of(made: Samples, groups: Sequence[str] = ("chaser", "generators")) -> RawResult:
    """The raw result of those samples, with traffic round enough to check by hand."""
    edges = bucket_edges_ps()
    totals = [stacks.sum(axis=1) for stacks in made.access]
    op_totals = [stacks.sum(axis=1) for stacks in made.operation]
    n, bins = len(groups), 256
    link_series = np.zeros((2, bins), dtype=np.int64)
    link_series[0, :100] = 1_500_000
    return RawResult(
        groups=list(groups),
        classes=list(made.classes),
        bucket_edges_ps=edges,
        access_rows=np.stack([rows_of(stacks, edges) for stacks in made.access]),
        access_min_ps=np.array([t.min(initial=2**62) for t in totals]),
        access_max_ps=np.array([t.max(initial=0) for t in totals]),
        op_rows=np.stack([rows_of(stacks, edges) for stacks in made.operation]),
        op_min_ps=np.array([t.min(initial=2**62) for t in op_totals]),
        op_max_ps=np.array([t.max(initial=0) for t in op_totals]),
        event_names=EVENTS,
        counters=np.array([[50 + i, 20 + i, 10, i, 0] for i in range(len(made.classes))], dtype=np.int64),
        # 100 us; 1 MB over 3 x 20 GB/s: 10 GB/s, a sixth; its three links are busy 150 us of 300
        links=[
            LinkUse("socket0", "socket1", "upi", 1_000_000, 150_000_000, 60.0),
            LinkUse("socket1", "socket0", "upi", 0, 0, 60.0),
        ],
        link_series=link_series,
        channels=[ChannelUse(1, 0, 3_000_000, 1_000_000, 25_000_000), ChannelUse(1, 1, 1_000_000, 0, 75_000_000)],
        channel_series=np.full((2, bins), 500_000, dtype=np.int64),
        series_bin_ps=1_000_000,
        node_read_bytes=np.full((n, 2), 64_000, dtype=np.int64),
        node_write_bytes=np.zeros((n, 2), dtype=np.int64),
        group_read_bytes=np.full(n, 4_000_000, dtype=np.int64),
        group_write_bytes=np.full(n, 1_000_000, dtype=np.int64),
        group_time_ps=np.full(n, 50_000_000, dtype=np.int64),
        simulated_ps=100_000_000,
        accesses_simulated=18_000,
        cpu_s=0.5,
    )


def result_of(made: Samples, groups: Sequence[str] = ("chaser", "generators")) -> Result:
    """The result of those samples, named."""
    return Result(raw_of(made, groups), SITES, REGIONS, PROVENANCE)


def test_made_buckets_are_narrow_and_hold_every_sample() -> None:
    edges = bucket_edges_ps()
    assert np.all(np.diff(edges) > 0)
    assert (edges[2:] / edges[1:-1]).max() <= 1 + 1 / 64
    made = samples()
    rows = raw_of(made).access_rows
    assert rows[:, :, -1].sum() == sum(map(len, made.access))
    assert rows[:, :, :-1].sum() == sum(int(s.sum()) for s in made.access)
