"""Does a node have as many requests under way to others as it has trackers, first come, first served, and no more?"""

from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from numasim.engine import path, reference, trackers
from numasim.engine import state as st
from numasim.engine.simulate import Run
from theory.small_runs import COLD, LOCAL, MIB, REMOTE, Done, laid, ld, loads, program, simulated, with_curve

FAST: tuple[list[list[float]], float] = ([[0.0, 50.0], [4000.0, 50.0]], 4000.0)  # every read takes 50 ns
WIDE: dict[str, Any] = {
    "core__fill_buffers": 16, "core__rob_entries": 250, "tlb__l1_2m_entries": 32, "tlb__l1_2m_ways": 32,
}  # fmt: skip
HELD = REMOTE - 20  # ns from leaving the domain to being back: all but L2, L3 and the mesh both ways


def readers(node: int, cores: int = 4, reads: int = 8000, **changes: Any) -> Done:
    """Cores of node 0 that read as many independent lines as they can of a node, pages known; L3 too small to help."""
    made = []
    for k in range(cores):
        warm = [ld((k * 8 + page) * 2 * MIB + 64 * page, dep0=1) for page in range(8)]
        lines = k * 16 * MIB + 64 * np.random.default_rng([5, k]).permutation(1 << 18)[:reads]
        made.append(program(warm, loads(lines, dependent=False, site=1)))
    machine = with_curve(*FAST, **WIDE, **changes)
    return simulated(machine, laid(machine, *[16 * MIB] * cores, nodes=(node,)), *made)


def gbps(done: Done) -> float:
    return float(done.raw.node_read_bytes.sum()) / done.time


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_bandwidth_is_lines_under_way_over_the_time_there(count: int) -> None:
    """n trackers, L from leaving to coming back: n * 64 / L, whatever the cores could have under way (64 lines)."""
    done = readers(1, fabric__remote_trackers=count)
    assert gbps(done) == pytest.approx(count * 64 / HELD, rel=0.01)
    stack = done.stack(1)
    assert done.mean(1) - stack["fill_wait"] == pytest.approx(64 * HELD / count, rel=0.02), "64 buffers, always taken"
    assert stack["link_wait"] == pytest.approx(64 * HELD / count - REMOTE, rel=0.03)


def test_the_link_is_the_limit_where_trackers_are_many() -> None:
    """25 in 180 ns are more than a line in 9 ns; then their number does not matter, and none is as any number."""
    many, any_number = readers(1, fabric__remote_trackers=40), readers(1)
    assert gbps(many) == pytest.approx(64 / 9, rel=0.01)
    assert gbps(any_number) == pytest.approx(gbps(many), rel=0.002)


def test_as_many_trackers_as_buffers_change_nothing() -> None:
    one, other = readers(1, fabric__remote_trackers=64), readers(1)
    assert one.time == other.time
    assert np.array_equal(one.raw.access_rows, other.raw.access_rows)


def test_requests_of_the_own_node_need_none() -> None:
    one, other = readers(0, fabric__remote_trackers=1), readers(0)
    assert one.time == other.time and one.mean(1) - one.stack(1)["fill_wait"] == pytest.approx(LOCAL, abs=0.01)


def test_each_node_has_its_own() -> None:
    """One core at either node reads the other's memory: each gets what it gets alone."""
    machine = with_curve(*FAST, **WIDE, fabric__remote_trackers=3)
    made = [program([ld(k * 2 * MIB)], loads(k * 2 * MIB + 64 * np.arange(4000), dependent=False)) for k in range(2)]
    done = simulated(machine, laid(machine, 2 * MIB, 2 * MIB, nodes=(1, 0)), *made, cpus=(0, 4))
    assert gbps(done) == pytest.approx(2 * 3 * 64 / HELD, rel=0.02)


def test_page_walks_take_them_too() -> None:
    """A cold load of a page whose tables lie in the other node: each of its steps there has the one tracker for a
    while, and those of two cores take turns."""
    keys: dict[str, Any] = {"fabric__remote_trackers": 1}
    machine, free = with_curve(*FAST, **keys), with_curve(*FAST)

    def took(model: Any) -> float:
        space = laid(model, 2 * MIB, 2 * MIB, pages="4k", nodes=(0,), page_tables=1)
        return simulated(model, space, *[program([ld(k * 2 * MIB)]) for k in range(2)], length=COLD).time

    assert took(machine) >= took(free) + HELD / 2


