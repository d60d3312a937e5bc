"""Does a core start and end every record when it must, to the picosecond? On the teaching machine, by hand.

A cycle is 1 ns and one instruction issues in each; L1 takes 1 ns, L2 5, L3 20, memory 100 or, over the link, 200.
Every program warms line 0 of the page up first, so that its translation is there.
"""

from typing import Any

import numpy as np
import pytest

from theory.core_runs import FAR, HOT, WARM, cold, run, times
from theory.small_runs import (
    L1,
    L2,
    LOCAL,
    MIB,
    REMOTE,
    atomic,
    branch,
    laid,
    ld,
    loads,
    pause,
    program,
    simulated,
    store,
    teaching,
)

# ---- dependences and issue -----------------------------------------------------------------------------------------


def test_independent_loads_enter_one_a_cycle() -> None:
    assert times([ld(HOT) for _ in range(6)]) == [(k, k + L1) for k in range(6)]


@pytest.mark.parametrize(("width", "slot"), [(1, 1.0), (2, 0.5), (4, 0.25), (5, 0.2)])
def test_issue_width_sets_the_pace(width: int, slot: float) -> None:
    """Records of three instructions each: 3 slots apart."""
    got = times([ld(HOT, insns=3) for _ in range(5)], core__issue_width=width)
    assert np.allclose(got, [(3 * slot * k, 3 * slot * k + L1) for k in range(5)], rtol=1e-12)


def test_a_load_waits_for_the_load_before_and_its_lag() -> None:
    """1 cold load of 100 ns, one that needs it 4 cycles later, one that needs nothing, one that needs the second."""
    got = times([ld(cold(0)), ld(HOT, dep0=1, lag0=4), ld(HOT), ld(HOT, dep0=2)])
    assert got == [(0, LOCAL), (LOCAL + 4, LOCAL + 5), (2, 3), (LOCAL + 5, LOCAL + 6)]


def test_of_several_dependences_the_last_to_come_counts() -> None:
    """A (local, 0 to 100), B (remote, 1 to 201), C (hot, 2 to 3): then records that need some of them with lags."""
    rows = [ld(cold(0)), ld(cold(1, FAR)), ld(HOT)]
    rows += [
        ld(HOT, dep0=3, dep1=2, lag0=7, lag1=0),  # A + 7, B: 201
        ld(HOT, dep0=4, dep1=2, lag0=9, lag1=120),  # A + 9, C + 120: 123
        ld(HOT, dep0=5, dep1=4, dep2=3, lag0=110, lag1=2, lag2=0),  # A + 110, B + 2, C: 210
        ld(HOT, dep0=5, dep1=6, dep2=4, lag0=2, lag1=1, lag2=127),  # B + 2, A + 1, C + 127: 203
    ]
    got = times(rows)
    assert [known for known, _ in got[3:]] == [201, 123, 210, 203]
    assert [end - known for known, end in got[3:]] == [L1] * 4


@pytest.mark.parametrize("dependences", range(4))
def test_both_schedulers_agree_on_any_number_of_dependences(dependences: int) -> None:
    rng = np.random.default_rng(dependences)
    rows = []
    for k in range(60):
        needs = {f"dep{j}": int(rng.integers(0, min(k, 12) + 1)) for j in range(dependences)}
        lags = {f"lag{j}": int(rng.integers(0, 9)) for j in range(dependences)}
        rows.append(ld(int(rng.integers(0, 4000)) * 64, insns=int(rng.integers(1, 5)), **needs, **lags))
    one, other = (times(rows, scheduler=scheduler, core__rob_entries=64) for scheduler in ("compiled", "simpy"))
    assert one == other
    for k, (known, end) in enumerate(one):
        for j in range(dependences):
            back, lag = rows[k][f"dep{j}"], rows[k][f"lag{j}"]
            assert back == 0 or known >= one[k - back][1] + lag
        assert end >= known + L1


