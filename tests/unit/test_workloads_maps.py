"""Do look-ups in hash tables touch what the real code would touch?

Each table is built again, item by item, in the obvious way, and searched by the library's own algorithm; its loads must
be the trace's.
"""

from collections.abc import Callable

import numpy as np
import pytest

from numasim.traces.records import LOAD
from numasim.workloads.go_classic import Classic
from numasim.workloads.go_swiss import Swiss, _split
from numasim.workloads.hashing import hashed, ranks
from numasim.workloads.layouts import objects
from numasim.workloads.std_unordered import Unordered
from unit.test_workloads import StandIn, build, lap
from unit.test_workloads_lookups import SEED, Look, asked, check, look_ups


def classic_oracle(n: int, value: int, pad: int, space: StandIn) -> tuple[dict[int, int], Callable[[int], Look], int]:
    """runtime.mapaccess1_fast64 on buckets filled one by one. Returns bytes of the bucket too."""
    bits = 0
    while n > 8 and n > 6.5 * 2**bits:
        bits += 1
    size = -(-(8 + 64 + 8 * value + 8) // pad) * pad
    base, (goroutine,), (header,) = space.named("buckets")[0], space.named("goroutine"), space.named("map header")
    spare = 0 if bits < 4 else 2 ** (bits - 4)
    total = 2**bits + spare
    if spare:
        while (total + 1) * size <= -(-(2**bits + spare) * size // 8192) * 8192:
            total += 1
    later = iter(objects("auto", "go", size, n, SEED).offsets.tolist())
    made, memory = 0, {goroutine + 0x10: 0, header + 0x10: base}
    memory |= dict.fromkeys((header, header + 8, header + 9, header + 0x18), 0)
    slots: dict[int, list[int]] = {}
    hashes = hashed(np.arange(n), SEED).tolist()
    for item in range(n):
        at = base + (hashes[item] % 2**bits) * size
        while len(slots.setdefault(at, [])) == 8:
            if at + size - 8 not in memory:
                inside = 2**bits + made < total
                memory[at + size - 8] = (
                    base + (2**bits + made) * size if inside else space.named("overflow buckets")[0] + next(later)
                )
                made += 1
            at = memory[at + size - 8]
        k = len(slots[at])
        slots[at].append(item)
        memory |= {at + 8 + 8 * k: item, at + k: 100, at + 72 + k * value: 0}

    def find(item: int) -> Look:
        loads, outcomes = [goroutine + 0x10, header, header + 8, header + 9], []
        loads += [*([header + 0x18] if bits else []), header + 0x10]
        at = memory[header + 0x10] + (hashes[item] % 2**bits) * size
        while True:
            for k in range(8):
                loads.append(at + 8 + 8 * k)
                outcomes.append(memory[at + 8 + 8 * k] != item)
                if not outcomes[-1]:
                    return [*loads, at + k, at + 72 + k * value], [*outcomes, False]
            loads.append(at + size - 8)
            at = memory[at + size - 8]

    return memory, find, size


@pytest.mark.parametrize(
    ("n", "value", "pad", "size"),
    [
        (5, 8, 8, 144),
        (8, 8, 8, 144),
        (9, 8, 8, 144),
        (104, 8, 8, 144),
        (1000, 8, 64, 192),
        (6600, 40, 8, 400),
        (13312, 8, 8, 144),
    ],
)
def test_a_classic_go_map_look_up_is_mapaccess1_fast64(n: int, value: int, pad: int, size: int) -> None:
    program, space = build("map", layout="go-classic", length=n, value=value, pad=pad)
    r = lap(program.threads[0])
    memory, find, bucket = classic_oracle(n, value, pad, space)
    assert bucket == size
    check(r, asked(n), find)
    header = space.named("map header")[0]
    for op in look_ups(r)[:300]:
        for i in np.flatnonzero(op.kind == LOAD):
            if op.address[i] < space.named("buckets")[0]:
                assert not op.dep0[i], "loads of the header need nothing"
            else:  # the table's base and the hash; or the overflow pointer
                source = int(op.address[i - op.dep0[i]])
                assert op.dep0[i]
                assert source == header + 0x10 or 0 <= op.address[i] - memory[source] < bucket


def test_go_map_buckets_hold_13_of_16_at_most() -> None:
    for n, base in ((8, 1), (9, 2), (13, 2), (14, 4), (26, 4), (27, 8), (6_500_000 // 1000 * 1024 // 1000, 1024)):
        assert Classic(n, 8, 8, 1).base == base


def swiss_oracle(n: int, value: int, table: Swiss, space: StandIn) -> Callable[[int], Look]:
    """runtime.mapaccess1_fast64 of Go 1.24, on control words and keys as the workload placed them."""
    (goroutine,), (header,), (groups,) = (space.named(x) for x in ("goroutine", "map header", "groups"))
    hashes = hashed(np.arange(n), SEED).tolist()
    slot_bytes = 8 + value
    size, per = 8 + 8 * slot_bytes, table.mask + 1
    keys: dict[tuple[int, int], int] = {}
    for item in range(n):
        probe = int(table.probe[item])
        home = (hashes[item] >> 7) + probe * (probe + 1) // 2
        keys[int(table.table(np.array([hashes[item]], np.uint64))[0]) * per + home % per, int(table.slot[item])] = item
    assert len(keys) == n, "no two items in one slot"
    structs = objects("auto", "go", 32, table.tables, SEED).offsets.tolist()
    arrays = objects("auto", "go", per * size, table.tables, SEED).offsets.tolist()

    def find(item: int) -> Look:
        loads, outcomes = [goroutine + 0x10, header, header + 0x22, header + 0x18], []
        loads += [*([header + 0x21] if table.depth else []), header + 0x10]
        if n <= 8:
            loads.append(groups)
            for k in range(8):
                loads.append(groups + 8 + k * slot_bytes)
                outcomes.append(keys[0, k] != item)
                if not outcomes[-1]:
                    return [*loads, groups + 16 + k * slot_bytes], outcomes
        h = hashes[item]
        entry = h >> 64 - table.depth
        which = int(table.directory[entry])
        struct = space.named("tables")[0] + structs[which]
        loads += [space.named("directory")[0] + 8 * entry, struct + 0x18]
        group, step = (h >> 7) % per, 0
        while True:
            at = groups + arrays[which] + group * size
            loads += [struct + 0x10, at]
            for k in range(8):
                there = keys.get((which * per + group, k))
                if there is None or hashes[there] % 128 != h % 128:
                    continue
                loads.append(at + 8 + k * slot_bytes)
                outcomes += [False, there != item]
                if there == item:
                    return [*loads, at + 16 + k * slot_bytes], outcomes
            assert all((which * per + group, k) in keys for k in range(8)), "an empty slot ends the search"
            outcomes += [True, True]
            step += 1
            group = (group + step) % per

    return find


@pytest.mark.parametrize(("n", "value"), [(1, 8), (8, 8), (9, 8), (14, 24), (15, 8), (896, 8), (897, 8), (20_000, 16)])
def test_a_swiss_go_map_look_up_is_mapaccess1_fast64(n: int, value: int) -> None:
    program, space = build("map", length=n, value=value)
    r = lap(program.threads[0])
    table = Swiss(n, value, SEED)
    check(r, asked(n), swiss_oracle(n, value, table, space))
    for op in look_ups(r)[:300]:
        for i in np.flatnonzero(op.kind == LOAD)[1:]:
            if op.address[i] >= space.named("groups")[0]:
                assert op.dep0[i]
        value_load = op.dep0[-1]
        assert op.address[len(op.address) - 1 - value_load] in set(op.address[op.kind == LOAD].tolist())


def test_swiss_tables_grow_and_split_as_gos_do() -> None:
    """Capacity 16 for 9 items, doubled when over 7/8 full up to 1,024 slots, then split by one more bit of the hash."""
    for n, groups in ((1, 1), (8, 1), (9, 2), (14, 2), (15, 4), (28, 4), (29, 8), (448, 64), (449, 128), (896, 128)):
        table = Swiss(n, 8, SEED)
        assert (table.mask + 1, table.tables, table.depth) == (groups, 1, 0)
    table = Swiss(100_000, 8, SEED)
    hashes = hashed(np.arange(100_000), SEED)
    assert np.bincount(table.table(hashes)).max() <= 896
    depths = _split(np.sort(hashes))
    assert sum(2.0**-d for d in depths) == 1 and len(table.directory) == 1 << max(depths)
    fill = 100_000 / (len(depths) * 1024)
    assert 0.5 < fill < 0.875
    assert (Swiss(8, 8, 1).group_bytes, Swiss(8, 24, 1).group_bytes) == (8 + 8 * 16, 8 + 8 * 32)


def std_oracle(n: int, space: StandIn) -> Callable[[int], Look]:
    """std::unordered_map of libstdc++: insertion into a list threaded through buckets, and find, one step at a time."""
    (header,), (buckets,), (base,) = (space.named(x) for x in ("map header", "buckets", "nodes"))
    nodes = (base + objects("auto", "std", 24, n, SEED).offsets).tolist()
    sizes = [13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753]
    size = next(s for s in sizes if s >= n)
    hashes = hashed(np.arange(n), SEED).tolist()
    key = dict(zip(nodes, range(n), strict=True))
    following: dict[int, int] = {header + 0x10: 0}
    before: dict[int, int] = {}
    for item in range(n):
        b, node = hashes[item] % size, nodes[item]
        if b in before:
            following[node], following[before[b]] = following[before[b]], node
        else:
            following[node], following[header + 0x10] = following[header + 0x10], node
            if following[node]:
                before[hashes[key[following[node]]] % size] = node
            before[b] = header + 0x10

    def find(item: int) -> Look:
        b = hashes[item] % size
        loads, outcomes = [header + 0x18, header + 8, header, buckets + 8 * b], []
        previous = before[b]
        node = following[previous]
        loads += [previous, node + 8]
        outcomes.append(key[node] == item)
        while key[node] != item:
            previous, node = node, following[node]
            loads += [previous, node + 8]
            assert hashes[key[node]] % size == b
            outcomes += [False, key[node] != item]
        return [*loads, previous, node + 0x10], outcomes

    return find


@pytest.mark.parametrize("n", [1, 2, 13, 14, 500, 5000])
def test_an_unordered_map_look_up_is_libstdcxx_find(n: int) -> None:
    program, space = build("map", layout="std", length=n)
    r = lap(program.threads[0])
    find = std_oracle(n, space)
    check(r, asked(n), find)
    (buckets,) = space.named("buckets")
    for op in look_ups(r)[:300]:
        loads = np.flatnonzero(op.kind == LOAD)
        bucket = loads[3]
        assert op.address[bucket] >= buckets
        sources = {
            int(op.address[bucket - d[bucket]]) - space.named("map header")[0] for d in (op.dep0, op.dep1) if d[bucket]
        }
        assert sources == {0, 8}, "the buckets' address and their number"
        chain = loads[4:]
        assert all(op.dep0[chain]), "each later load needs an earlier one"
        assert op.address[chain[-2]] == op.address[chain[-4]], "the last pointer is loaded again ..."
        twin = chain[-4]
        assert chain[-2] - op.dep0[chain[-2]] == twin - op.dep0[twin], "... from an address that the same load yielded"


def test_ranks_and_hashes() -> None:
    assert ranks(np.array([3, 1, 3, 3, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]
    bits = np.unpackbits(hashed(np.arange(20_000), 7).view(np.uint8)).reshape(-1, 64).mean(0)
    assert np.abs(bits - 0.5).max() < 0.02
    assert Unordered(20_000, 1).length.max() < 12
