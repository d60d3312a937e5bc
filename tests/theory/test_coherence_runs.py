"""Does a line have one writer or many readers, and does it cost what it must to change that? On the teaching machine.

Barriers put the threads' accesses in order; each access that is looked at has a call site of its own.
"""

import itertools

import numpy as np
import pytest

from agreement.programs import mixed
from numasim.engine import cache
from numasim.engine import state as st
from numasim.engine.feed import Length
from numasim.traces.records import LOCK, UNLOCK, Records
from numasim.workloads.base import ThreadProgram
from theory.small_runs import (
    COLD,
    HIT,
    HITM,
    L1,
    L3,
    LOCAL,
    MIB,
    Done,
    Row,
    atomic,
    barrier,
    laid,
    ld,
    loads,
    program,
    row,
    simulated,
    store,
    teaching,
)

X = 64 * 5
WARM = 64 * 40  # a line that tells a core the page's translation


def in_turns(*steps: tuple[int, Row], cpus: tuple[int, ...] = (0, 1), node: int = 0, **changes: object) -> Done:
    """Each step is one thread's record; a barrier ends each. The k-th step's call site is k."""
    rows: list[list[Row]] = [[ld(WARM, site=200), barrier(0)] for _ in cpus]
    for k, (thread, record) in enumerate(steps):
        rows[thread].append({**record, "site": k})
        for mine in rows:
            mine.append(barrier(k + 1))
    machine = teaching(**changes)
    made = [program(mine, barriers=tuple(range(len(steps) + 1))) for mine in rows]
    return simulated(machine, laid(machine, 2 * MIB, nodes=(node,)), *made, cpus=cpus, length=COLD)


# ---- what a transfer costs -----------------------------------------------------------------------------------------


def test_a_line_written_by_another_core_of_the_socket_is_a_hitm() -> None:
    done = in_turns((0, store(X)), (1, ld(X)), (0, ld(X)), (1, ld(X)))
    assert done.latency(1) == HITM
    assert done.stack(1)["coherence"] == 25
    assert (done.latency(2), done.latency(3)) == (L1, L1), "both keep a copy"
    assert [done.counter("snoop-hitm", step) for step in range(4)] == [0, 1, 0, 0]
    assert [done.counter("snoop-hit", step) for step in range(4)] == [0, 0, 0, 0]


def test_a_line_another_core_has_to_itself_is_a_hit() -> None:
    done = in_turns((0, ld(X)), (1, ld(X)))
    assert done.latency(1) == HIT
    assert (done.counter("snoop-hit", 1), done.counter("snoop-hitm")) == (1, 0)


def test_a_line_shared_in_the_socket_comes_from_its_l3() -> None:
    done = in_turns((0, ld(X)), (1, ld(X)), (2, ld(X)), cpus=(0, 1, 2))
    assert done.latency(2) == L3
    assert done.counter("snoop-hit", 2) == 0


@pytest.mark.parametrize("node", [0, 1])
def test_across_sockets_a_transfer_crosses_the_link_twice(node: int) -> None:
    """L2 5, mesh 5, L3 5; 1 + 40 over, home 10, snoop 20 or 25; 9 + 40 back, mesh 5: wherever the line's home is."""
    clean, dirty = 140, 145
    assert in_turns((0, ld(X)), (1, ld(X)), cpus=(0, 4), node=node).latency(1) == clean
    done = in_turns((0, store(X)), (1, ld(X)), cpus=(0, 4), node=node)
    assert done.latency(1) == dirty
    assert done.stack(1)["link"] == 1 + 40 + 9 + 40
    assert done.raw.node_read_bytes.sum() <= 64 * (2 + 8), "the line itself is read once, by the writer"


def test_what_another_sockets_core_has_evicted_comes_from_its_l3() -> None:
    """The writer reads 300 other lines, which push X out of its L2 into its socket's L3."""
    rows = [store(X), *(ld(64 * k) for k in range(100, 400))]
    done = in_turns(*((0, r) for r in rows[:1]), (0, ld(WARM)), (1, ld(X)), cpus=(0, 4))
    assert done.latency(2) == 145
    pushed = [
        program([ld(WARM), *rows, barrier(0)], barriers=(0,)),
        program([ld(WARM), barrier(0), ld(X, site=250)], barriers=(0,)),
    ]
    done = simulated(teaching(), laid(teaching(), 2 * MIB), *pushed, cpus=(0, 4), length=COLD)
    assert done.latency(250, group=1) == 120, "no core has to be snooped"