def test_a_pause_holds_the_front_end() -> None:
    """The record after a pause of 50 cycles enters 50 cycles later; what was under way goes on."""
    done = run([ld(cold(0)), pause(50), ld(HOT)])
    assert (done.ended(3), done.known(1)) == (LOCAL, 51)


# ---- how much is under way at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fills", [1, 2, 4, 12])
def test_as_many_misses_overlap_as_there_are_fill_buffers(fills: int) -> None:
    """Twelve independent cold loads in banks of their own: in rounds of `fills`, each round 100 ns."""
    rows = [ld(cold(k)) for k in range(12)]
    shape: dict[str, Any] = {"memory__dram__channels": 8, "memory__dram__queue_entries": 48}
    done = run(rows, core__fill_buffers=fills, core__rob_entries=64, **shape)
    rounds = 12 // fills
    assert rounds * LOCAL <= done.time <= rounds * LOCAL + 12 + 30, "issue, and a few waits for a bus or a bank"
    waited = [done.stack(k).get("fill_wait", 0) for k in range(12)]
    assert all(w == 0 for w in waited[:fills]) and all(w > 50 for w in waited[fills:])


@pytest.mark.parametrize(("insns", "window"), [(1, 8), (4, 8), (8, 4), (16, 2), (17, 1), (32, 1)])
def test_the_window_holds_rob_entries_instructions(insns: int, window: int) -> None:
    """32 instructions: with 16 a record, two loads are under way, with 17 one. The next enters when the oldest ends."""
    rows = [ld(cold(k), insns=insns) for k in range(8)]
    got = times(rows, core__fill_buffers=8, core__rob_entries=32)
    for k in range(window, 8):
        assert got[k][0] == max(got[k - window][1], got[k - 1][0] + insns)
    for k in range(1, min(window, 8)):
        assert got[k][0] == got[k - 1][0] + insns


def test_a_record_that_waits_holds_no_buffer_and_stops_nobody() -> None:
    """Four dependent cold loads take one buffer at a time; three independent chains of them run side by side."""
    one = [ld(cold(k), dep0=min(k, 1)) for k in range(4)]
    three = [ld(cold(3 * k + c), dep0=3 if k else 0) for k in range(4) for c in range(3)]
    assert run(one).time == 4 * LOCAL
    assert 4 * LOCAL <= run(three).time <= 4 * LOCAL + 30


def test_records_end_out_of_order_and_leave_in_order() -> None:
    """A hot load behind a cold one ends first, yet both leave the window with the cold one: of 32 instructions, the
    31st may enter, the 34th waits."""
    rows = [ld(cold(0)), *[ld(HOT) for _ in range(40)]]
    got = times(rows)
    assert [known for known, _ in got[:32]] == list(range(32))
    assert got[1][1] == 2
    assert got[32][0] == LOCAL


# ---- stores, atomics, splits, joins --------------------------------------------------------------------------------


@pytest.mark.parametrize("forward", [1, 5, 9])
def test_a_load_of_what_was_just_stored_waits_for_the_stores_data(forward: int) -> None:
    """The store's value needs a cold load: it is there at 101, when the store has executed; then forwarding."""
    rows = [ld(cold(0)), store(HOT, dep0=1), ld(HOT, fwd=1), ld(HOT)]
    _, stored, forwarded, other = times(rows, core__forward_cycles=forward)
    assert (stored, other) == ((LOCAL, LOCAL + 1), (3, 4))
    assert forwarded[1] == max(LOCAL + 1 + forward, 2 + L1)


def test_a_store_is_posted() -> None:
    """A store to a cold line takes the thread a cycle; the thread ends when the line has come."""
    done = run([store(cold(0)), ld(HOT)])
    assert (done.ended(2), done.ended(1)) == (1, 2)
    assert done.latency(0) == LOCAL
    assert done.time == LOCAL


@pytest.mark.parametrize("cycles", [10, 18])
def test_an_atomic_takes_its_load_and_its_own_cycles(cycles: int) -> None:
    done = run([atomic(HOT, dep0=0), atomic(cold(0), dep0=1), ld(HOT, dep0=1)], core__atomic_cycles=cycles)
    assert done.latency(0) == L1 + cycles
    assert done.latency(1) == LOCAL + cycles
    assert done.known(1) == L1 + cycles + LOCAL + cycles
    assert done.counter("mem-stores") == 2
    assert {k: v for k, v in done.stack(0).items() if k != "l1"} == {}


