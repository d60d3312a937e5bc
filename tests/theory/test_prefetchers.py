"""Do the prefetchers ask for what they are said to ask for: as naive twins do, and as much as a closed form says?"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numasim.engine import prefetch, regions, requests
from numasim.engine.cache import peek, set_of
from theory import naive_prefetchers as naive
from theory.small_runs import COLD, L1, LOCAL, MIB, Done, laid, loads, program, simulated, teaching

PAGE = 4096
ROOM = 64 * PAGE  # mapped, from address 0 on
FAR = {"prefetch__streamer": False, "prefetch__ip_stride": True, "prefetch__ip_stride_pages": True}
ROOMY = {
    "l1d__size_bytes": 1 << 16, "l1d__ways": 16, "l2__size_bytes": MIB, "l2__ways": 16,
    "l3__size_bytes": 4 * MIB, "l3__ways": 16,
}  # fmt: skip


def steps(seed: int) -> list[tuple[int, int]]:
    """Loads (instruction, address) of a few instructions: walks in equal steps, up and down, broken off at random."""
    rng = np.random.default_rng(seed)
    found, at, pace = [], {}, {}
    for _ in range(4000):
        site = int(rng.integers(0, 5))
        if site not in at or rng.random() < 0.02 or not 0 <= at[site] + pace[site] < ROOM:
            at[site] = int(rng.integers(0, ROOM))
            pace[site] = int(rng.choice([-1024, -64, -8, 0, 8, 32, 64, 100, 256, 4096, 5000]))
        at[site] += pace[site] if 0 <= at[site] + pace[site] < ROOM else 0
        found.append((site, at[site]))
    return found


def spots(seed: int) -> list[tuple[int, int]]:
    """Loads of instructions that fill pages in any order, touch some of their lines, or jump about."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(150):
        site, page = int(rng.integers(0, 4)), int(rng.integers(0, 64)) * PAGE
        lines = rng.permutation(64)[: int(rng.choice([1, 3, 20, 40, 64]))]
        found += [(site, page + int(line) * 64 + int(rng.integers(0, 8)) * 8) for line in np.repeat(lines, 2)]
    return found


