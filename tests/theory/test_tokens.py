"""Do threads keep the order their trace prescribes: nobody passes an await before its token has been posted?

On the teaching machine: a cold local load takes 100 ns, one from the other node 200; a cycle is a nanosecond.
"""

from pathlib import Path

import numpy as np
import pytest

import numasim
from numasim.errors import UserError
from numasim.results.result import Result
from numasim.traces.parquet import Columns, Meta, Writer
from numasim.traces.records import AWAIT, COUNT_OFF, COUNT_ON, LOAD, MARK, POST, STORE
from numasim.workloads.base import ThreadProgram
from theory.small_runs import COLD, LOCAL, MIB, Row, Rows, laid, ld, op_end, pause, program, row, simulated, teaching

WARM, FAR = 0, 1 << 20


def post(token: int) -> Row:
    return row(POST, token)


def wait_for(token: int) -> Row:
    return row(AWAIT, token)


def with_tokens(tokens: int, *laps: Rows, **keys: bool) -> ThreadProgram:
    return program(*laps, **keys)._replace(tokens=tokens)


SCHEDULERS = pytest.mark.parametrize("scheduler", ["compiled", "simpy"])


@SCHEDULERS
def test_an_await_ends_when_all_before_the_post_is_done(scheduler: str) -> None:
    """The poster has three cold loads, each needing the one before, then posts; its next load does not matter."""
    poster = [ld(64 * 100 * (k + 1), dep0=int(k > 0)) for k in range(3)]
    one = with_tokens(1, [*poster, post(0), ld(FAR)])
    other = with_tokens(1, [ld(64), wait_for(0), ld(FAR // 2)])
    done = simulated(teaching(), laid(teaching(), 2 * MIB), one, other, length=COLD, scheduler=scheduler)
    posted = done.ended(3, 0)
    assert posted > 3 * LOCAL, "the third load has ended, whose page walk the first has paid"
    assert done.ended(2, 0) == posted, "the post waits for it"
    assert done.ended(2, 1) == posted and done.known(1, 1) == posted
    assert done.ended(3, 1) < posted, "what is older than the await does not wait"


@SCHEDULERS
def test_an_await_of_what_was_posted_costs_no_time(scheduler: str) -> None:
    one = with_tokens(2, [post(0), post(1), ld(WARM)])
    other = with_tokens(2, [ld(64 * 50), pause(1000), wait_for(1), wait_for(0), ld(64 * 90)])
    plain = with_tokens(2, [ld(64 * 50), pause(1000), pause(0), pause(0), ld(64 * 90)])
    both = [
        simulated(teaching(), laid(teaching(), 2 * MIB), one, p, length=COLD, scheduler=scheduler)
        for p in (other, plain)
    ]
    assert both[0].known(1, 1) == both[1].known(1, 1)


@SCHEDULERS
def test_tokens_repeat_each_lap(scheduler: str) -> None:
    """The poster pauses longer lap by lap; in every lap the other goes on only after that lap's post."""
    laps, pauses = 4, [100, 200, 300, 400]
    one = with_tokens(1, *([ld(WARM), pause(p), post(0), ld(64)] for p in pauses))
    other = with_tokens(1, [wait_for(0), ld(64 * 200 + 64)])
    length = COLD._replace(laps=laps)
    done = simulated(teaching(), laid(teaching(), 2 * MIB), one, other, length=length, scheduler=scheduler)
    for lap in range(laps):
        posted, went_on = done.ended(4 * (laps - lap) - 2, 0), done.ended(2 * (laps - lap), 1)
        assert went_on == posted > sum(pauses[: lap + 1])


@SCHEDULERS
def test_several_may_await_one_token_and_one_several(scheduler: str) -> None:
    first = with_tokens(2, [pause(500), post(0), ld(WARM)])
    second = with_tokens(2, [pause(900), post(1), ld(64)])
    waiting = [with_tokens(2, [wait_for(0), wait_for(1), ld(128 + 64 * k)]) for k in range(2)]
    space = laid(teaching(), 2 * MIB)
    done = simulated(teaching(), space, first, second, *waiting, length=COLD, scheduler=scheduler)
    for thread in (2, 3):
        assert done.ended(3, thread) == done.ended(2, 0) >= 500
        assert done.ended(2, thread) == done.ended(2, 1) >= 900


@SCHEDULERS
def test_waiting_for_a_token_is_the_operations_lock_wait(scheduler: str) -> None:
    """An operation is an L1 hit, an await, an L1 hit. But for a few cycles all of it is the wait."""
    lap = [ld(64), wait_for(0), ld(64, dep0=0), op_end()]
    other = with_tokens(1, [ld(64), wait_for(0), ld(64)], lap, operations=True)
    one = with_tokens(1, [post(0), ld(WARM)], [pause(5000), post(0), ld(WARM)])
    done = simulated(teaching(), laid(teaching(), 2 * MIB), one, other, scheduler=scheduler)
    row_ = done.raw.op_rows[1].sum(axis=0)
    assert row_[-1] == 1
    waited = row_[13] / 1000
    assert done.ended(3, 1) - done.ended(4, 1) == pytest.approx(waited, abs=0.001)
    assert waited > 4900 and row_[:-1].sum() / 1000 < waited + 20


@SCHEDULERS
def test_a_circle_of_awaits_is_told(scheduler: str) -> None:
    made = [with_tokens(2, [ld(WARM), wait_for(1 - k), post(k)]) for k in range(2)]
    with pytest.raises(UserError, match=r"threads \[0, 1\] wait for each other for ever"):
        simulated(teaching(), laid(teaching(), 2 * MIB), *made, length=COLD, scheduler=scheduler)


def test_a_token_that_is_none_is_told() -> None:
    with pytest.raises(UserError, match="token 5"):
        simulated(teaching(), laid(teaching(), 2 * MIB), with_tokens(2, [ld(WARM), post(5)]), length=COLD)


@SCHEDULERS
def test_many_marks_and_waits_behind_an_open_load(scheduler: str) -> None:
    """More of them than a window holds (256): they wait for the load, and nothing is lost."""
    rows = [ld(64 * 100), *[pause(0)] * 700, ld(64 * 900), *[op_end()] * 700, ld(64)]
    done = simulated(
        teaching(), laid(teaching(), 2 * MIB), program(rows, operations=True), length=COLD, scheduler=scheduler
    )
    assert done.accesses() == 3
    assert done.raw.op_rows[0, :, -1].sum() == 700


# ---- in traces ----


def trace(path: Path, rows: list[tuple[int, int, int]]) -> Path:
    """A trace file of (thread, kind, address)."""
    thread, kind, address = (np.array(column) for column in zip(*rows, strict=True))
    with Writer(path) as writer:
        writer.write(Columns(address, thread, 0, kind.astype(np.uint8)))
        writer.commit(Meta(sites=["a"], threads=[1, 2], dependence="exact"))
    return path


def replayed(path: Path, **words: object) -> Result:
    return numasim.run("teaching-2s", "trace", file=str(path), warmup=0, laps=1, **words)


def handed_over(path: Path, posted: bool) -> Path:
    """Thread 1 writes 200 lines and posts; thread 2 awaits that and reads one of them."""
    lines = [(1, STORE, 64 * k) for k in range(200)]
    token = [(1, POST, 70_000_000_007)] if posted else []
    return trace(path, [*lines, *token, (2, AWAIT, 70_000_000_007), (2, LOAD, 64 * 150)])


def test_a_trace_keeps_its_order(tmp_path: Path) -> None:
    """The reader finds the line modified in the writer's cache, unless nobody makes it wait."""
    ordered = replayed(handed_over(tmp_path / "a", True))
    free = replayed(handed_over(tmp_path / "b", False))
    assert ordered.counters["snoop-hitm"] == 1
    assert free.counters["snoop-hitm"] == 0


def test_laps_of_a_trace_with_tokens_are_as_many_for_each_thread(tmp_path: Path) -> None:
    """Of 300 accesses and more than one lap of 201: two laps, by both, though one thread has 200 of the accesses."""
    path = handed_over(tmp_path / "t", True)
    result = numasim.run("teaching-2s", "trace", file=str(path), warmup=0, accesses=300)
    assert result.counters["mem-stores"] == 400 and result.counters["mem-loads"] == 2


def test_a_post_outside_the_region_of_interest_is_not_awaited(tmp_path: Path) -> None:
    rows = [
        (1, MARK, COUNT_ON), (1, LOAD, 0), (1, MARK, COUNT_OFF), (1, POST, 3), (2, AWAIT, 3), (1, MARK, COUNT_ON),
        (2, AWAIT, 3), (2, LOAD, 64), (1, LOAD, 128), (1, POST, 4), (2, AWAIT, 4), (2, LOAD, 4096),
        (1, MARK, COUNT_OFF),
    ]  # fmt: skip
    result = replayed(trace(tmp_path / "t", rows))
    assert result.access.count == 4


def test_a_token_posted_twice_is_told(tmp_path: Path) -> None:
    path = trace(tmp_path / "t", [(1, LOAD, 0), (1, POST, 9), (1, POST, 9), (2, AWAIT, 9), (2, LOAD, 64)])
    with pytest.raises(UserError, match="token 9 is posted twice"):
        replayed(path)


def test_two_groups_have_tokens_of_their_own(tmp_path: Path) -> None:
    """Both replay the same trace; without the writer of its own group neither reader goes on."""
    path = handed_over(tmp_path / "t.parquet", True)
    scenario = tmp_path / "s.toml"
    groups = "".join(
        f'[[group]]\nname = "{name}"\nworkload = "trace"\nfile = "{path}"\n'
        f'warmup = 0\nlaps = 1\ncpunodebind = "{node}"\n'
        for node, name in enumerate("ab")
    )
    scenario.write_text('machine = "teaching-2s"\n' + groups)
    from numasim.study import scenario as scenarios
    from numasim.study.run import run_scenario

    result = run_scenario(scenarios.load(str(scenario)))
    assert {name: group.counters["snoop-hitm"] for name, group in result.groups.items()} == {"a": 1, "b": 1}