@pytest.mark.parametrize("split", [1, 6])
def test_a_split_access_whose_lines_are_both_in_l1_takes_its_cycles_more(split: int) -> None:
    done = run([ld(60, size=8), ld(56, size=8), store(60, size=8)], warm=[*WARM, ld(64)], core__split_cycles=split)
    assert done.latency(0) == L1 + split
    assert done.stack(0) == {"l1": L1, "split": split}
    assert done.latency(1) == L1
    assert done.counter("split-accesses") == 2


@pytest.mark.parametrize(("first", "second"), [("l1", "l2"), ("l1", "memory"), ("memory", "l1"), ("memory", "memory")])
def test_a_split_access_takes_no_less_than_either_line_and_no_more_than_both(first: str, second: str) -> None:
    """L2: a line that seven others of its L1 set have pushed out of there."""
    takes = {"l1": L1, "l2": L2, "memory": LOCAL}
    a, b = 64 * 99, 64 * 100
    warm = list(WARM)
    for where, line in ((first, a), (second, b)):
        if where != "memory":
            warm += [ld(line, dep0=1)]
        if where == "l2":
            warm += [ld(line + 8 * 64 * k, dep0=1) for k in (1, 2)]
    done = run([ld(b - 4, size=8)], warm=warm)
    low, high = sorted((takes[first], takes[second]))
    assert high <= done.latency(0) <= low + high + 1
    assert done.counter("split-accesses") == 1
    assert done.raw.node_read_bytes.sum() == 64 * (first, second).count("memory")


def test_two_loads_of_one_line_under_way_are_one_read() -> None:
    """The second joins the first one's fill, ends with it, and is charged the rest of that way."""
    done = run([ld(cold(0)), ld(cold(0) + 8), ld(cold(0) + 16, insns=30), ld(cold(0), dep0=1), ld(HOT)])
    assert [done.ended(back) for back in (5, 4, 3)] == [LOCAL] * 3
    assert done.latency(3) == L1
    assert (done.latency(1), done.latency(2)) == (LOCAL - 1, LOCAL - 2)
    assert done.counter("fill-buffer-hits") == 2
    assert done.counter("L1-dcache-load-misses") == 1
    assert done.raw.node_read_bytes.sum() == 64
    # the first line's stack: l2 5, then mesh, L3, controller, memory, mesh; of that, the second sees all but 1 ns
    whole, rest = done.stack(0), done.stack(1)
    assert sum(rest.values()) == LOCAL - 1
    assert set(rest) <= set(whole) and all(rest[k] <= whole[k] for k in rest)


def test_a_load_of_a_line_on_its_way_from_l2_waits_for_it() -> None:
    """A line that two others of its set have pushed out of L1 comes back from L2 in 5 ns: to all who want it then. Who
    comes later finds it in L1."""
    line = 64 * 99
    warm = [*WARM, *[ld(line + 64 * 8 * k, dep0=1) for k in range(3)]]
    done = run([ld(line), ld(line + 8), ld(line + 16, insns=3), ld(line + 24), ld(line, dep0=4)], warm=warm)
    assert [done.ended(back) for back in (5, 4, 3)] == [L2] * 3
    assert (done.known(2), done.ended(2)) == (5, 5 + L1)
    assert (done.known(1), done.ended(1)) == (6, 6 + L1)
    assert done.counter("L1-dcache-load-misses") == done.counter("L2-hits") == 1


def test_a_joined_load_holds_no_buffer() -> None:
    """Of two buffers one is for the line that ten loads want; another cold load overlaps with it."""
    rows = [*[ld(cold(0) + 4 * k) for k in range(10)], ld(cold(1))]
    done = run(rows, core__fill_buffers=2)
    assert done.time <= LOCAL + 10 + 20
    assert "fill_wait" not in done.stack(10)


