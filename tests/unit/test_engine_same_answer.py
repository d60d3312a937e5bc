"""Does what only makes a run faster leave its answer alone? The fast path of plain chains, chunks, rings, slices."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement.programs import mixed
from numasim.engine import build, feed, packed, simulate
from numasim.engine.feed import Length
from numasim.machine import load
from numasim.traces.records import BRANCH, LOAD, MARK, OP_END, STORE, Records
from numasim.workloads.base import ThreadProgram
from theory.small_runs import MIB, Done, laid, loads, program, simulated, teaching


def walk(lines: int, records: int, seed: int, base: int = 0, **fields: Any) -> Records:
    """A chain round a random cycle of lines."""
    cycle = np.random.default_rng(seed).permutation(lines)
    return loads(base + 64 * np.resize(cycle, records), dependent=True, **fields)


def same(one: Done, other: Done) -> None:
    """Not a number of the results differs. (Classes are numbered as their first records are read.)"""
    a, b = one.raw, other.raw
    assert sorted(a.classes) == sorted(b.classes)
    at = [b.classes.index(key) for key in a.classes]
    for name in ("access_rows", "counters", "access_min_ps", "access_max_ps"):
        assert np.array_equal(getattr(a, name), getattr(b, name)[at]), name
    for name in ("op_rows", "node_read_bytes",
                 "node_write_bytes", "group_time_ps", "link_series", "channel_series"):  # fmt: skip
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert (a.links, a.channels, a.simulated_ps) == (b.links, b.channels, b.simulated_ps)
    assert one.run.m.front.ended.tolist() == other.run.m.front.ended.tolist()


def without_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is flagged as a link of a plain chain any more."""

    def pack(*args: Any) -> Any:
        word0, word1 = packed.pack(*args)
        return word0, word1 & ~np.int64(1 << packed.CHAIN)

    monkeypatch.setattr(feed, "pack", pack)


CHAINS: dict[str, Callable[[], Done]] = {
    "in L1": lambda: _one(walk(12, 3000, 1)),
    "in L1, in laps that are all the same": lambda: _one(walk(12, 300, 1), same=True),
    "with lags": lambda: _one(walk(12, 3000, 1, lag0=np.random.default_rng(2).integers(0, 9, 3000))),
    "with instructions": lambda: _one(walk(12, 3000, 1, insns=np.resize([1, 2, 3], 3000), lag0=3)),
    "in and out of L1 and L2": lambda: _one(walk(100, 3000, 3)),
    "in memory": lambda: _one(walk(4000, 3000, 4)),
    "by page": lambda: _one(loads(np.resize(np.arange(40) * 4096, 3000), dependent=True), pages="4k"),
    "with an IP-stride prefetcher": lambda: _one(_rising(), prefetch__ip_stride=True),
    "with a next-line prefetcher": lambda: _one(_rising(), prefetch__next_line=True),
    "with ticks": lambda: _one(walk(12, 3000, 1), os__tick_hz=100_000.0, os__tick_us=0.5),
    "broken by stores and branches": lambda: _one(_broken()),
    "of four cores": lambda: _four(),
    "on a large machine": lambda: _large(prefetch__streamer=False),
}  # fmt: skip

# Without the fast path, hits are looked up a little ahead of their time, which is right for what a thread has to
# itself. It may miss by a hair where a prefetch comes meanwhile, or another thread of the core.
NEARLY: dict[str, Callable[[], Done]] = {
    "with a streamer": lambda: _one(_rising(), prefetch__streamer=True, core__prefetch_buffers=8),
    "of two threads on a core": lambda: _four(
        cpus=(0, 8, 1, 9), topology__threads_per_core=2, core__issue_width=4
    ),
    "on a large machine": lambda: _large(),
}  # fmt: skip


def _one(lap: Records, pages: str = "2m", same: bool = False, **changes: Any) -> Done:
    machine = teaching(**changes)
    made = program(lap)._replace(same=same)
    return simulated(machine, laid(machine, 2 * MIB, pages=pages), made, length=Length(1, 0, 2))


def _rising() -> Records:
    """Through 72 KB at 24 bytes a step: three loads of a line, or two, of which the later ones hit L1."""
    return loads(np.arange(3000) * 24, dependent=True)


def _large(**changes: Any) -> Done:
    machine = load("icx-8360y-2s", set={key.replace("__", "."): value for key, value in changes.items()})
    made = program(walk(5000, 4000, 5)), program(walk(500, 6000, 6, 4 * MIB, insns=3))
    return simulated(machine, laid(machine, 4 * MIB, 4 * MIB), *made, cpus=(0, 40))


def _broken() -> Records:
    """A chain in which now and then a record is something else, so that it is plain for more than a window or less."""
    rng = np.random.default_rng(7)
    r = walk(200, 4000, 8)
    kind = np.full(4000, LOAD)
    for where in (300, 310, 900, 1300, 1301, 2200, 3999):
        kind[where] = rng.choice([STORE, BRANCH])
    return r._replace(kind=kind, dep0=np.where(np.arange(4000) % 1777 == 1776, 2, 1), taken=1)


def _four(cpus: tuple[int, ...] = (0, 1, 4, 5), **changes: Any) -> Done:
    machine = teaching(**changes)
    made = [program(walk(20 * (k + 1) ** 3, 2500, k, k * 2 * MIB)) for k in range(4)]
    return simulated(machine, laid(machine, *[2 * MIB] * 4, nodes=(0, 1)), *made, cpus=cpus)


