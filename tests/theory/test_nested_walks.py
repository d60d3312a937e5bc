"""Does a page walk of a virtual machine read what a few obvious lines of Python read, in that order, and cost that?"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from numasim.engine import nested
from numasim.engine import state as st
from numasim.engine.build import build
from numasim.machine import Machine
from numasim.memory import PageMap, numa_maps, translate
from theory.small_runs import COLD, MIB, Done, laid, ld, loads, program, simulated, teaching
from theory.test_tlb_runs import PAGE, ROOMY, STLB, Recent

CLASS = {"4k": 0, "2m": 1, "1g": 2}
Read = tuple[str, int, int]  # whose entry, of which level, for which page number or frame


def virtual(host: str = "4k", **changes: Any) -> Machine:
    return teaching(**{"tlb__walk": "nested", "tlb__host_page": host, "memory__dram__size_bytes": "8GiB", **changes})


class Twin:
    """Walks by the book: levels from 4 down to a page's own; the address of each table, and of the page, is translated
    by the host's levels from 4 down to its pages' own. 4 PDEs, 2 PDPTEs and 1 PML4E are kept, of both tables together,
    and 16 of the host's translations; forgetful: nothing is."""

    def __init__(self, space: PageMap, guest: str, host: str, forgetful: bool = False) -> None:
        self.space, self.guest, self.host, self.forgetful = space, CLASS[guest], CLASS[host], forgetful
        self.above = {1: Recent(4), 2: Recent(2), 3: Recent(1)}
        self.nested = Recent(16)
        self.asked = 0

    def frame(self, va: int, level: int) -> int:
        """Guest-physical 4 KiB frame of a table, or of the page."""
        s = self.space
        if level:
            return self.spread([s.pt[va >> 21], s.pd[va >> 30], s.pdpt[va >> 39], s.pml4][level - 1])
        if self.guest == 0:
            return self.spread(s.frame[va >> 12])
        return 1 << s.guest_bits | int(s.guest[va >> 21] >> 16) * 512 + va % (2 * MIB) // PAGE

    def spread(self, frame: Any) -> int:
        """Node 0's frames, all over its memory."""
        return int(frame) * 0x9E3779B1 % (1 << self.space.guest_bits)

    def has(self, kept: Recent, key: Any) -> bool:
        return not self.forgetful and kept.has(key)

    def begin(self, whose: str, first: int, number: int) -> int:
        """The level to begin at: below the deepest entry kept."""
        for level in range(first, 4):
            if self.has(self.above[level], (whose, number >> 9 * level)):
                return level
        return 4

    def translate(self, frame: int) -> Iterator[Read]:
        self.asked += 1
        if self.has(self.nested, frame >> 9 * self.host):
            return
        for level in range(self.begin("host", self.host + 1, frame), self.host, -1):
            yield "host", level, frame
            if level > self.host + 1:
                self.above[level - 1].learn(("host", frame >> 9 * (level - 1)))
        self.nested.learn(frame >> 9 * self.host)

    def walk(self, va: int) -> Iterator[Read]:
        first = self.begin("guest", self.guest + 1, va >> 12)
        if first == 4:
            yield from self.translate(self.frame(va, 4))
        for level in range(first, self.guest, -1):
            yield "guest", level, va >> 12
            if level > self.guest + 1:
                yield from self.translate(self.frame(va, level - 1))
                self.above[level - 1].learn(("guest", va >> 12 + 9 * (level - 1)))
        yield from self.translate(self.frame(va, 0))


def walked(m: st.Machine, va: int, forgetful: bool = False) -> list[Read]:
    """What the engine's walk reads."""
    klass, read = m.pages.block[va >> 21] & 3, []
    step = nested.begin(m, 0, klass, va)
    while step:
        if forgetful:
            for c in (m.tlb.pde, m.tlb.pdpte, m.tlb.pml4e, m.tlb.nested):
                c.tag[:] = [0] * len(c.tag)  # type: ignore[call-overload]
        if step >= nested.ASK:
            step = nested.asked(m, 0, klass, va, step & 7)
            continue
        level, host = step & 7, step >> nested.HOST
        read.append(("host", host, nested.guest_frame(m.pages, va, level)) if host else ("guest", level, va >> 12))
        step = nested.go_on(m, 0, klass, va, step)
    return read


def state(machine: Machine, space: PageMap) -> st.Machine:
    from numasim.engine.build import Seat

    return st.mapped(build(machine, space, [Seat(0, 0, False, 0)], 1, 64), lambda a: a.tolist())