# ---- writes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("readers", [1, 2, 3])
def test_a_write_takes_the_line_from_all_its_readers(readers: int) -> None:
    threads = range(1, readers + 1)
    steps = [(0, ld(X)), *((k, ld(X)) for k in threads), (0, store(X)), (0, ld(X)), *((k, ld(X)) for k in threads)]
    done = in_turns(*steps, cpus=tuple(range(readers + 1)))
    write = readers + 1
    assert done.counter("invalidations", write) == done.counter("invalidations") == readers
    assert done.latency(write + 1) == L1
    assert done.latency(write + 2) == HITM
    assert 1 <= done.counter("snoop-hitm") <= readers, "only what nobody has written back is still modified"


def test_a_core_may_write_what_it_alone_has() -> None:
    """Granted exclusively, a line is written without asking anybody."""
    done = in_turns((0, ld(X)), (0, store(X)), (0, store(X)))
    assert (done.latency(1), done.latency(2)) == (L1, L1)
    assert done.counter("invalidations") == 0
    asked = in_turns((0, ld(X)), (1, ld(X)), (0, store(X)), (0, store(X)))
    assert asked.latency(2) > L3 and asked.latency(3) == L1
    assert asked.counter("invalidations") == 1


def test_atomics_of_two_cores_hand_the_line_to_and_fro() -> None:
    """Each of 40 atomics in turns finds the line modified in the other core: 45 ns and its own 10."""
    done = in_turns(*((k % 2, atomic(X)) for k in range(40)))
    for k in range(2, 40):
        assert done.latency(k) == HITM + 10
    assert done.counter("snoop-hitm") == done.counter("invalidations") == 39


def test_false_sharing_costs_what_padding_saves() -> None:
    """Two cores, each adding to a word of its own: in one line they take turns, in two lines neither sees the other."""

    def time(apart: int, cpus: tuple[int, int]) -> float:
        made = [program([ld(WARM)], [atomic(X + apart * k) for _ in range(200)]) for k in range(2)]
        return simulated(teaching(), laid(teaching(), 2 * MIB), *made, cpus=cpus).time

    alone = 200 * (L1 + 10)
    assert alone <= time(64, (0, 1)) <= 1.1 * alone + LOCAL
    assert time(8, (0, 1)) > 3 * alone
    assert time(8, (0, 4)) > 2 * time(8, (0, 1)), "across the link still more"


def test_pages_of_ones_own_cost_nothing_extra() -> None:
    """Two threads on two sockets, each with pages of its own there: all is as if each ran alone."""
    rng = np.random.default_rng(4)
    machine = teaching()
    space = laid(machine, 2 * MIB, 2 * MIB, nodes=(0, 1))
    made = [
        program(Records(k * 2 * MIB + 64 * rng.integers(0, 3000, 2000), rng.choice([0, 0, 1], 2000), dep0=1))
        for k in range(2)
    ]
    both = simulated(machine, space, *made, cpus=(0, 4))
    for k in range(2):
        alone = simulated(machine, space, made[k], cpus=(4 * k,))
        mine = [both.raw.access_rows[c] for c, (g, _, _) in enumerate(both.raw.classes) if g == k]
        assert np.array_equal(sum(mine), alone.raw.access_rows.sum(axis=0))
        assert both.raw.group_time_ps[k] == alone.raw.group_time_ps[0]
    assert both.counter("snoop-hit") == both.counter("snoop-hitm") == both.counter("invalidations") == 0


