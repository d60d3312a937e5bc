"""Loads on a wrong path: only what the right one loads later, too, and what is known before the branch is resolved.

Each program is a load X of memory, a branch that waits for it and is guessed wrong, and later a load Y of memory. Where
the wrong path loads Y, all lasts as long as one load of memory, the new start after the wrong guess, and a cycle an
instruction from there on; else as long as two loads. No further branch is guessed wrong. A branch that waits for memory
is taken for resolved after the time of an L3 hit, 20 ns, in which the machine comes 20 instructions far.
"""

from typing import Any

import numpy as np
import pytest

from numasim.engine.feed import Length
from numasim.machine import Machine
from numasim.traces.records import COMPUTE, MARK, OP_BEGIN
from theory.small_runs import LOCAL, MIB, Row, branch, laid, ld, op_end, pause, program, row, simulated, teaching

X, Y, P = 0, 4096, 8192
PENALTY = 15
WRONG = [ld(X), branch(640, 1, dep0=1)]
GUESSED = branch(650, 0)
ONCE: list[list[Row]] = [  # the wrong path loads Y
    [op_end(), ld(Y)],
    [ld(P), op_end(), ld(Y)],
    [op_end(), ld(P), ld(Y, dep0=1)],
    [op_end(), row(COMPUTE, 0), ld(Y, dep0=1)],
    [op_end(), GUESSED, op_end(), ld(Y)],
    [op_end(), ld(P, insns=5), ld(P, insns=10), ld(Y)],
    [op_end(), row(MARK, OP_BEGIN), ld(Y)],
]
TWICE: list[list[Row]] = [  # not: the paths have not met again, there is another branch, or what Y needs is not there
    [ld(Y)],
    [GUESSED, ld(Y)],
    [op_end(), GUESSED, ld(Y)],
    [op_end(), ld(Y, dep0=3)],
    [op_end(), ld(P, dep0=3), ld(Y, dep0=1)],
    [op_end(), pause(0), ld(Y)],
    [op_end(), ld(P, insns=10), ld(P, insns=15), ld(Y)],
]


def machine(**changes: Any) -> Machine:
    return teaching(
        core__branch_predictor="bimodal", core__mispredict_cycles=PENALTY, **{"core__rob_entries": 256, **changes}
    )


def lasts(rows: list[Row], chunk: int = 1 << 16, arrivals: Any = None, **changes: Any) -> float:
    """ns of the rows, with the line of P in L1."""
    small = machine(**changes)
    laps = program([ld(P), op_end()], [*rows, op_end()], operations=True, chunk=chunk)
    return simulated(small, laid(small, 2 * MIB), laps, length=Length(1, 0, 1), arrivals=arrivals).time


def after(loads: int, rest: list[Row]) -> Any:
    """So many loads of memory one after the other, the new start, and the instructions behind it."""
    insns = sum(one["insns"] for one in rest)
    return pytest.approx(loads * LOCAL + PENALTY + insns, abs=6)


@pytest.mark.parametrize("rest", ONCE)
def test_what_the_right_path_loads_later_is_there_when_it_comes(rest: list[Row]) -> None:
    assert lasts(WRONG + rest) == after(1, rest)


@pytest.mark.parametrize("rest", TWICE)
def test_what_is_not_known_is_not_loaded(rest: list[Row]) -> None:
    assert lasts(WRONG + rest) == after(2, rest)


@pytest.mark.parametrize(("rob", "loads"), [(256, 1), (24, 1), (8, 2)])
def test_a_wrong_path_goes_as_far_as_the_window(rob: int, loads: int) -> None:
    rest = [op_end(), ld(P, insns=10), ld(Y)]
    assert lasts(WRONG + rest, core__rob_entries=rob) == after(loads, rest)


@pytest.mark.parametrize("before", [0, 100, 250, 254, 300, 600])
def test_what_was_done_long_ago_takes_no_place(before: int) -> None:
    """A load of L1 a cycle, so many: all but the last have retired when the branch comes."""
    rest = [op_end(), ld(Y)]
    assert lasts([ld(P)] * before + WRONG + rest) == pytest.approx(before + LOCAL + PENALTY + 2, abs=8)


def test_a_branch_takes_its_own_time_to_enter() -> None:
    """What stands behind it enters after all of its instructions: too late for one that is resolved by then."""
    slow = [ld(X), branch(640, 1, dep0=1, insns=30)]
    assert lasts(slow + ONCE[0]) == after(2, ONCE[0])


@pytest.mark.parametrize(("buffers", "loads"), [(4, 1), (3, 1), (2, 2), (1, 2)])
def test_a_wrong_path_leaves_the_right_one_a_fill_buffer(buffers: int, loads: int) -> None:
    """X has one, Y takes another if that is not the last."""
    assert lasts(WRONG + ONCE[0], core__fill_buffers=buffers) == after(loads, ONCE[0])


def test_a_branch_that_is_resolved_ends_its_wrong_path() -> None:
    """It waits for P, which L1 has: what would start later than that is loaded by the right path alone."""
    late = [op_end(), ld(P, insns=9), ld(Y)]
    quick = [ld(P), branch(640, 1, dep0=1)]
    assert lasts(quick + late) == pytest.approx(PENALTY + 11 + LOCAL, abs=6)


def test_what_has_not_arrived_is_not_begun() -> None:
    """Operations of an open loop: the second arrives when the first is long under way."""

    def arrivals(thread: int) -> Any:
        return lambda n: np.full(n, 50_000)

    closed, opened = lasts(WRONG + ONCE[0]), lasts(WRONG + ONCE[0], arrivals=arrivals)
    assert closed < LOCAL + 50 and opened > 2 * LOCAL


@pytest.mark.parametrize("rest", ONCE + TWICE)
def test_chunks_change_nothing(rest: list[Row]) -> None:
    """A wrong path looks ahead, and the trace comes in pieces."""
    assert lasts(WRONG + rest, chunk=1) == lasts(WRONG + rest)