# ---- branches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refill", [10, 17])
def test_a_mispredicted_branch_adds_its_resolution_and_the_refill(refill: int) -> None:
    """A branch that needs a cold load, taken for the first time: the record behind it enters when the load is there,
    the branch has executed, and the front end is filled again. Guessed right it enters in the next cycle."""
    rows = [ld(cold(0)), branch(0x40, 1, dep0=1), ld(HOT)]
    _, resolved, after = times(rows, core__mispredict_cycles=refill)
    assert resolved[0] == LOCAL and resolved[1] == LOCAL + 1
    assert after[0] == LOCAL + 1 + refill
    assert times(rows, core__branch_predictor="perfect")[2][0] == 2
    taught = [ld(HOT), branch(0x40, 1), branch(0x40, 1), ld(HOT), *WARM]
    assert times(rows, warm=taught)[2][0] == 2


def test_the_lag_of_a_branch_counts() -> None:
    rows = [ld(cold(0)), branch(0x40, 1, dep0=1, lag0=6), ld(HOT)]
    assert times(rows)[2][0] == LOCAL + 6 + 1 + 10


@pytest.mark.parametrize(
    ("predictor", "wrong"),
    [("perfect", 0), ("bimodal", 3), ("gshare", None), ("tournament", None), ("tage", None)],
)
def test_mispredictions_of_a_loop_branch(predictor: str, wrong: int | None) -> None:
    """Taken seven times, then not, and again: a two-bit counter misses each exit, and the first two entries; history
    learns the exits in the end."""
    outcomes = ([1] * 7 + [0]) * 3
    rows = [branch(0x40, taken) for taken in outcomes]
    done = run(rows, warm=[*WARM, branch(0x40, 1), branch(0x40, 1)], core__branch_predictor=predictor)
    assert done.counter("branch-instructions") == 24
    if wrong is not None:
        assert done.counter("branch-misses") == wrong
    long = [branch(0x40, taken, site=1) for taken in ([1, 1, 1, 0] * 60)]
    learnt = run(long, warm=[*WARM, *long], core__branch_predictor=predictor, core__predictor_bits=10)
    assert learnt.counter("branch-misses") == {"bimodal": 60}.get(predictor, 0)


def test_misprediction_costs_a_loop_its_refills_exactly() -> None:
    """A loop of a hot load and its branch, 40 times: with a perfect predictor each turn takes two cycles; every wrong
    guess adds the branch's cycle and the refill, less the cycle in which the next record would have entered anyway."""
    outcomes = ([1] * 7 + [0]) * 5
    rows = [row for taken in outcomes for row in (ld(HOT, site=1), branch(0x40, taken, site=2))] + [ld(HOT, site=3)]
    warm = [*WARM, branch(0x40, 1), branch(0x40, 1)]
    right, wrong = (run(rows, warm=warm, core__branch_predictor=kind) for kind in ("perfect", "bimodal"))
    assert right.time == 2 * 40 + L1
    assert wrong.counter("branch-misses") == 5
    assert wrong.time - right.time == 5 * 10


# ---- what a chain costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lag", "insns"), [(0, 1), (3, 1), (0, 5), (2, 3), (0, 9)])
def test_a_hot_chain_takes_latency_and_lag_or_the_issue_of_its_instructions(lag: int, insns: int) -> None:
    """1,000 dependent loads: a link takes L1 + lag cycles, or as long as its instructions need to issue."""
    lap = loads(np.zeros(1000, np.int64), dependent=True, lag0=lag, insns=insns)
    machine = teaching()
    done = simulated(machine, laid(machine, 2 * MIB), program(lap, lap))
    link = max(L1 + lag, insns)
    assert done.time == pytest.approx(1000 * link, abs=link)


def test_a_remote_chain() -> None:
    done = run([ld(cold(k, FAR), dep0=1 if k else 0) for k in range(13)])
    assert done.time == 13 * REMOTE
    assert done.counter("node-load-misses") == 13 and done.counter("node-loads") == 0
