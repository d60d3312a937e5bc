"""Do look-ups touch what the real code would touch?

Each structure is built again, item by item, in the obvious way, and searched by the library's own algorithm; its loads
must be the trace's.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from numasim.traces.records import BRANCH, LOAD, MARK, STORE, Records
from numasim.workloads.keys import Distribution, Keys
from numasim.workloads.layouts import linked, objects
from unit.test_workloads import build, context, lap

SEED = context().seed
Look = tuple[list[int], list[bool]]  # addresses of a look-up's loads, outcomes of its branches


def asked(items: int, place: int = 0, number: int = 0) -> list[int]:
    """The items the first batch of a lap asks for, when nothing is written."""
    return Keys(items, Distribution()).draw(context().random(2, place, number), min(2048, max(1000, items))).tolist()


def look_ups(r: Records) -> list[Records]:
    """The records of each operation."""
    ends = np.flatnonzero((r.kind == MARK) & (r.address == 1))
    starts = [0, *(ends[:-1] + 1)]
    return [Records(*(c[a:b] for c in r)) for a, b in zip(starts, ends, strict=True)]


def check(r: Records, items: list[int], oracle: Callable[[int], Look]) -> None:
    """Loads and branches of every look-up are the oracle's."""
    for got, item in zip(look_ups(r), items, strict=False):
        addresses, outcomes = oracle(item)
        assert got.address[got.kind == LOAD].tolist() == addresses
        assert got.taken[got.kind == BRANCH].tolist() == outcomes


def tree_oracle(n: int, offsets: list[int], nodes: int, root: int) -> tuple[dict[int, int], Callable[[int], Look]]:
    """libstdc++'s find on a balanced tree. The node of rank k lies at nodes + offsets[k]; its key is 10 k."""
    memory: dict[int, int] = {}

    def plant(low: int, high: int) -> int:
        if low >= high:
            return 0
        middle = (low + high) // 2
        at = nodes + offsets[middle]
        memory[at + 0x20] = 10 * middle
        memory[at + 0x10], memory[at + 0x18] = plant(low, middle), plant(middle + 1, high)
        return at

    memory[root] = plant(0, n)

    def find(rank: int) -> Look:
        loads, outcomes = [root], []
        x, y = memory[root], 0
        while x:
            loads += [x + 0x10, x + 0x18, x + 0x20]
            left = memory[x + 0x20] >= 10 * rank
            y, x = (x, memory[x + 0x10]) if left else (y, memory[x + 0x18])
            outcomes += [left, (x != 0) != left]
        assert memory[y + 0x20] == 10 * rank
        return [*loads, y + 0x20, y + 0x28], outcomes

    return memory, find


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 1000])
@pytest.mark.parametrize("order", ["shuffled", "sequential"])
def test_a_tree_look_up_is_libstdcxx_find(n: int, order: str) -> None:
    program, space = build("tree", length=n, order=order)
    r = lap(program.threads[0])
    offsets = objects("auto", "std", 48, n, SEED).offsets[linked(order, n, 0, context().random(0))].tolist()
    root = space.named("map header")[0] + 0x10
    memory, find = tree_oracle(n, offsets, space.named("nodes")[0], root)
    items = asked(n)
    check(r, items, find)
    # where a load's address comes from: a child pointer read 1 to 7 records before, or the root's
    for op in look_ups(r)[:200]:
        for i in np.flatnonzero(op.kind == LOAD)[1:]:
            pointer = memory[int(op.address[i - op.dep0[i]])]
            assert op.dep0[i] and op.address[i] - pointer in (0x10, 0x18, 0x20, 0x28)
        for i in np.flatnonzero(op.kind == BRANCH)[::2]:
            assert op.address[i - op.dep0[i]] % 16 == op.address[i - 1] % 16 and op.dep0[i] == 1, "compares the key"


class Probed(list[int]):
    """A list that remembers where it was looked at."""

    def __init__(self, values: list[int]) -> None:
        super().__init__(values)
        self.places: list[int] = []

    def __getitem__(self, place: Any) -> Any:
        self.places.append(place)
        return super().__getitem__(place)


def test_a_tree_path_is_a_bisection() -> None:
    n, keys = 1000, list(range(1000))
    program, space = build("tree", length=n, order="sequential")
    r = lap(program.threads[0])
    offsets = objects("auto", "std", 48, n, SEED).offsets.tolist()
    rank_of = {space.named("nodes")[0] + offset + 0x20: k for k, offset in enumerate(offsets)}
    for op, item in zip(look_ups(r), asked(n), strict=False):
        seen = [rank_of[a] for a in op.address[op.kind == LOAD].tolist() if a in rank_of]
        probed = Probed(keys)
        assert bisect_left(probed, item) == item
        assert seen == [*probed.places, item]
        assert len(probed.places) in (9, 10)