@pytest.mark.parametrize(("count", "shared"), [(1, False), (3, False), (2, True)])
def test_first_come_first_served(count: int, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests leave a node in the order in which they came to do so; never more than `count` are away; in the end all
    trackers are back. Loads and stores of both nodes, and where they share lines, those that come from caches."""
    came: dict[int, list[int]] = {0: [], 1: []}
    left: dict[int, list[int]] = {0: [], 1: []}
    away = {0: 0, 1: 0}

    def take(m: Any, a: int, now: int) -> bool:
        came[m.core.node[a >> m.core.slot_bits]].append(a)
        return trackers.take_tracker(m, a, now)

    def give(m: Any, a: int, now: int) -> None:
        away[m.core.node[a >> m.core.slot_bits]] -= 1
        trackers.give_tracker(m, a, now)

    def over_link(m: Any, a: int, now: int) -> int:
        node = m.core.node[a >> m.core.slot_bits]
        if m.slot.data[a << st.SLOT_SHIFT] == 0:
            left[node].append(a)
            away[node] += 1
            assert away[node] <= count
        return path.over_link(m, a, now)

    monkeypatch.setattr(reference, "take_tracker", take)
    monkeypatch.setattr(reference, "give_tracker", give)
    monkeypatch.setattr(reference, "over_link", over_link)
    machine = with_curve(*FAST, fabric__remote_trackers=count)
    rng, made = np.random.default_rng(count), []
    for k in range(6):
        base = 0 if shared else k * 2 * MIB
        rows = [
            {**ld(base + 64 * int(rng.integers(0, 300 if shared else 5000))), "kind": int(rng.integers(0, 2))}
            for _ in range(300)
        ]
        made.append(program(rows))
    space = laid(machine, *[2 * MIB] * 6, nodes=(1, 0, 1, 0, 1, 0))
    done = simulated(machine, space, *made, length=COLD, scheduler="simpy", cpus=(0, 4, 1, 5, 2, 6))
    assert left == came and min(len(came[0]), len(came[1])) > 40
    assert away == {0: 0, 1: 0}
    _all_back(done.run, count)


def _all_back(run: Run, count: int) -> None:
    assert np.asarray(run.m.links.trackers).tolist() == [count] * 2
    assert np.asarray(run.m.links.waiting).tolist() == [-1] * 2


def test_takers_and_givers_against_a_plain_queue() -> None:
    """take and give themselves, beside a deque: who has one, who waits, what each has waited."""
    rng, slots = np.random.default_rng(3), 200
    words: Any = ([0] * (slots << st.SLOT_SHIFT) for _ in st.Slot._fields)
    s = st.Slot._make(words)._replace(next=[-1] * slots)
    m = SimpleNamespace(
        slot=s, links=SimpleNamespace(trackers=[4], waiting=[-1]), core=SimpleNamespace(node=[0], slot_bits=20),
        woken=[0] * 300, when=[0] * 300,
    )  # fmt: skip
    has: list[int] = []
    queue: deque[tuple[int, int]] = deque()
    idle, now, waited = list(range(slots)), 0, 0
    for _ in range(3000):
        now += int(rng.integers(0, 5))
        m.woken[0] = 0
        if idle and rng.random() < 0.5:
            a = idle.pop(int(rng.integers(0, len(idle))))
            got = trackers.take_tracker(m, a, now)
            assert got == (len(has) < 4)
            has.append(a) if got else queue.append((a, now))
        elif has:
            a = has.pop(int(rng.integers(0, len(has))))
            trackers.give_tracker(m, a, now)
            idle.append(a)
            if queue:
                b, since = queue.popleft()
                has.append(b)
                waited += now - since
                assert (m.woken[:2], m.when[1]) == ([1, b], now)
        assert m.links.trackers[0] == 4 - len(has)
    assert sum(s.stack[(a << st.SLOT_SHIFT) + st.C_LINK_WAIT] for a in range(slots)) == waited > 0
