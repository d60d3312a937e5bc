"""Does the page map say what the contract says? Checked address by address against plain Python."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numasim.errors import UserError
from numasim.memory import (
    AddressSpace,
    PageMap,
    Placement,
    numa_maps,
    numastat,
    page_owner_nodes,
    pages_per_node,
    table_pages_per_node,
    translate,
)

PAGE, MIB, GIB = 4096, 1 << 20, 1 << 30


def machine(nodes=2, size_bytes=64 * GIB):
    memory = {"dram": SimpleNamespace(nodes=tuple(range(nodes)), size_bytes=size_bytes)}
    topology, tlb = SimpleNamespace(distance=lambda a, b: 10 + 11 * abs(a - b)), SimpleNamespace(walk="native")
    return SimpleNamespace(memory=memory, topology=topology, tlb=tlb)


def look_up(pages: PageMap, address: int) -> int:
    """Physical line of one address, by the words of the contract; -1 if nothing is mapped."""
    block = int(pages.block[address >> 21]) if address >> 21 < len(pages.block) else -1
    if block < 0:
        return -1
    if block & 3 == 0:
        frame = int(pages.frame[address >> 12])
        return -1 if frame < 0 else (frame << 6) + (address % PAGE >> 6)
    return ((block >> 16) << 15) + (address % (2 * MIB) >> 6)


requests = st.tuples(
    st.sampled_from(["4k", "4k", "2m", "thp", "1g"]),
    st.one_of(st.integers(1, 40 * PAGE), st.integers(1, 9 * MIB)),
    st.sampled_from(
        [None, Placement("bind", (1,)), Placement("interleave", (0, 1)), Placement("weighted", (0, 1), (3, 1))]
    ),
    st.integers(0, 1),
)


def build(wishes, seed=1, **options):
    space = AddressSpace(machine(), seed, **options)
    regions = [
        space.region(f"r{i}", size, pages, placement, touch) for i, (pages, size, placement, touch) in enumerate(wishes)
    ]
    return regions, space.finish()


@settings(max_examples=60, deadline=None)
@given(st.lists(requests, min_size=1, max_size=5), st.integers(0, 1 << 40))
def test_the_map_is_a_bijection_onto_frames_of_the_right_node(wishes, seed):
    regions, pages = build(wishes, seed)
    frames = []
    for region, (word, size, _, _) in zip(regions, wishes, strict=True):
        assert pages.regions[region.id] == region
        assert region.base % (GIB if word == "1g" else 2 * MIB) == 0
        starts = np.arange(region.base, region.base + size, PAGE)
        blocks = pages.block[starts >> 21]
        assert (blocks >> 2 & 0x3FFF == region.id).all()
        whole = starts - region.base >> 21 < size >> 21  # the aligned 2 MiB that lie wholly in the region
        expected = {
            "4k": np.zeros(len(starts)),
            "2m": np.ones(len(starts)),
            "1g": np.full(len(starts), 2),
            "thp": whole,
        }
        assert (blocks & 3 == expected[word]).all()
        lines = translate(pages, starts)
        assert (lines >= 0).all()
        assert (lines & 63 == 0).all()
        frames.append(lines >> 6)
    tables = np.concatenate(
        [pages.pt[pages.pt >= 0], pages.pd[pages.pd >= 0], pages.pdpt[pages.pdpt >= 0], [pages.pml4]]
    )
    everything = np.concatenate([*frames, tables])
    assert len(np.unique(everything)) == len(everything)
    assert everything.max() >> pages.node_shift - 6 <= 1
    assert pages.node_shift >= 15
    assert all(array.dtype == np.int64 for array in (pages.block, pages.frame, pages.pt, pages.pd, pages.pdpt))


@settings(max_examples=40, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4), st.data())
def test_translation_agrees_with_the_words_of_the_contract(wishes, data):
    _, pages = build(wishes)
    end = len(pages.block) * 2 * MIB
    addresses = data.draw(st.lists(st.integers(0, end + 3 * MIB), min_size=1, max_size=50))
    assert translate(pages, np.array(addresses)).tolist() == [look_up(pages, a) for a in addresses]


@settings(max_examples=40, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4), st.sampled_from([None, 0, 1]))
def test_page_tables_exist_exactly_where_they_are_needed(wishes, where):
    regions, pages = build(wishes, page_tables=where)
    pt, pd, pdpt = set(), set(), set()
    for region in regions:
        for address in range(region.base, region.base + region.size_bytes, PAGE):
            page_class = int(pages.block[address >> 21]) & 3
            pt |= {address >> 21} if page_class == 0 else set()
            pd |= {address >> 30} if page_class <= 1 else set()
            pdpt.add(address >> 39)
    for level, needed in ((pages.pt, pt), (pages.pd, pd), (pages.pdpt, pdpt)):
        assert set(np.flatnonzero(level >= 0).tolist()) == needed
    assert (len(pages.pt), len(pages.pd)) == (len(pages.block), (len(pages.block) - 1) // 512 + 1)
    per_node = table_pages_per_node(pages)
    assert sum(per_node.values()) == len(pt) + len(pd) + len(pdpt) + 1
    if where is not None:
        assert set(per_node) == {where}


def test_a_page_table_is_on_the_node_of_its_blocks_first_page():
    space = AddressSpace(machine(3), 5, placement=Placement("interleave", (0, 1, 2)))
    space.region("r", 7 * MIB)
    pages = space.finish()
    # pages 0, 512, 1024 and 1536 of a round of three
    assert (pages.pt >> pages.node_shift - 6).tolist() == [0, 2, 1, 0]
    assert pages.pd[0] >> pages.node_shift - 6 == 0


def test_a_region_of_1g_pages_may_leave_a_gap_that_is_not_mapped():
    (a, b), pages = build([("4k", PAGE, None, 0), ("1g", 5, None, 0)])
    assert (a.base, b.base, len(pages.block)) == (0, GIB, 1024)
    assert (pages.block[1:512] == -1).all()
    frames = pages.block[512:] >> 16
    assert frames[0] % 512 == 0
    assert (np.diff(frames) == 1).all()
    assert translate(pages, np.array([-1, 2 * MIB, PAGE, 2 * GIB])).tolist() == [-1, -1, -1, -1]
    assert len(pages.frame) == 512  # no longer than the last 4 KiB page needs


def test_without_small_pages_there_is_no_frame_table():
    _, pages = build([("2m", 3 * MIB, None, 0)])
    assert len(pages.frame) == 0
    assert (pages.pt == -1).all()
    assert translate(pages, np.array([0]))[0] >= 0


def test_the_same_seed_gives_the_same_map_and_another_seed_another():
    wishes = [("4k", 5 * MIB, None, 0), ("thp", 5 * MIB, Placement("interleave", (0, 1)), 1)]
    first, again, other = (build(wishes, seed)[1] for seed in (7, 7, 8))
    assert all(np.array_equal(x, y) for x, y in zip(first[:6], again[:6], strict=True))
    assert first.pml4 == again.pml4
    assert (first.frame[:1280] != other.frame[:1280]).mean() > 0.9


def test_finishing_twice_gives_the_same_map_and_a_region_can_be_added_between():
    space = AddressSpace(machine(), 1)
    space.region("a", MIB)
    first, again = space.finish(), space.finish()
    assert np.array_equal(first.frame, again.frame)
    space.region("b", MIB)
    assert len(space.finish().regions) == 2
    assert len(first.regions) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4))
def test_counts_of_pages_per_node_agree_with_a_count_page_by_page(wishes):
    regions, pages = build(wishes)
    for region in regions:
        seen: dict[int, list[int]] = {}
        address, nodes = region.base, []
        while address < region.base + region.size_bytes:
            page_class = int(pages.block[address >> 21]) & 3
            nodes.append(look_up(pages, address) >> pages.node_shift)
            seen.setdefault(nodes[-1], [0, 0, 0])[page_class] += 1
            address += (PAGE, 2 * MIB, GIB)[page_class]
        assert page_owner_nodes(pages, region).tolist() == nodes
        assert pages_per_node(pages, region) == {node: tuple(n) for node, n in seen.items()}


def test_numa_maps_and_numastat_read_like_linuxs():
    space = AddressSpace(machine(), 1, placement=Placement("interleave", (0, 1)))
    space.region("list", 3 * PAGE)
    space.region("heap", 2 * MIB + 1, pages="thp")
    pages = space.finish()
    assert numa_maps(pages).splitlines() == [
        "000000000000 list anon=3 N0=2 N1=1 kernelpagesize_kB=4",
        "000000200000 heap anon=1 N1=1 kernelpagesize_kB=2048",
        "000000400000 heap anon=1 N0=1 kernelpagesize_kB=4",
    ]
    rows = [line.split() for line in numastat(pages).splitlines()]
    assert rows[0] == ["MiB", "node", "0", "node", "1", "total"]
    assert rows[1:] == [
        ["4k", "0.01", "0.00", "0.02"],
        ["2m", "0.00", "2.00", "2.00"],
        ["1g", "0.00", "0.00", "0.00"],
        ["tables", "0.02", "0.00", "0.02"],
        ["total", "0.03", "2.00", "2.04"],
    ]


@pytest.mark.parametrize("size", [0, -1, 2**44 + 1, 10**30])
def test_impossible_sizes_are_a_users_error(size):
    with pytest.raises(UserError, match="expected 1 byte to 16 TiB"):
        AddressSpace(machine(), 1).region("r", size)


def test_limits_of_the_address_space_are_users_errors_and_come_before_any_table_is_made():
    space = AddressSpace(machine(), 1, pages="2m")
    space.region("a", 2**44 - 2 * MIB)
    with pytest.raises(UserError, match="address space is full"):
        space.region("b", 4 * MIB)
    with pytest.raises(UserError, match="needs 16 TiB, nodes 0,1 have 128 GiB"):
        space.finish()
    with pytest.raises(UserError, match="use pages=2m or 1g"):
        AddressSpace(machine(), 1).region("r", 10**12)
    with pytest.raises(UserError, match="no region"):
        AddressSpace(machine(), 1).finish()
    with pytest.raises(UserError, match="unknown page size '8k'"):
        AddressSpace(machine(), 1, pages="8k")
    many = AddressSpace(machine(), 1)
    for _ in range(1 << 14):
        many.region("r", 1)
    with pytest.raises(UserError, match="16384 regions"):
        many.region("r", 1)


def test_importing_the_package_needs_numpy_alone():
    heavy = "numba scipy networkx pyarrow msgspec rich typer simpy matplotlib"
    code = f"import sys, numasim.memory; print(*[m for m in '{heavy}'.split() if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
