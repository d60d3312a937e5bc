"""Do chains of additions through registers take a cycle a link, and what they need besides? By hand, on one core.

On the teaching machine a cycle is 1 ns and an instruction issues in each; L1 takes 1 ns, memory 100 or, over the link,
200.
"""

from typing import Any

import numpy as np
import pytest

from numasim.engine.feed import Length
from numasim.memory import AddressSpace
from numasim.traces.records import COMPUTE
from numasim.workloads import Context, make
from theory.core_runs import FAR, HOT, cold, run, times
from theory.small_runs import L1, LOCAL, MIB, REMOTE, Done, Row, laid, ld, op_end, program, row, simulated, teaching


def compute(**fields: int) -> Row:
    """Its address means nothing: here, one where no page is."""
    return row(COMPUTE, 1 << 40, **fields)


# ---- records by hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
@pytest.mark.parametrize("width", [1, 2, 4, 5])
def test_a_chain_takes_a_cycle_a_link(width: int, scheduler: str) -> None:
    """However many issue at once: link k is known when link k - 1 is there, at k."""
    rows = [compute(), *(compute(dep0=1) for _ in range(9))]
    got = times(rows, core__issue_width=width, scheduler=scheduler)
    assert np.allclose(got, [(k, k + 1) for k in range(10)], rtol=1e-12)


@pytest.mark.parametrize(("width", "slot"), [(1, 1.0), (2, 0.5), (4, 0.25)])
def test_links_that_need_nothing_take_their_issue_slots(width: int, slot: float) -> None:
    got = times([compute() for _ in range(8)], core__issue_width=width)
    assert np.allclose(got, [(k * slot, k * slot + 1) for k in range(8)], rtol=1e-12)


@pytest.mark.parametrize("scheduler", ["compiled", "simpy"])
def test_latencies_of_loads_around_it_add_up(scheduler: str) -> None:
    """A load from memory, an addition 3 cycles later, a load over the link 2 cycles after that, one more addition."""
    rows = [ld(cold(0)), compute(dep0=1, lag0=3), ld(cold(1, FAR), dep0=1, lag0=2), compute(dep0=1)]
    added = LOCAL + 3 + 1
    expected = [
        (0, LOCAL), (LOCAL + 3, added), (added + 2, added + 2 + REMOTE), (added + 2 + REMOTE, added + 3 + REMOTE),
    ]  # fmt: skip
    assert times(rows, scheduler=scheduler) == expected


def test_it_waits_for_the_last_value_it_needs() -> None:
    """A (local, 0 to 100), B (remote, 1 to 201), C (hot, 2 to 3), and sums of them with lags."""
    rows = [ld(cold(0)), ld(cold(1, FAR)), ld(HOT)]
    rows += [
        compute(dep0=3, dep1=1, lag0=7, lag1=120),  # A + 7, C + 120: 123
        compute(dep0=1, dep1=4, dep2=3),  # the sum before, at 124; A; B: 201
        ld(HOT, dep0=2, dep1=3, lag0=5, lag1=127),  # the first sum + 5, C + 127: 130
    ]
    assert times(rows)[3:] == [(123, 124), (201, 202), (130, 130 + L1)]


def test_it_touches_nothing() -> None:
    """Between two loads, whose counters, times and caches are what they are without."""
    loads_only, between = (
        run([ld(cold(0)), *more, ld(HOT), ld(cold(2), dep0=2 + len(more))]) for more in ([], [compute()] * 3)
    )
    for event in between.raw.event_names:
        assert between.counter(event) == loads_only.counter(event), event
    assert between.accesses() == loads_only.accesses() == 3
    assert between.raw.node_read_bytes.tolist() == loads_only.raw.node_read_bytes.tolist()
    assert between.time == loads_only.time == 2 * LOCAL, "three more slots are hidden behind the first load"


def test_it_takes_its_place_in_the_window() -> None:
    """Eight additions of four instructions fill a window of 32: the load after them enters when the first retires."""
    rows = [ld(cold(0)), *(compute(insns=4, dep0=1 if k == 0 else 0) for k in range(8)), ld(HOT)]
    got = times(rows, core__rob_entries=32)
    assert got[1] == (LOCAL, LOCAL + 1)
    assert got[8][0] == LOCAL, "with the load, 33 instructions"
    assert got[9][0] == LOCAL + 4


def test_time_of_an_operation_is_its_additions() -> None:
    """Forty links in a row, 4 issuing at once, after a hot load: 1 and 40 cycles, nothing of which is a miss."""
    rows = [ld(HOT), *(compute(dep0=1) for _ in range(40)), op_end()]
    machine = teaching(core__issue_width=4)
    made = program(rows, rows, operations=True)
    done = simulated(machine, laid(machine, 2 * MIB), made, length=Length(2, 0, 1))
    (row_,) = (r for r in done.raw.op_rows.reshape(-1, done.raw.op_rows.shape[-1]) if r[-1])
    assert row_[-1] == 1
    assert row_[:-1].sum() == pytest.approx(41_000, abs=1000)


# ---- slices --------------------------------------------------------------------------------------------------------


def walk(length: int, width: int, **keys: Any) -> Done:
    """The second walk of a slice that lies in L1, on a machine that issues so many."""
    machine = teaching(core__issue_width=width, core__rob_entries=320, l1d__size_bytes=1 << 16, l1d__ways=16)
    space = AddressSpace(machine, 1, pages="2m")
    workload = make("slice", {"length": length, **keys})
    made = workload.build(Context(machine, space, np.random.default_rng(1), [0], [0]))
    done = simulated(machine, space.finish(), *made.threads, length=Length(1, 0, 1))
    assert done.counter("L1-dcache-load-misses") == 0
    assert done.counter("mem-loads") == length * (2 if keys.get("of") == "pointers" else 1)
    return done


@pytest.mark.parametrize(("keys", "insns"), [({}, 4), ({"of": "pointers"}, 5)])
@pytest.mark.parametrize("width", [1, 2, 4, 5, 8])
def test_a_slice_in_l1_takes_a_cycle_an_element_or_its_instructions(
    width: int, keys: dict[str, Any], insns: int
) -> None:
    """The sum needs the sum before: a cycle an element, and no less where more issue than an element has."""
    few, many = walk(500, width, **keys).time, walk(1500, width, **keys).time
    an_element = max(1.0, insns / width)
    assert many - few == pytest.approx(1000 * an_element, rel=1e-9)
    assert 500 * an_element <= few <= 500 * an_element + 2 * L1 + insns


def test_a_sum_that_waits_for_memory_takes_no_longer() -> None:
    """An element of 512 bytes in each line far apart: twelve buffers' worth of lines at once, as without a sum."""
    machine = teaching(core__issue_width=4, core__rob_entries=320)
    where = laid(machine, 2 * MIB)
    lines = np.random.default_rng(2).permutation(2 * MIB // 512)[:600] * 512
    alone = [ld(int(at), insns=4, site=0) for at in lines]
    summed = [r for at in lines for r in (ld(int(at), site=0), compute(insns=3, dep0=1, dep1=2, site=0))]
    without, with_sum = (simulated(machine, where, program([ld(HOT)], rows)).time for rows in (alone, summed))
    assert with_sum == pytest.approx(without, rel=0.01)
    assert without > 600 * LOCAL / 4
