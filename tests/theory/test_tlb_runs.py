"""Do TLBs and page walks of a run do what a few obvious lines of Python do? Hits, walks, steps, and what they cost."""

import random
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

from numasim.engine import state as st
from numasim.engine import tlb
from numasim.engine.build import tlbs
from theory.naive_policies import Lru
from theory.small_runs import COLD, L1, LOCAL, MIB, Done, laid, ld, loads, program, simulated, teaching

PAGE, HUGE = 4096, 2 * MIB
STLB = 5  # ns to look into the second-level TLB of the teaching machine
ROOMY = {  # page tables stay in the L2, which takes as long as the L1
    "l1d__latency_cycles": 5, "l2__latency_cycles": 5, "l2__size_bytes": 1 << 17, "l2__ways": 16,
}  # fmt: skip


class Recent:
    """A fully associative LRU cache."""

    def __init__(self, entries: int) -> None:
        self.entries, self.kept = entries, OrderedDict[int, None]()

    def has(self, key: int) -> bool:
        """A look-up is a use."""
        if key in self.kept:
            self.kept.move_to_end(key)
        return key in self.kept

    def learn(self, key: int) -> None:
        self.kept[key] = None
        self.kept.move_to_end(key)
        if len(self.kept) > self.entries:
            self.kept.popitem(last=False)


class Looked(NamedTuple):
    """What a look-up takes: was the L1 DTLB without it, the second level too, how many entries a walk then read."""

    missed: bool
    walked: bool
    steps: int


class NaiveTlb:
    """The teaching machine's: 8 or 4 entries, then 32 in 8 sets of 4 shared by both page sizes, then walks that begin
    below the deepest entry kept of the levels above (4 PDEs, 2 PDPTEs, 1 PML4E)."""

    def __init__(self) -> None:
        self.first = {PAGE: Recent(8), HUGE: Recent(4)}
        self.second = [Lru(4) for _ in range(8)]
        self.above = {21: Recent(4), 30: Recent(2), 39: Recent(1)}  # by the address bits an entry covers

    def look_up(self, address: int, page: int) -> Looked:
        number = address // page
        if self.first[page].has(number):
            return Looked(False, False, 0)
        self.first[page].learn(number)
        if self.second[number % 8].use((number, page)):  # type: ignore[arg-type]
            return Looked(True, False, 0)
        read = []  # entries of the levels above the page's own
        for shift in (21, 30, 39):
            if 1 << shift > page:
                if self.above[shift].has(address >> shift):
                    break
                read.append(shift)
        for shift in read:
            self.above[shift].learn(address >> shift)
        return Looked(True, True, 1 + len(read))


def compare(done: Done, looked: list[Looked], loads_: int) -> None:
    missed, walks = sum(x.missed for x in looked), sum(x.walked for x in looked)
    steps = sum(x.steps for x in looked)
    assert done.counter("dTLB-load-misses") == missed
    assert done.counter("dtlb_load_misses.walk_completed") == walks
    assert done.accesses() == loads_
    assert done.stack().get("tlb_walk", 0) * loads_ == pytest.approx(missed * STLB + steps * 5)


@pytest.mark.parametrize("pages", [6, 8, 9, 31, 33, 60])
def test_a_page_strided_chase(pages: int) -> None:
    """One line a page, round and round and then at random, within 2 MiB: walks of one step."""
    rng = random.Random(pages)
    walk = [*range(pages)] * 5 + rng.choices(range(pages), k=1000)
    addresses = [n * PAGE + n % 64 * 64 for n in walk]
    machine = teaching(**ROOMY)
    lap = loads(addresses, dependent=True)
    done = simulated(machine, laid(machine, pages * PAGE, pages="4k"), program(lap, lap))
    naive = NaiveTlb()
    looked = [naive.look_up(a, PAGE) for a in addresses * 2][len(addresses) :]
    compare(done, looked, len(addresses))
    if pages <= 8:
        assert sum(x.missed for x in looked) == 0
    assert all(x.steps <= 1 for x in looked)


def test_walks_begin_below_what_the_paging_structure_caches_hold() -> None:
    """Pages of 4 KiB all over three 1 GiB ranges: PDEs and PDPTEs fall out, walks have one to three steps."""
    rng = random.Random(3)
    machine = teaching(**ROOMY, memory__dram__size_bytes="8GiB")
    # three pages every 128 MiB; between them huge pages that nobody touches
    sizes = [3 * PAGE if k % 2 == 0 else 128 * MIB - 2 * MIB for k in range(40)]
    space = laid(machine, *sizes, pages="thp")
    bases = [region.base for region in space.regions][::2]
    assert max(bases) > 2 << 30
    addresses = [bases[k] + rng.randrange(3) * PAGE + 64 * k for k in rng.choices(range(len(bases)), k=2000)]
    lap = loads(addresses, dependent=True)
    done = simulated(machine, space, program(lap, lap))
    naive = NaiveTlb()
    looked = [naive.look_up(a, PAGE) for a in addresses * 2][len(addresses) :]
    assert {x.steps for x in looked} == {0, 1, 2, 3}
    compare(done, looked, len(addresses))