@pytest.mark.parametrize(
    ("guest", "host", "references"),
    [("4k", "4k", 24), ("2m", "4k", 19), ("1g", "4k", 14), ("4k", "2m", 19), ("2m", "2m", 15), ("4k", "1g", 14),
     ("1g", "1g", 8)],
)  # fmt: skip
def test_references_of_a_walk_that_remembers_nothing(guest: str, host: str, references: int) -> None:
    """(g + 1) (h + 1) - 1 for g levels of the guest and h of the host: 24 of four and four."""
    machine = virtual(host)
    space = laid(machine, 4 * MIB, pages=guest)
    for va in (0, 5 * PAGE, 2 * MIB + 7 * PAGE):
        found = walked(state(machine, space), va, forgetful=True)
        assert len(found) == references
        assert found == list(Twin(space, guest, host, forgetful=True).walk(va))


@pytest.mark.parametrize("guest", ["4k", "2m", "1g"])
@pytest.mark.parametrize("host", ["4k", "2m", "1g"])
def test_walks_read_what_no_cache_holds(guest: str, host: str) -> None:
    """Walk after walk of pages here and there: paging-structure caches and nested TLB fall over, and what is read, in
    which order, is what the twin reads."""
    machine = virtual(host, memory__dram__size_bytes="64GiB")
    sizes = [3 * PAGE if k % 2 == 0 else 128 * MIB for k in range(40)] if guest == "4k" else [5 << 30]
    keys = {"pages": "thp" if guest == "4k" else guest}
    space = laid(machine, *sizes, **keys)
    rng, m, twin = random.Random(guest + host), state(machine, space), Twin(space, guest, host)
    bases = [region.base for region in space.regions][::2]
    counts = set()
    for _ in range(600):
        va = rng.choice(bases) + rng.randrange(3) * PAGE if guest == "4k" else rng.randrange(5 << 30)
        found = walked(m, va)
        assert found == list(twin.walk(va))
        counts.add(len(found))
    assert len(counts) > 2 and max(counts) < 24


def cold(machine: Machine, space: PageMap) -> Done:
    return simulated(machine, space, program([ld(PAGE, site=200)], [ld(64)]), length=COLD)


@pytest.mark.parametrize(("guest", "host"), [("4k", "4k"), ("2m", "4k"), ("4k", "2m"), ("2m", "2m"), ("1g", "1g")])
def test_a_cold_walk_costs_the_hosts_lines_more(guest: str, host: str) -> None:
    """Each line that a walk reads first comes from memory, and takes between an open row's 80 and a conflict's 120 ns;
    again, L1's 1. Each look-up in the nested TLB takes 3."""
    machine = virtual(host, tlb__nested_latency_cycles=3)
    space = laid(machine, 4 * MIB, pages=guest)
    twin, m = Twin(space, guest, host), state(machine, space)
    read = list(twin.walk(PAGE))
    lines = [
        nested.host_line(m.pages, frame, level) if whose == "host"
        else nested.entry_line(m.pages, PAGE, level) for whose, level, frame in read
    ]  # fmt: skip
    done, first = cold(machine, space), len(set(lines))
    assert done.raw.node_read_bytes.sum() == (first + 1) * 64
    known = STLB + 3 * twin.asked + len(lines) - first
    assert known + first * 80 <= done.stack(200)["tlb_walk"] <= known + first * 120
    plain = teaching(memory__dram__size_bytes="8GiB")
    native, steps = cold(plain, laid(plain, 4 * MIB, pages=guest)), sum(whose == "guest" for whose, _, _ in read)
    assert native.raw.node_read_bytes.sum() == (steps + 1) * 64
    more = done.stack(200)["tlb_walk"] - native.stack(200)["tlb_walk"]
    assert more > (first - steps) * 80 - steps * 40


def test_with_all_translations_of_the_host_at_hand_a_nested_walk_is_a_native_one_and_its_look_ups() -> None:
    """One translation of a host's 1 GiB page holds all there is. Walks begin at the page table: one look-up each."""
    rng = random.Random(5)
    addresses = [n * PAGE + n % 64 * 64 for n in rng.choices(range(400), k=3000)]
    lap = loads(addresses, dependent=True)
    many = {**ROOMY, "tlb__pde_entries": 8, "memory__dram__size_bytes": "8GiB"}
    nest = {cycles: virtual("1g", **{**many, "tlb__nested_latency_cycles": cycles}) for cycles in (0, 7)}
    plain = teaching(**many)
    native, free, paid = (
        simulated(m, laid(m, 400 * PAGE, pages="4k"), program(lap, lap)) for m in (plain, nest[0], nest[7])
    )
    walks = native.counter("dtlb_load_misses.walk_completed")
    assert walks > 1000
    assert free.counter("dtlb_load_misses.walk_completed") == paid.counter("dtlb_load_misses.walk_completed") == walks
    assert free.stack() == native.stack()
    assert paid.stack()["tlb_walk"] - native.stack()["tlb_walk"] == pytest.approx(7 * walks / len(addresses))


