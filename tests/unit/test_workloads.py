"""Is what workloads yield a valid trace, the same whenever it is asked for, in memory that does not grow?"""

import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from numasim.errors import UserError
from numasim.machine import load
from numasim.memory.space import AddressSpace
from numasim.traces.records import ATOMIC, BARRIER, BRANCH, CHUNK, COMPUTE, LOAD, MARK, STORE, Records
from numasim.workloads import Context, Program, ThreadProgram, describe, make


class StandIn:
    """An address space without pages: regions one after the other, at multiples of 2 MiB."""

    class Region(NamedTuple):
        name: str
        base: int
        size_bytes: int
        touch_node: int | None

    def __init__(self) -> None:
        self.regions: list[StandIn.Region] = []
        self.end = 0

    def region(self, name: str, size_bytes: int, *, touch_node: int | None = None) -> Region:
        self.regions.append(self.Region(name, self.end, size_bytes, touch_node))
        self.end += -(-size_bytes >> 21) << 21
        self.end = max(self.end, self.regions[-1].base + (1 << 21))
        return self.regions[-1]

    def named(self, name: str) -> list[int]:
        return [region.base for region in self.regions if region.name == name]


class Cache(NamedTuple):
    size_bytes: int


class Machine(NamedTuple):
    l2: Cache = Cache(1 << 18)
    l3: Cache = Cache(1 << 20)


def context(threads: int = 1, seed: int = 1, nodes: list[int] | None = None) -> Context:
    return Context(Machine(), StandIn(), np.random.default_rng(seed), list(range(threads)), nodes or [0] * threads)


def build(name: str, threads: int = 0, seed: int = 1, **keys: object) -> tuple[Program, StandIn]:
    workload = make(name, keys)
    ctx = context(threads or workload.threads(), seed)
    assert isinstance(ctx.space, StandIn)
    return workload.build(ctx), ctx.space


def lap(program: ThreadProgram, number: int = 0) -> Records:
    """A whole lap, every column an array."""
    chunks = list(program.lap(number))
    assert all(0 < len(chunk.address) <= CHUNK for chunk in chunks)
    columns = [
        np.concatenate([np.broadcast_to(np.asarray(chunk[k]), chunk.address.shape) for chunk in chunks])
        for k in range(len(Records._fields))
    ]
    return Records(*(column.astype(np.int64) for column in columns))


SMALL: list[tuple[str, dict[str, Any]]] = [
    ("chase", {"size": "64k"}),
    ("chase", {"size": "64k", "within": "page"}),
    ("chase", {"size": "64k", "order": "stride", "stride": 512}),
    ("list", {"length": 3000}),
    ("list", {"length": 30_000, "order": "shuffled", "boxed": "no"}),
    ("list", {"length": 1000, "layout": "std", "order": "churned", "operation": "next"}),
    ("list", {"length": 1000, "layout": "forward", "allocator": "fragmented"}),
    ("list", {"length": 1000, "layout": "packed", "value": 4}),
    ("list", {"length": 1}),
    ("slice", {"length": 1000, "value": 48}),
    ("slice", {"length": 1000, "of": "pointers", "order": "shuffled"}),
    ("map", {"length": 5000}),
    ("map", {"length": 5}),
    ("map", {"length": 700, "dependent": True, "writes": 0.5}),
    ("map", {"length": 5000, "layout": "go-classic", "pad": 64}),
    ("map", {"length": 5, "layout": "go-classic"}),
    ("map", {"length": 5000, "layout": "std", "dist": "zipf:0.99", "writes": "0.2", "dependent": "yes"}),
    ("tree", {"length": 5000}),
    ("tree", {"length": 1, "dependent": True}),
    ("tree", {"length": 600, "writes": 1, "order": "sequential", "value": 24}),
    ("listmap", {"maps": 50, "length": 60}),
    ("listmap", {"maps": 7, "length": 3, "dependent": True, "lookups": 100, "allocator": "onnode"}),
    ("stream", {"size": "1MiB"}),
    ("stream", {"size": "1MiB", "streams": 4, "ratio": "2:1", "access": 8}),
    ("loaded", {"size": "64k", "buffer": "64k", "delay": 40, "ratio": "3:1"}),
    ("pingpong", {"handovers": 100}),
    ("lock", {"turns": 500, "cs": 5}),
    ("lock", {"turns": 500, "cs": 0, "think": 0, "locks": 3}),
    ("c2c", {"size": "16k"}),
    ("c2c", {"size": "16k", "state": "hit", "home": "reader"}),
]


BY_NAME_AND_KEYS = [
    pytest.param(name, keys, shared, id="-".join([name, *map(str, keys.values()), *["shared"] * shared]))
    for name, keys in SMALL
    for shared in (False, True)
    if not shared or "shared" in {key.name for key in describe(name).keys}
]