@pytest.mark.parametrize("chain", NEARLY)
def test_the_fast_path_hardly_changes_what_is_shared(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = NEARLY[chain]()
    without_chains(monkeypatch)
    slow = NEARLY[chain]()
    assert fast.accesses() == slow.accesses()
    assert fast.time == pytest.approx(slow.time, rel=0.01)
    assert fast.mean() == pytest.approx(slow.mean(), rel=0.01)


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
def test_a_chain_of_hits_waits_for_its_lags_wherever_it_begins(scheduler: str) -> None:
    """Chains of 300 hits with a lag of 3 begin in each lap anew, behind a window that has run ahead: 4 ns a link."""
    lap = loads(np.zeros(300, np.int64), dependent=True, lag0=3)
    machine = teaching()
    space = laid(machine, 2 * MIB)
    done = simulated(machine, space, program(lap), length=Length(1, 0, 5), scheduler=scheduler)
    assert done.time == 5 * 300 * 4 - 3


@pytest.mark.parametrize("chain", CHAINS)
def test_the_fast_path_of_plain_chains_changes_nothing(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = CHAINS[chain]()
    assert any(int(w) >> packed.CHAIN & 1 for w in fast.run.m.word1.tolist()), "there are plain chains in it"
    without_chains(monkeypatch)
    slow = CHAINS[chain]()
    assert not any(int(w) >> packed.CHAIN & 1 for w in slow.run.m.word1.tolist())
    same(fast, slow)


def cut(made: ThreadProgram, size: int) -> ThreadProgram:
    """The same program in chunks of at most so many records."""

    def lap(number: int) -> Any:
        for r in made.lap(number):
            n = len(r.address)
            whole = [np.broadcast_to(np.asarray(column), n) for column in r]
            for first in range(0, n, size):
                yield Records(*(column[first : first + size] for column in whole))

    return made._replace(lap=lap)


def _mixed(size: int | None = None, **kind: Any) -> Done:
    machine = teaching()
    made = [mixed(0, 1 << 15, 30 + k, 800, synchronised=True, operations=True, chains=k == 1) for k in range(3)]
    if size:
        made = [cut(each, size) for each in made]
    space = laid(machine, 1 << 15, pages="4k")
    return simulated(machine, space, *made, cpus=(0, 1, 5), length=Length(1, 0, 2), **kind)


@pytest.mark.parametrize("size", [1, 7, 255, 256, 257])
def test_chunks_may_have_any_size(size: int) -> None:
    same(_mixed(), _mixed(size))


@pytest.mark.parametrize("size", [1, 200, 256, 300])
def test_chunks_of_a_chain_may_have_any_size(size: int) -> None:
    machine = teaching()
    space = laid(machine, 2 * MIB)
    whole, parts = (program(walk(60, 2000, 9), chunk=n) for n in (1 << 16, size))
    same(simulated(machine, space, whole), simulated(machine, space, parts))


@pytest.mark.parametrize("ring", [1024, 4096, 1 << 17])
def test_trace_rings_may_have_any_size(ring: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rings of 1,024 records are fed again and again, also in the middle of operations, locks and chains."""
    before, four = _mixed(), _four()
    monkeypatch.setattr(simulate, "ring_size", lambda threads: ring)
    same(before, _mixed())
    same(four, _four())


@pytest.mark.parametrize("events", [61, 1000])
def test_a_run_may_be_sliced_anywhere(events: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop hands back control after so many events, and goes on where it was."""
    before, four = _mixed(), _four()
    monkeypatch.setattr(simulate, "SLICE", events)
    same(before, _mixed())
    same(four, _four())


def test_adding_a_thread_shifts_nobody_elses_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that idles on another socket, and one more group, change no number of the others."""
    machine = teaching()
    idle = program(loads([8 * MIB], dependent=False))
    made = [program(walk(20 * (k + 1) ** 3, 2500, k, k * 2 * MIB)) for k in range(2)]
    sizes = [2 * MIB] * 5
    two = simulated(machine, laid(machine, *sizes), *made, cpus=(0, 1))
    three = simulated(machine, laid(machine, *sizes), *made, idle, cpus=(0, 1, 6))
    for group in range(2):
        mine, theirs = (
            [d.raw.access_rows[k] for k, (g, _, _) in enumerate(d.raw.classes) if g == group] for d in (two, three)
        )
        assert np.array_equal(mine, theirs)


def test_a_lap_that_is_always_the_same_may_be_packed_once() -> None:
    """Short laps are repeated to a tile and packed once; the run is that of laps packed one by one."""
    machine = teaching()
    lap = Records(np.array([0, 64, 128, 1, 640]), np.array([LOAD, LOAD, STORE, MARK, LOAD]), insns=2, dep0=1)
    assert (lap.address[3], np.asarray(lap.kind)[3]) == (OP_END, MARK)
    for operations in (False, True):
        made = program(lap, operations=operations)
        for length in (Length(1, 0, 500), Length(2, 1001, 0)):
            runs = [
                simulated(machine, laid(machine, 2 * MIB), made._replace(same=flag), length=length)
                for flag in (False, True)
            ]
            same(*runs)
            assert runs[0].counter("mem-loads") + runs[0].counter("mem-stores") == (length.accesses or 2000)


def test_more_call_sites_than_classes_are_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """When numbers for (group, site, region) run out, the last one takes what comes."""
    monkeypatch.setattr(feed, "MAX_CLASSES", 10)
    machine = teaching()
    lap = loads(np.arange(40) * 64, dependent=True, site=np.arange(40))
    done = simulated(machine, laid(machine, 2 * MIB), program(lap))
    assert len(done.raw.classes) == 10
    assert done.accesses() == 40 and done.accesses(9) == 31
    assert build.MAX_CLASSES <= packed.CLASS_MASK