# ---- locks and barriers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [(0, 1, 2), (0, 4, 1), (0, 8, 1)])
def test_one_thread_at_a_time_holds_a_lock(cpus: tuple[int, ...]) -> None:
    """Three threads, each eight times into a section of one cold load: no two sections overlap, all are served."""
    made = []
    for k in range(3):
        rows = [ld(WARM)]
        for n in range(8):
            section = [row(LOCK, X, site=1), ld(64 * (100 + 17 * (8 * k + n)), site=2, dep0=1), row(UNLOCK, X, site=3)]
            rows += section
        made.append(program(rows))
    machine = teaching(topology__threads_per_core=2)
    done = simulated(machine, laid(machine, 2 * MIB), *made, cpus=cpus, length=COLD)
    sections = []
    for k in range(3):
        for n in range(8):
            back = 3 * (8 - n)
            sections.append((done.ended(back, k), done.known(back - 2, k)))
    sections.sort()
    assert all(begin < end for begin, end in sections)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(sections))
    assert done.counter("mem-stores", 1) == done.counter("mem-stores", 3) == 24
    waited = done.stack(1).get("lock_wait", 0)
    assert waited > LOCAL, "each waits for the two others' sections"


def test_nobody_passes_a_barrier_before_the_last_has_come() -> None:
    """Threads with 1, 3 and 9 cold loads: all go on at once, when the last of these is there."""
    made = []
    for k, n in enumerate((1, 3, 9)):
        rows = [ld(WARM), barrier(0)]
        rows += [ld(64 * (100 + 17 * (20 * k + j)), dep0=int(j > 0)) for j in range(n)]
        made.append(program([*rows, barrier(1), ld(X)], barriers=(0, 1)))
    done = simulated(teaching(), laid(teaching(), 2 * MIB), *made, length=COLD)
    last = max(done.ended(3, k) for k in range(3))
    assert last == done.ended(3, 2)
    assert [done.known(1, k) for k in range(3)] == [last] * 3


# ---- single writer -------------------------------------------------------------------------------------------------


def owners(m: st.Machine) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """By line: cores whose L1 or L2 holds it exclusively or modified, and cores that hold it at all."""
    writers: dict[int, set[int]] = {}
    holders: dict[int, set[int]] = {}
    for c in (m.l1, m.l2):
        for i, entry in enumerate(c.tag.tolist()):
            if entry & cache.VALID:
                core, line = i // c.ways // c.sets, cache.line_of(c, i // c.ways % c.sets, entry >> 3)
                holders.setdefault(line, set()).add(core)
                if entry & cache.EXCLUSIVE:
                    writers.setdefault(line, set()).add(core)
    return writers, holders


@pytest.mark.parametrize("inclusion", ["victim", "inclusive", "non-inclusive"])
@pytest.mark.parametrize("seed", range(6))
def test_a_line_has_one_writer_or_many_readers(inclusion: str, seed: int) -> None:
    """After random programs of loads, stores, atomics, locks and prefetches on shared data nobody holds a line that
    another may write without asking. (Lines of page tables are only read, so each core may think they are its own.)"""
    machine = teaching(
        l3__inclusion=inclusion, topology__threads_per_core=2, prefetch__streamer=seed % 2 == 0,
        core__prefetch_buffers=8, prefetch__next_line=seed % 3 == 0,
    )  # fmt: skip
    size = 1 << 13 if seed < 3 else 1 << 15
    made = [mixed(0, size, 50 * seed + k, 600, synchronised=True, operations=False, chains=k == 3) for k in range(6)]
    space = laid(machine, size, pages="4k", seed=seed)
    done = simulated(machine, space, *made, cpus=(0, 1, 9, 4, 5, 13), length=Length(0, 0, 2))
    data = {int(f) for f in np.asarray(space.frame[: size >> 12])}
    writers, holders = owners(done.run.m)
    found = 0
    for line, mine in writers.items():
        if line >> 6 in data:
            found += 1
            assert len(mine) == 1 and holders[line] == mine, (
                f"line {line:#x}: {mine} may write, {holders[line]} hold it"
            )
    assert found > 10
    assert done.counter("snoop-hitm") > 50 and done.counter("invalidations") > 50


def test_reads_alone_never_take_a_line_away() -> None:
    """Four cores read the same 16 lines over and over: after the first round all hit their L1."""
    lap = loads(np.tile(np.arange(12) * 64, 30), dependent=True)
    made: list[ThreadProgram] = [program(lap) for _ in range(4)]
    done = simulated(teaching(), laid(teaching(), 2 * MIB), *made, cpus=(0, 1, 4, 5))
    assert done.counter("L1-dcache-load-misses") == 0
    assert done.counter("invalidations") == 0