@pytest.mark.parametrize(("name", "keys", "shared"), BY_NAME_AND_KEYS)
def test_every_workload_yields_valid_records(name: str, keys: dict[str, Any], shared: bool) -> None:
    program, space = build(name, 2, **keys, **({"shared": True} if shared else {}))
    assert len(program.threads) == 2
    assert len(program.sites) <= 255 and len(set(program.sites)) == len(program.sites)
    for thread in program.threads:
        for number in (0, 1):
            r = lap(thread, number)
            assert r.kind.min() >= 0 and r.kind.max() <= COMPUTE
            assert r.insns.min() >= 1 and r.insns.max() <= 255
            assert r.site.min() >= 0 and r.site.max() < len(program.sites)
            assert set(np.unique(r.taken)) <= {0, 1}
            assert (r.kind[r.taken == 1] == BRANCH).all()
            for dep, lag in ((r.dep0, r.lag0), (r.dep1, r.lag1), (r.dep2, r.lag2)):
                assert dep.min() >= 0 and dep.max() <= 255 and lag.min() >= 0 and lag.max() <= 127
                back = np.flatnonzero(dep)
                inside = back[dep[back] <= back]
                assert np.isin(r.kind[inside - dep[inside]], (LOAD, ATOMIC, COMPUTE)).all()
            stores = np.flatnonzero(r.fwd)
            assert (r.kind[stores - r.fwd[stores]] == STORE).all()
            access = np.isin(r.kind, (LOAD, STORE, ATOMIC))
            for base, size in [(x.base, x.size_bytes) for x in space.regions]:
                inside = access & (r.address >= base) & (r.address + r.size <= base + size)
                access &= ~inside
            assert not access.any(), "every access lies in a region"
            ends = (r.kind == MARK) & (r.address == 1)
            assert ends.any() == thread.operations
            assert set(r.address[r.kind == BARRIER]) <= set(thread.barriers)
            accesses = np.count_nonzero((r.kind <= ATOMIC) | np.isin(r.kind, (6, 7)))
            assert accesses == pytest.approx(thread.lap_accesses, rel=0.0 if thread.same else 0.05)


@pytest.mark.parametrize(("name", "keys"), SMALL[:3] + SMALL[11:12] + SMALL[17:18] + SMALL[26:27])
def test_a_lap_is_the_same_whenever_it_is_asked_for(name: str, keys: dict[str, Any]) -> None:
    one, two = build(name, 2, **keys)[0].threads[1], build(name, 2, **keys)[0].threads[1]
    list(one.lap(5))
    for column, again in zip(lap(one, 3), lap(two, 3), strict=True):
        assert np.array_equal(column, again)
    other = lap(build(name, 2, seed=2, **keys)[0].threads[1], 3)
    assert name == "chase" or not np.array_equal(lap(one, 3).address, other.address)
    assert np.array_equal(lap(one, 3).address, lap(one, 4).address) == one.same


def test_memory_does_not_grow_with_laps() -> None:
    program = build("map", length=2000, writes=0.1)[0].threads[0]

    def peak(laps: int) -> int:
        tracemalloc.start()
        for number in range(laps):
            for _ in program.lap(number):
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    first = peak(3)
    assert peak(30) < 1.1 * first


def test_threads_have_their_own_or_share() -> None:
    for shared, regions in ((False, 3), (True, 1)):
        _, space = build("tree", 3, length=10, shared=shared)
        assert len(space.named("nodes")) == regions


def test_first_touch_is_on_the_node_of_the_thread_that_builds() -> None:
    for name, keys, nodes in (("chase", {}, [3, 1]), ("chase", {"shared": "yes"}, [3])):
        ctx = context(2, nodes=[3, 1])
        make(name, {"size": "64k", **keys}).build(ctx)
        assert isinstance(ctx.space, StandIn)
        assert [region.touch_node for region in ctx.space.regions] == nodes


def test_a_recorded_trace_is_a_workload(tmp_path: Path) -> None:
    from numasim.traces.parquet import Columns, Meta, Range, Writer

    path = tmp_path / "t.parquet"
    n = 100
    with Writer(path) as writer:
        columns = {name: np.zeros(n, np.int64) for name in Columns._fields}
        columns |= {"address": 0x7000_0000 + 64 * np.arange(n), "size": np.full(n, 8), "insns": np.ones(n, np.int64)}
        writer.write(Columns(**columns))
        heap = Range("heap", 0x7000_0000, 0x7000_0000 + 64 * n)
        writer.commit(Meta(sites=["main"], threads=[0], regions=[heap]))
    for rule, note in (("", "dependence=chain"), ("none", "dependence=none"), ("window:4", "dependence=window:4")):
        program, space = build("trace", file=path, dependence=rule)
        assert program.notes == (note,) and program.sites == ["main"]
        r = lap(program.threads[0])
        assert len(r.address) == n and (np.diff(r.address) == 64).all() and bool(r.dep0.any()) == (rule != "none")
        assert {region.touch_node for region in space.regions} == {0}
    with pytest.raises(UserError, match="key threads: 2 threads"):
        build("trace", 2, file=path)
    with pytest.raises(UserError, match="nowhere"):
        build("trace", file=tmp_path / "nowhere.parquet")


@pytest.mark.parametrize("name", sorted({name for name, _ in SMALL}))
def test_the_real_address_space_maps_every_access(name: str) -> None:
    """On a shipped machine, as the runner does it."""
    machine = load("teaching-2s")
    space = AddressSpace(machine, 1)
    workload = make(name, next(keys for other, keys in SMALL if other == name))
    ctx = Context(machine, space, np.random.default_rng(1), [0, 1], [0, 1])
    program = workload.build(ctx)
    pages = space.finish()
    for thread in program.threads:
        r = lap(thread)
        assert (pages.frame[r.address[np.isin(r.kind, (LOAD, STORE, ATOMIC))] >> 12] >= 0).all()