def asked_for(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[int]:
    """Addresses the module's prefetcher asks L1 for from now on; every wish is granted."""
    asked: list[int] = []

    def ask(m: Any, t: int, core: int, klass: int, va: int, known: bool, now: int) -> bool:
        asked.append(va)
        return True

    monkeypatch.setattr(module, "ask_l1", ask)
    return asked


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("distance", "pages"), [(2, 1), (9, 1), (100, 1), (30, 0)])
def test_strides_run_ahead_as_their_naive_twin(
    monkeypatch: pytest.MonkeyPatch, seed: int, distance: int, pages: int
) -> None:
    asked = asked_for(monkeypatch, prefetch)
    monkeypatch.setattr(prefetch.tlb, "first_level", lambda *_: True)
    small = SimpleNamespace(block=np.zeros(1, np.int64), blocks=1, frame=np.full(512, requests.NO_FRAME, np.int64))
    small.frame[: ROOM // PAGE] = 7
    m = SimpleNamespace(
        core=SimpleNamespace(strides=np.zeros(2 * 512, np.int64)), pages=small, tlb=None,
        p=SimpleNamespace(stride_distance=distance, stride_pages=pages),
    )  # fmt: skip
    twin = naive.Strides(distance)
    for site, va in steps(seed):
        asked.clear()
        prefetch.train_strides(m, 0, 1, site, va, 0)
        page = range(va // PAGE * PAGE, va // PAGE * PAGE + PAGE)
        assert asked == twin.load(site, va, range(ROOM) if pages else page), (site, va)


@pytest.mark.parametrize("seed", range(6))
def test_regions_are_learnt_as_by_their_naive_twin(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    asked = asked_for(monkeypatch, regions)
    core = SimpleNamespace(regions=np.zeros(2 * 256, np.int64))
    m, twin = SimpleNamespace(core=core, p=SimpleNamespace(region=1)), naive.Regions()
    wanted = 0
    for site, va in spots(seed):
        asked.clear()
        regions.train_regions(m, 0, 1, site, va, 0)
        assert asked == twin.load(site, va), (site, va)
        wanted += len(asked)
    assert wanted > 100


def test_an_instruction_has_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instructions 64 apart share one: another's load starts the steps anew."""
    strides = np.zeros(512, np.int64)
    for k in range(4):
        assert prefetch.steady_stride(strides, 0, 1, 64 * k) == (64 if k == 3 else 0)
    assert prefetch.steady_stride(strides, 0, 65, 0) == 0
    assert [prefetch.steady_stride(strides, 0, 1, 64 * k) for k in range(4, 8)] == [0, 0, 0, 64]


# ---- whole runs ----


def walk(lines: Any, pages: str = "2m", size: int = MIB, **changes: Any) -> Done:
    """A chain of loads of these lines, cold, one instruction."""
    machine = teaching(**{"core__fill_buffers": 8, "core__prefetch_buffers": 64, **ROOMY, **changes})
    where = laid(machine, size, pages=pages)
    return simulated(machine, where, program(loads(np.asarray(lines) * 64, True, site=0)), length=COLD)


@pytest.mark.parametrize("pages", ["2m", "4k"])
def test_a_sequential_walk_runs_at_the_distance(pages: str) -> None:
    """A line comes `distance` loads after it was asked for: LOCAL / distance a load, no line twice."""
    n, distance = 4096, 20
    done = walk(np.arange(n), pages, prefetch__ip_stride_distance=distance, **FAR)
    each = (LOCAL + 5) / distance  # asked for when L2 has been looked up
    assert each <= done.mean() <= (1.1 if pages == "2m" else 1.2) * each  # with page walks in time, most of them
    entries = 4 * done.counter("dtlb_load_misses.walk_completed")  # of page tables, read at most
    assert n <= done.counter("node-loads") <= n + distance + entries
    assert done.counter("prefetches") >= n - 64


def test_a_walk_that_is_not_ahead_of_itself_waits_at_each_page() -> None:
    """Without further pages, the first loads of each page find nothing on its way."""
    n, common = 2048, {**FAR, "prefetch__ip_stride_distance": 60}
    here, on = (
        walk(np.arange(n), pages="4k", **{**common, "prefetch__ip_stride_pages": pages}) for pages in (False, True)
    )
    assert here.time > on.time + n // 64 * 0.8 * LOCAL


@pytest.mark.parametrize("stride", [-3, -1, 1, 2, 16])
def test_strides_go_both_ways(stride: int) -> None:
    lines = np.arange(600) * stride
    done = walk(lines - lines.min(), prefetch__ip_stride_distance=50, **FAR)
    assert done.mean() < 0.12 * LOCAL


def test_walks_past_the_end_of_memory_ask_for_nothing_there() -> None:
    done = walk(np.arange(512), "4k", 512 * 64, prefetch__ip_stride_distance=128, **FAR)
    assert done.counter("node-loads", 0) <= 512 + 2 + 60  # page-table entries too


def within_pages(pages: int, seed: int) -> Any:
    """All lines of a page in random order, then of another."""
    rng = np.random.default_rng(seed)
    return np.concatenate([page * 64 + rng.permutation(64) for page in rng.permutation(pages)])


REGION = {"prefetch__streamer": False, "prefetch__region": True}
PAGES = 240


@pytest.mark.parametrize("seed", range(2))
def test_regions_cover_half_of_a_page_in_random_order(seed: int) -> None:
    """A line is asked for if the one before it was touched first: one time in two; the first of a page never."""
    done = walk(within_pages(PAGES, seed), **REGION)
    assert done.counter("prefetches") / (64 * PAGES) == pytest.approx(63 / 128, abs=0.02)
    assert done.counter("L1-dcache-load-misses") == 64 * PAGES - done.counter("prefetches")


@pytest.mark.parametrize("seed", range(2))
def test_regions_and_up_down_cover_two_thirds(seed: int) -> None:
    """No prefetch has asked for a line that comes before both neighbours: one in three; at a page's ends one in two."""
    done = walk(within_pages(PAGES, seed), prefetch__up_down=True, **REGION)
    assert done.counter("prefetches") / (64 * PAGES) == pytest.approx(1 - (62 / 3 + 2 / 2) / 64, abs=0.02)
    assert done.mean() < 0.42 * LOCAL  # some come late


def test_an_instruction_that_jumps_about_is_not_followed() -> None:
    rng = np.random.default_rng(1)
    plain, region = (
        walk(rng.permutation(MIB // 64)[:3000], prefetch__streamer=False, prefetch__region=on) for on in (False, True)
    )
    assert region.counter("prefetches") == 0 and plain.counter("prefetches") == 0


def spy(done: Done) -> Callable[[int], bool]:
    """Does core 0's L2 have the line of an address at the end?"""
    m = done.run.m
    return lambda va: bool(
        peek(m.l2, set_of(m.l2, 0, requests.tlb.physical(m.pages, va)), requests.tlb.physical(m.pages, va) >> m.l2.bits)
        >= 0
    )


def partly(seed: int) -> Any:
    """Pages of which all lines are touched, and pages of which three are, in turn and in any order."""
    rng = np.random.default_rng(seed)
    pages = [page * 64 + rng.permutation(64)[: int(rng.choice([3, 64, 64]))] for page in rng.permutation(24)]
    return np.concatenate(pages)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", [within_pages, partly])
def test_up_or_down_as_its_naive_twin(order: Callable[[int, int], Any] | Callable[[int], Any], seed: int) -> None:
    """Loads far apart in time: what L2 has at the end is what they, and their neighbours where the instruction has
    filled the page before, are."""
    lines = within_pages(16, seed) if order is within_pages else partly(seed)
    done = walk(lines, prefetch__streamer=False, prefetch__up_down=True)
    have: set[int] = set()
    learnt = naive.Regions()
    for line in lines.tolist():
        learnt.load(0, line * 64)
        have.add(line)
        other = naive.up_or_down(line, have) if learnt.fills[0] else None
        have |= {other} if other is not None else set()
    has = spy(done)
    assert {line for line in range(24 * 64) if has(line * 64)} == have


@pytest.mark.parametrize("region", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_up_down_asks_for_nothing_where_loads_are_all_over_the_memory(seed: int, region: bool) -> None:
    """No neighbour of a line is ever wanted: none is fetched."""
    rng = np.random.default_rng(seed)
    lines = rng.permutation(4 * MIB // 64)[:6000]
    up_down = {"prefetch__streamer": False, "prefetch__region": region, "prefetch__up_down": True}
    done, plain = (walk(lines, size=4 * MIB, **keys) for keys in (up_down, {"prefetch__streamer": False}))
    assert done.counter("prefetches") == 0 and done.time == plain.time


@pytest.mark.parametrize("region", [False, True])
def test_up_down_begins_and_ends_with_pages_that_are_filled(region: bool) -> None:
    """Loads all over the memory, then page by page, then all over again. All pages but the first are gone through with
    prefetches; when loads jump about again, the last one's are soon over."""
    rng = np.random.default_rng(4)
    far = 1 << 14  # lines; the pages come before
    jumps = [far + rng.permutation(1 << 14)[k * 2000 : (k + 1) * 2000] for k in range(2)]
    keys = {"prefetch__streamer": False, "prefetch__region": region, "prefetch__up_down": True}
    before, during, after = (
        walk(np.concatenate(parts), size=2 * MIB, **keys).counter("prefetches")
        for parts in ([jumps[0]], [jumps[0], within_pages(40, 5)], [jumps[0], within_pages(40, 5), jumps[1]])
    )
    assert before == 0
    assert 0.3 * 39 * 64 < during < 39 * 64
    assert during <= after <= during + 4, "two neighbours, one after the other by chance, fill a page"


@pytest.mark.parametrize("seed", range(2))
def test_up_down_covers_pages_in_random_order_alone(seed: int) -> None:
    """Without the region prefetcher, too: of a page that is filled as the one before was, the lines that no neighbour
    has brought miss, as many as a naive prefetcher leaves."""
    lines = within_pages(PAGES, seed)
    done = walk(lines, prefetch__streamer=False, prefetch__up_down=True)
    have, missed, fetched = set[int](), 0, 0
    for k, line in enumerate(lines.tolist()):
        missed += line not in have
        have.add(line)
        other = naive.up_or_down(line, have) if k >= 64 else None
        fetched += other is not None
        have |= {other} if other is not None else set()
    assert done.counter("prefetches") == pytest.approx(fetched, rel=0.02)
    assert done.counter("LLC-loads") == pytest.approx(missed + fetched, rel=0.03)


def test_what_l2_has_moves_to_l1_without_a_buffer() -> None:
    """The second lap of a walk that L2 holds and L1 does not: half of the loads hit L1, and no line is fetched."""
    machine = teaching(**{**REGION, "core__prefetch_buffers": 0, **ROOMY, "l1d__size_bytes": 8192, "l1d__ways": 8})
    order = within_pages(64, 3) * 64
    done = simulated(machine, laid(machine, MIB), program(loads(order, True, site=0)))
    assert done.counter("prefetches") == 0 and done.counter("LLC-loads") == 0
    hits = 1 - done.counter("L2-hits") / len(order)
    assert hits == pytest.approx(63 / 128, abs=0.03)
    assert done.mean() == pytest.approx(L1 + (1 - hits) * 4, abs=0.2)