def test_half_of_a_trees_comparisons_go_each_way() -> None:
    r = lap(build("tree", length=50_000)[0].threads[0])
    less = (r.kind == BRANCH) & (r.address == 0x1AF7)
    assert r.taken[less].mean() == pytest.approx(0.5, abs=0.03)


def test_a_list_of_maps_is_walked_in_order() -> None:
    maps, n = 20, 37
    program, space = build("listmap", maps=maps, length=n, lookups=50)
    r = lap(program.threads[0])
    order = linked("shuffled", maps, 1, context().random(0)).tolist()
    lists = (space.named("list nodes")[0] + objects("auto", "std", 24, maps, SEED).offsets).tolist()
    headers = (space.named("map headers")[0] + objects("auto", "std", 48, maps, SEED).offsets).tolist()
    trees = objects("auto", "std", 48, maps * n, SEED).offsets
    inside = linked("shuffled", n, 0, context().random(1))
    items = Keys(n, Distribution()).draw(context().random(2, 0, 0), 50).tolist()
    for k, op in enumerate(look_ups(r)):
        which = order[k % maps]
        offsets = trees[which * n : which * n + n][inside].tolist()
        _, find = tree_oracle(n, offsets, space.named("nodes")[0], headers[which] + 0x10)
        loads, _ = find(items[k])
        front = [space.named("list head")[0]] if k % maps == 0 else []
        expected = [*front, lists[which] + 0x10, *loads[:-1], lists[which], loads[-1]]
        assert op.address[op.kind == LOAD].tolist() == expected
    pointers = np.isin(r.address, [at + 0x10 for at in lists])
    for i in np.flatnonzero(pointers & (r.kind == LOAD)):
        assert r.address[i - r.dep0[i]] in [*lists, space.named("list head")[0]]


@pytest.mark.parametrize(("name", "layout"), [("map", "go-swiss"), ("map", "go-classic"), ("map", "std"), ("tree", "")])
def test_dependent_keys_come_from_the_answer_before(name: str, layout: str) -> None:
    """The first record that needs the key needs the load of the value of the look-up before, across laps too."""
    keys = {"length": 3000, "writes": 0.3, **({"layout": layout} if layout else {})}
    for dependent in (False, True):
        program, _ = build(name, dependent=dependent, **keys)
        laps = [lap(program.threads[0], number) for number in (6, 7)]
        r = Records(*(np.concatenate(pair) for pair in zip(*laps, strict=True)))
        value = np.flatnonzero((r.site == r.site[-1]) & (r.kind == LOAD))
        ends = np.flatnonzero(r.kind == MARK)
        starts = np.concatenate([[0], ends[:-1] + 1])
        crossing = 0
        for start, stop, answer in zip(starts[1:], ends[1:], value, strict=False):
            place = np.arange(start, stop)
            reach = [(place - d[start:stop])[d[start:stop] > place - start] for d in (r.dep0, r.dep1, r.dep2)]
            found = set(np.concatenate(reach).tolist())
            crossing += found == {answer}
            assert found <= ({answer} if dependent else set())
        assert crossing == (len(ends) - 1) * dependent


def test_writes_store_to_what_was_found_and_are_forwarded() -> None:
    for share in (0.25, 1.0):
        r = lap(build("tree", length=2, writes=share)[0].threads[0], 3)
        stores = np.flatnonzero(r.kind == STORE)
        ops = np.count_nonzero(r.kind == MARK)
        assert len(stores) / ops == pytest.approx(share, abs=0.05)
        assert (r.address[stores] == r.address[stores - 1]).all(), "right after the load of the value"
        assert (r.dep2[stores] == 1).all(), "what is stored is made from it"
        last: dict[int, int] = {}
        values = np.flatnonzero((r.site == r.site[stores[0] - 1]) & (r.kind == LOAD) | (r.kind == STORE))
        for i in values:
            if r.kind[i] == STORE:
                last[int(r.address[i])] = int(i)
            else:
                back = int(i) - last.get(int(r.address[i]), -1000)
                assert r.fwd[i] == (back if back <= 255 else 0)


def test_threads_ask_for_different_keys_in_a_shared_map() -> None:
    program, _ = build("map", 2, length=1000, shared="yes")
    one, two = (lap(thread) for thread in program.threads)
    assert not np.array_equal(one.address[: len(two.address)], two.address[: len(one.address)])


def test_zipf_look_ups_favour_one_item() -> None:
    r = lap(build("tree", length=1000, dist="zipf:1.2", lookups=20_000)[0].threads[0])
    value = (r.site == r.site[-1]) & (r.kind == LOAD)
    share = np.unique(r.address[value], return_counts=True)[1].max() / value.sum()
    assert share == pytest.approx(1 / (np.arange(1, 1001) ** -1.2).sum(), rel=0.05)