def test_a_nested_tlb_that_is_too_small_costs_reads_of_the_host() -> None:
    """Small pages on small ones of the host: a walk that misses the nested TLB reads an entry more, or several, each
    5 ns in L2."""
    rng = random.Random(6)
    addresses = [n * PAGE + n % 64 * 64 for n in rng.choices(range(400), k=3000)]
    lap = loads(addresses, dependent=True)
    costs = {}
    for entries in (16, 1024):
        sets = {"tlb__nested_entries": entries, "tlb__nested_ways": 16, "tlb__nested_latency_cycles": 0}
        machine = virtual(**{**ROOMY, "l2__size_bytes": 1 << 19, "tlb__pde_entries": 32, **sets})
        done = simulated(machine, laid(machine, 400 * PAGE, pages="4k"), program(lap, lap))
        costs[entries] = done.stack()["tlb_walk"] * len(addresses)
    walks = done.counter("dtlb_load_misses.walk_completed")
    assert costs[16] - costs[1024] > 0.9 * walks * 5


@pytest.mark.parametrize(
    ("guest", "host", "piece"), [("2m", "4k", 0), ("1g", "4k", 0), ("1g", "2m", 1), ("2m", "2m", 1)]
)
def test_a_page_larger_than_the_hosts_is_in_pieces(guest: str, host: str, piece: int) -> None:
    """The guest sees its page; caches and TLBs see pieces, each elsewhere on the page's node, and nothing twice."""
    machine = virtual(host)
    space = laid(machine, 4 * MIB, 4 * MIB, pages=guest, nodes=(0, 1))
    size = PAGE << 9 * piece
    for region in space.regions:
        lines = translate(space, np.arange(region.base, region.base + region.size_bytes, PAGE))
        assert len(np.unique(lines)) == len(lines)
        assert (lines >> space.node_shift == region.id).all()
        assert (lines & (1 << space.node_shift - 1) == 0).all(), "the upper half is for the host's tables"
        starts = lines[:: size // PAGE]
        assert (starts % (size // 64) == 0).all()
        if guest != host:
            assert (np.diff(starts) != size // 64).mean() > 0.5, "in no order"
        assert (space.block[region.base >> 21] & 3, space.guest[region.base >> 21] & 3) == (piece, CLASS[guest])
    kib = PAGE << 9 * CLASS[guest]
    assert all(line.endswith(f"kernelpagesize_kB={kib >> 10}") for line in numa_maps(space).splitlines())


@pytest.mark.parametrize("guest", ["2m", "1g"])
def test_pieces_that_lie_side_by_side(guest: str) -> None:
    """Each 2 MiB are as one on the host, at a multiple of their size, and the next lie elsewhere; classes stay."""
    space = laid(virtual("4k", tlb__host_run=512), 8 * MIB, 8 * MIB, pages=guest, nodes=(0, 1))
    for region in space.regions:
        lines = translate(space, np.arange(region.base, region.base + region.size_bytes, PAGE))
        assert len(np.unique(lines)) == len(lines)
        assert (lines >> space.node_shift == region.id).all()
        together = lines.reshape(-1, 512)
        assert (np.diff(together) == PAGE // 64).all() and (together[:, 0] % (512 * PAGE // 64) == 0).all()
        assert (np.diff(together[:, 0]) != 512 * PAGE // 64).any()
        assert (space.block[region.base >> 21] & 3, space.guest[region.base >> 21] & 3) == (0, CLASS[guest])


def test_huge_pages_in_pieces_fill_a_cache_as_unevenly_as_small_ones_do() -> None:
    """Chases through three quarters of the L2: huge pages in one piece fill its sets evenly and miss nothing; in
    pieces they miss it as often as small ones, but for what ten orders of frames differ by; in pieces that lie side
    by side they miss nothing, either, while the TLBs hold as small pages as before."""

    def misses(machine: Machine, pages: str, counter: str = "LLC-loads") -> float:
        size = machine.l2.size_bytes * 3 // 4
        order = np.random.default_rng(1).permutation(size // 64) * 64
        lap = loads(order, dependent=True)
        runs = (simulated(machine, laid(machine, size, pages=pages, seed=k), program(lap, lap)) for k in range(10))
        return sum(done.counter(counter) for done in runs) / len(order) / 10

    large = {"l2__size_bytes": 1 << 20, "l2__ways": 16, "tlb__l2_entries": 1024, "l3__inclusion": "victim"}
    whole, pieces, small = (
        misses(m, p) for m, p in ((teaching(**large), "2m"), (virtual(**large), "2m"), (teaching(**large), "4k"))
    )
    beside = virtual(**large, tlb__host_run=512)
    assert whole < 0.001 and misses(beside, "2m") < 0.001
    assert pieces == pytest.approx(small, rel=0.3)
    assert small > 0.03
    past_l1 = misses(virtual(**large), "2m", "dTLB-load-misses")
    assert past_l1 > 0.5 and misses(beside, "2m", "dTLB-load-misses") == pytest.approx(past_l1, rel=0.01)
    assert misses(beside, "4k") == misses(virtual(**large), "4k"), "small pages lie where they lay"