def test_both_page_sizes_share_the_second_level() -> None:
    rng = random.Random(4)
    machine = teaching(**ROOMY, memory__dram__size_bytes="1GiB")
    space = laid(machine, 20 * PAGE, 20 * HUGE, pages="thp")
    small, large = (region.base for region in space.regions)
    addresses = [
        small + k % 20 * PAGE + k % 64 * 64 if k < 60 else large + k % 20 * HUGE + (k % 64) * 64
        for k in rng.choices(range(120), k=2000)
    ]
    lap = loads(addresses, dependent=True)
    done = simulated(machine, space, program(lap, lap))
    naive = NaiveTlb()
    looked = [naive.look_up(a, HUGE if a >= large else PAGE) for a in addresses * 2][len(addresses) :]
    compare(done, looked, len(addresses))


@pytest.mark.parametrize(("page_class", "levels"), [(0, 4), (1, 3), (2, 2)])
def test_a_walk_has_a_step_less_for_every_level_known(page_class: int, levels: int) -> None:
    """From nothing known, four steps for 4 KiB, three for 2 MiB, two for 1 GiB; then one for a neighbour page, two for
    one under the next table up, and so on."""
    made = st.mapped(tlbs(teaching(), 1, 1 << 20), lambda a: a.tolist())

    def steps(va: int) -> int:
        level, n = tlb.walk_from(made, 0, page_class, va), 0
        while level:
            level, n = tlb.walked(made, 0, page_class, va, level), n + 1
        assert tlb.first_level(made, 0, page_class, va)
        return n

    va = 5 << 39 | 6 << 30 | 7 << 21 | 8 << 12
    shift = 12 + 9 * page_class
    assert steps(va) == levels
    assert steps(va + (1 << shift)) == 1
    for n in range(1, levels):
        assert steps(va + (3 << shift + 9 * n)) == n + 1


@pytest.mark.parametrize(("pages", "steps"), [("4k", 4), ("2m", 3), ("1g", 2)])
def test_a_cold_walk_reads_that_many_entries_from_memory(pages: str, steps: int) -> None:
    """The first load of all: its entries one after the other from memory, each looked for in every cache; the entries
    lie in other lines, frames and perhaps rows, so each takes between an open row's 80 and a conflict's 120 ns."""
    machine = teaching(memory__dram__size_bytes="8GiB")
    space = laid(machine, HUGE, pages=pages)
    done = simulated(machine, space, program([ld(PAGE, site=200)], [ld(64)]), length=COLD)
    walk = done.stack(200)["tlb_walk"]
    assert STLB + steps * 80 <= walk <= STLB + steps * 120
    assert done.counter("dtlb_load_misses.walk_completed", 200) == 1
    # what the walk read is not counted as an access, but it did cross the channel
    assert done.accesses(200) == 1
    assert done.raw.node_read_bytes.sum() == (steps + 1) * 64


def test_page_tables_on_the_other_node_cost_what_they_cost() -> None:
    """A cold walk of a 2 MiB page whose tables lie remote takes longer by the two sockets' difference a step."""
    machine = teaching()
    lap = [ld(PAGE, site=200)]
    near, far = (
        simulated(machine, laid(machine, HUGE, page_tables=node), program(lap), length=COLD) for node in (0, 1)
    )
    assert far.latency(200) - near.latency(200) == 3 * 100
    assert {k: v for k, v in far.stack(200).items() if k != "tlb_walk"} == {
        k: v for k, v in near.stack(200).items() if k != "tlb_walk"
    }


def test_a_hit_in_the_second_level_costs_its_latency() -> None:
    """Nine pages round and round through eight entries: always the second level, and then L1 or L2."""
    machine = teaching()
    lap = loads(np.array([n * PAGE for n in range(9)]) + np.arange(9) * 64, dependent=True)
    long = loads(np.tile(lap.address, 40), dependent=True)
    done = simulated(machine, laid(machine, 9 * PAGE, pages="4k"), program(long, long))
    assert done.counter("dTLB-load-misses") == 360
    assert done.counter("dtlb_load_misses.walk_completed") == 0
    assert done.stack()["tlb_walk"] == STLB
    assert done.latency(0) == STLB + L1
    assert done.counter("L1-dcache-load-misses") == done.counter("L2-hits") == 0, "translated late, found in L1"


@pytest.mark.parametrize("dependent", [False, True])
def test_loads_of_one_page_that_miss_together_each_walk(dependent: bool) -> None:
    """A limit of the model: no walk is shared. Four loads of four lines of a page nobody has touched, a cycle apart:
    all four read the entry from its open row, a burst each after the other; one after the other, the first does."""
    machine = teaching()
    rows = [ld(8 * PAGE + 64 * k, dep0=int(dependent and k > 0)) for k in range(4)]
    done = simulated(machine, laid(machine, 16 * PAGE, pages="4k"), program([ld(0)], rows))
    walks = 1 if dependent else 4
    assert done.counter("dTLB-load-misses") == done.counter("dtlb_load_misses.walk_completed") == walks
    assert done.raw.node_read_bytes.sum() == (4 + walks) * 64
    burst, cycle = 10, 1
    for k in range(walks):
        assert done.stack(k)["tlb_walk"] == STLB + LOCAL + k * (burst - cycle)
