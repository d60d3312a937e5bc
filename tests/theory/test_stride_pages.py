"""Does IP stride have the pages within its reach translated before it asks for their lines, each once, no others?"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numasim.engine import prefetch, requests
from numasim.engine.feed import Length
from theory.small_runs import COLD, LOCAL, MIB, REMOTE, Done, laid, loads, program, simulated, teaching

PAGE = 4096
ROOM = 96 * PAGE  # mapped, from address 0 on
AT_ONCE = 4

# ---- step by step --------------------------------------------------------------------------------------------------


class Ahead:
    """Steps of one instruction through small pages: which pages it has translated, four at most at a time, and then for
    which lines it asks, four at most at a time, as far as pages are known. Both go on from where they have been."""

    def __init__(self, distance: int) -> None:
        self.distance = distance
        self.line_upto: int | None = None
        self.page_upto: int | None = None

    def load(self, va: int, step: int, known: set[int]) -> tuple[list[int], list[int]]:
        """Addresses asked for to have their pages translated, and as lines."""
        reach = [va + k * step for k in range(1, self.distance + 1)]
        begun = va if self.page_upto is None or (self.page_upto - va) * step < 0 else self.page_upto
        pages = []
        before = begun
        for there in reach:
            if (there - begun) * step <= 0 or there // PAGE == before // PAGE:
                continue
            if not 0 <= there < ROOM or len(pages) == AT_ONCE:
                break
            if there // PAGE not in known:
                pages.append(there)
            before = there
        self.page_upto = before
        lines = []
        upto = va if self.line_upto is None or (self.line_upto - va) * step < 0 else self.line_upto
        for there in reach:
            if (there - upto) * step <= 0:
                continue
            elsewhere = there // PAGE != va // PAGE
            if len(lines) == AT_ONCE or not 0 <= there < ROOM or (elsewhere and there // PAGE not in known):
                break
            lines.append(there)
        self.line_upto = lines[-1] if lines else upto
        return pages, lines


@pytest.mark.parametrize("stride", [64, 192, 1024, 4096, 4160, 9000, -64, -2048, -4096])
@pytest.mark.parametrize(("distance", "delay"), [(2, 1), (9, 3), (40, 5), (256, 12)])
def test_pages_ahead_as_a_naive_twin(monkeypatch: pytest.MonkeyPatch, stride: int, distance: int, delay: int) -> None:
    """A page is known so many loads after it was asked for, or, a few of them, from the start."""
    rng = np.random.default_rng(abs(stride) + distance)
    known = {page for page in range(ROOM // PAGE) if rng.random() < 0.5}
    asked: list[tuple[int, bool]] = []

    def ask(m: Any, t: int, core: int, klass: int, va: int, translated: bool, now: int) -> bool:
        asked.append((va, translated))
        return True

    in_tlb = {"first_level": 1, "second_level": 0}  # some are in the one, some in the other
    for name, odd in in_tlb.items():
        there = lambda tlb, core, size, va, odd=odd: va // PAGE in known and va // PAGE % 2 == odd  # noqa: E731
        monkeypatch.setattr(prefetch.tlb, name, there)
    monkeypatch.setattr(prefetch, "ask_l1", ask)
    small = SimpleNamespace(block=np.zeros(1, np.int64), blocks=1, frame=np.full(512, requests.NO_FRAME, np.int64))
    small.frame[: ROOM // PAGE] = 7
    m = SimpleNamespace(
        core=SimpleNamespace(strides=np.zeros(2 * 512, np.int64)), pages=small, tlb=None,
        p=SimpleNamespace(stride_distance=distance, stride_pages=1),
    )  # fmt: skip
    walked = 0
    for lap in range(2):  # the second one anew, from the beginning, where no page is known any more
        twin, coming, pages_of_lap = Ahead(distance), list[tuple[int, int]](), list[int]()
        known &= set(range(0, ROOM // PAGE, 7 + lap))
        for k in range(ROOM // abs(stride)):
            va = k * stride if stride > 0 else ROOM + (k + 1) * stride
            known |= {page for due, page in coming if due <= k} | {va // PAGE}
            asked.clear()
            prefetch.train_strides(m, 0, 1, 5, va, k)
            if k < 3 or va // 64 == (va - stride) // 64:
                assert not asked
                continue
            pages, lines = twin.load(va, stride, known)
            assert [there for there, _ in asked] == pages + lines, (lap, k, va)
            assert not any(translated for _, translated in asked[: len(pages)])
            coming += [(k + delay, there // PAGE) for there in pages]
            pages_of_lap += [there // PAGE for there in pages]
        assert len(pages_of_lap) == len(set(pages_of_lap)), "no page twice"
        walked += len(pages_of_lap)
    assert walked > (20 if distance > 2 else 0)


# ---- whole runs ----------------------------------------------------------------------------------------------------

FAR = {"prefetch__streamer": False, "prefetch__ip_stride": True, "prefetch__ip_stride_distance": 256}
ROOMY = {
    "core__fill_buffers": 8, "core__prefetch_buffers": 100, "l1d__size_bytes": 1 << 16, "l1d__ways": 16,
    "l2__size_bytes": MIB, "l2__ways": 16, "l3__size_bytes": 4 * MIB, "l3__ways": 16, "memory__dram__channels": 8,
    "tlb__l1_4k_entries": 64, "tlb__l1_4k_ways": 16, "tlb__l2_entries": 1024, "tlb__l2_ways": 16,
}  # fmt: skip


def strided(pages: int, a_page: int, ahead: bool, walk: str = "native", **changes: Any) -> Done:
    """A chain of loads on the far node, whose page tables lie there, too: of all lines of 4 KiB pages, or of four, or
    of one, not the same of each. Of a virtual machine's pages, eight are neighbours."""
    nested = {"tlb__walk": "nested", "tlb__guest_run": 8, "memory__dram__size_bytes": "8GiB"}
    changes |= {"prefetch__ip_stride_pages": ahead, **(nested if walk == "nested" else {})}
    machine = teaching(**{**FAR, **ROOMY, **changes})
    space = laid(machine, pages * PAGE, pages="4k", nodes=(1,), page_tables=1)
    order = np.arange(0, pages * PAGE, 65 * 64 if a_page == 1 else PAGE // a_page)
    return simulated(machine, space, program(loads(order, True, site=0)), length=COLD)


def read(done: Done) -> float:
    return float(done.raw.node_read_bytes.sum()) / 64


@pytest.mark.parametrize("walk", ["native", "nested"])
@pytest.mark.parametrize("a_page", [1, 4])
def test_walks_overlap(a_page: int, walk: str) -> None:
    """Of a line or four of each page: without, each waits for its walk and for its line; with further pages they wait
    for neither."""
    here, on = (strided(480, a_page, ahead, walk) for ahead in (False, True))
    assert here.mean() > (REMOTE if a_page == 1 else REMOTE / 3)
    assert on.mean() < here.mean() / 5
    assert on.stack().get("tlb_walk", 0) < here.stack()["tlb_walk"] / 4


@pytest.mark.parametrize("walk", ["native", "nested"])
@pytest.mark.parametrize("a_page", [1, 4, 64])
def test_no_page_is_walked_for_twice(a_page: int, walk: str) -> None:
    """As many walks as there are pages, whoever asks first; and no line is fetched twice but for tables' entries."""
    done, plain = (strided(480, a_page, ahead, walk) for ahead in (True, False))
    walks = plain.counter("dtlb_load_misses.walk_completed")
    assert walks in (480, 480 * 64 // 65 + 1)
    assert walks <= done.counter("dtlb_load_misses.walk_completed") <= walks + 4
    entries = walks * (1 if walk == "native" else 3)  # one of the guest's, and one of the host's, or with one above it
    assert done.accesses() <= read(done) <= done.accesses() + entries + 16


@pytest.mark.parametrize("a_page", [1, 4, 64])
@pytest.mark.parametrize("pages", [100, 190])
def test_nothing_is_asked_for_beyond_what_is_mapped(pages: int, a_page: int) -> None:
    """A walk to the last page, with a reach of 256 steps: what is in the caches is lines of these pages and of the page
    tables, and no prefetch was for another."""
    done = strided(pages, a_page, True)
    assert 0 < done.counter("prefetches") <= done.accesses()
    assert read(done) <= done.accesses() + pages + 8
    m, seen = done.run.m, set()
    for c in (m.l1, m.l2):
        for i, entry in enumerate(np.asarray(c.tag)[: m.cores * c.sets * c.ways].tolist()):
            if entry & 2:
                seen.add(entry >> 3 << c.bits | i // c.ways & (1 << c.bits) - 1)
    frames = set(np.asarray(m.pages.frame)[:pages].tolist())
    data = {line for line in seen if line >> 6 in frames}
    assert 0.9 * done.accesses() < len(data) <= done.accesses()
    assert len(seen - data) <= pages // 8 + 8, "page tables, eight entries a line"


def test_without_further_pages_each_is_walked_for_by_its_first_load() -> None:
    """One of eight page-table lines' entries is read from the far memory, and takes its 200 ns there."""
    done = strided(200, 4, False)
    assert done.counter("dtlb_load_misses.walk_completed") == 200
    assert done.stack()["tlb_walk"] * done.accesses() > 200 / 8 * (REMOTE - LOCAL)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_walk_begun_anew_runs_ahead_anew(ahead: bool) -> None:
    """Lap after lap through more pages than the TLBs hold: the second one is as the first, with pages ahead or not."""
    caches = {"l2__size_bytes": 1 << 16, "l3__size_bytes": 1 << 17}
    pages, small = 300, {"tlb__l1_4k_entries": 16, "tlb__l2_entries": 64, **caches}
    machine = teaching(**{**FAR, **ROOMY, **small, "prefetch__ip_stride_pages": ahead})
    space = laid(machine, pages * PAGE, pages="4k", nodes=(1,), page_tables=1)
    lap = loads(np.arange(0, pages * PAGE, 256), True, site=0)
    first, second = (simulated(machine, space, program(lap), length=length).time for length in (COLD, Length(1, 0, 1)))
    assert second == pytest.approx(first, rel=0.1)


@pytest.mark.parametrize("ahead", [False, True])
def test_downwards_is_as_upwards(ahead: bool) -> None:
    pages = 300
    machine = teaching(**{**FAR, **ROOMY, "prefetch__ip_stride_pages": ahead})
    space = laid(machine, pages * PAGE, pages="4k", nodes=(1,), page_tables=1)
    order = np.arange(0, pages * PAGE, 256)
    up, down = (
        simulated(machine, space, program(loads(lines, True, site=0)), length=COLD).time
        for lines in (order, order[::-1])
    )
    assert down == pytest.approx(up, rel=0.1)


def test_a_huge_page_needs_no_page_ahead() -> None:
    """The same steps within one 2 MiB page: one walk, whatever is set."""
    times = []
    for ahead in (False, True):
        machine = teaching(**{**FAR, **ROOMY, "prefetch__ip_stride_pages": ahead})
        order = np.arange(500) * (PAGE + 64)
        done = simulated(machine, laid(machine, 2 * MIB, nodes=(1,)), program(loads(order, True, site=0)), length=COLD)
        assert done.counter("dtlb_load_misses.walk_completed") == 1
        times.append(done.time)
    assert times[0] == times[1]
