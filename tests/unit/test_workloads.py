"""Are workloads found, made from keys, described and refused in one line; and is what they yield a valid trace?"""

import subprocess
import sys
import tracemalloc
from typing import Any, NamedTuple

import numpy as np
import pytest

from numasim.errors import UserError
from numasim.traces.records import ATOMIC, BARRIER, BRANCH, CHUNK, LOAD, MARK, STORE, Records
from numasim.workloads import Context, Program, ThreadProgram, describe, make, names


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


@pytest.mark.parametrize(
    ("name", "keys"), SMALL, ids=lambda x: x if isinstance(x, str) else "-".join(map(str, x.values()))
)
@pytest.mark.parametrize("shared", [False, True])
def test_every_workload_yields_valid_records(name: str, keys: dict[str, Any], shared: bool) -> None:
    if shared and "shared" not in {key.name for key in describe(name).keys}:
        pytest.skip("shared or not by nature")
    program, space = build(name, 2, **keys, **({"shared": True} if shared else {}))
    assert len(program.threads) == 2
    assert len(program.sites) <= 255 and len(set(program.sites)) == len(program.sites)
    for thread in program.threads:
        for number in (0, 1):
            r = lap(thread, number)
            assert r.kind.min() >= 0 and r.kind.max() <= 9
            assert r.insns.min() >= 1 and r.insns.max() <= 255
            assert r.site.min() >= 0 and r.site.max() < len(program.sites)
            assert set(np.unique(r.taken)) <= {0, 1}
            assert (r.kind[r.taken == 1] == BRANCH).all()
            for dep, lag in ((r.dep0, r.lag0), (r.dep1, r.lag1), (r.dep2, r.lag2)):
                assert dep.min() >= 0 and dep.max() <= 255 and lag.min() >= 0 and lag.max() <= 127
                back = np.flatnonzero(dep)
                inside = back[dep[back] <= back]
                assert np.isin(r.kind[inside - dep[inside]], (LOAD, ATOMIC)).all()
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


def test_all_are_found_and_described() -> None:
    expected = {
        "chase",
        "list",
        "slice",
        "map",
        "tree",
        "listmap",
        "stream",
        "c2c",
        "pingpong",
        "lock",
        "loaded",
        "trace",
    }
    assert expected <= set(names())
    for name in names():
        description = describe(name)
        assert description.doc.endswith(".") and "\n" not in description.doc
        for key in description.keys:
            assert key.doc and key.type
            assert make(name, {key.name: key.default}) is not None
    (size,) = [key for key in describe("chase").keys if key.name == "size"]
    assert (size.type, size.unit, size.default) == ("size", "bytes", "64MiB")


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("chas", {}, "workload: unknown workload 'chas' (expected did you mean chase?"),
        ("list", {"lenght": 5}, "workload list: unknown key 'lenght' (expected did you mean length?"),
        ("list", {"length": 0}, "workload list, key length: 0 is out of range (expected 1 to 67,108,864)"),
        ("list", {"length": "1e12"}, "workload list, key length: 1,000,000,000,000 is out of range"),
        ("list", {"length": "many"}, "workload list, key length: 'many' is not a number"),
        ("list", {"length": "1.5"}, "workload list, key length: '1.5' is not a whole number"),
        ("list", {"length": "-3"}, "workload list, key length: '-3' is not a number"),
        ("list", {"layout": "rust"}, "workload list, key layout: 'rust' is unknown (expected go or std"),
        ("list", {"boxed": "maybe"}, "workload list, key boxed: 'maybe' is neither (expected yes or no)"),
        ("list", {"churn": "nan"}, "workload list, key churn: nan is out of range"),
        ("chase", {"size": "100"}, "workload chase, key size: 100 bytes (expected a multiple of 64)"),
        ("chase", {"size": "1000TiB"}, "workload chase, key size: 1,099,511,627,776,000 bytes is out of range"),
        (
            "tree",
            {"dist": "zipf"},
            "workload tree, key dist: 'zipf' is no key distribution (expected uniform, or zipf:S",
        ),
        ("tree", {"dist": "zipf:-1"}, "workload tree, key dist: 'zipf:-1' is no key distribution"),
        ("tree", {"writes": "2"}, "workload tree, key writes: '2' is out of range (expected 0 to 1)"),
        ("stream", {"ratio": "1:2"}, "workload stream, key ratio: '1:2' is impossible (expected reads >= writes"),
        ("loaded", {"delay": "-1"}, "workload loaded, key delay: '-1' is not a number"),
    ],
)
def test_a_bad_key_is_one_line(name: str, keys: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make(name, keys)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "threads", "keys", "message"),
    [
        ("chase", 1, {"size": "64k", "order": "stride", "stride": 640}, "workload chase, key stride"),
        ("chase", 1, {"size": 640, "within": "page"}, "workload chase, key size"),
        ("list", 1, {"layout": "packed", "allocator": "malloc"}, "workload list, key allocator"),
        ("map", 1, {"value": 136}, "workload map, key value"),
        ("map", 1, {"value": 12}, "workload map, key value"),
        ("listmap", 1, {"maps": "1e6", "length": "1e6"}, "workload listmap, key maps"),
        ("stream", 1, {"access": 24}, "workload stream, key access"),
        ("stream", 1, {"writes": 0.5, "ratio": "2:1"}, "workload stream, key writes"),
        ("stream", 1, {"size": 64, "streams": 2}, "workload stream, key streams"),
        ("pingpong", 3, {}, "workload pingpong, key threads"),
        ("c2c", 1, {}, "workload c2c, key threads"),
        ("trace", 1, {}, "workload trace, key file"),
    ],
)
def test_keys_that_contradict_are_one_line(name: str, threads: int, keys: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        make(name, keys).build(context(threads))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_the_package_is_light() -> None:
    code = "import sys, numasim.workloads as w; w.names(); print([m for m in sys.modules if m in %r])"
    heavy = ("numba", "pyarrow", "networkx", "scipy", "matplotlib", "rich", "simpy")
    out = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
