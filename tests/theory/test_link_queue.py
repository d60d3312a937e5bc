"""Does a link queue as an M/D/1 server does? Messages sent straight to it, and loads of a run that cross it."""

import random
from typing import Any

import numpy as np
import pytest

from numasim.engine import links
from numasim.engine import state as st
from numasim.engine.build_memory import links as build_links
from numasim.engine.feed import Length
from numasim.engine.reference import Reference
from numasim.workloads.base import ThreadProgram
from theory import closed_forms as theory
from theory.small_runs import (
    MIB,
    REMOTE,
    Done,
    laid,
    ld,
    loads,
    op_end,
    program,
    records,
    simulated,
    teaching,
    with_curve,
)

DATA, REQUEST = 9, 1  # ns a message occupies the teaching machine's link


def waits(rho: float, messages: int, lanes: int = 1, seed: int = 1) -> tuple[list[int], st.Links]:
    """What Poisson arrivals of lines at one edge wait, in ps, if each of its lanes is busy for a share rho."""
    net = build_links(teaching(links__bridge__count=lanes).topology, 4)
    net = st.mapped(net, lambda a: a.tolist())
    control, rng, now, out = [0] * 8, random.Random(seed), 0.0, []
    for _ in range(messages):
        now += rng.expovariate(rho * lanes / (DATA * 1000))
        start, sent = links.send(net, control, 0, rng.randrange(1 << 26), 1, int(now))
        assert sent == start + DATA * 1000
        out.append(start - int(now))
    return out, net


@pytest.mark.parametrize(("rho", "lanes"), [(0.3, 1), (0.6, 1), (0.8, 1), (0.6, 3)])
def test_poisson_arrivals_wait_as_md1(rho: float, lanes: int) -> None:
    """The mean, and the chance of waiting no longer than 0, s/2, s and 2s. 40 batches give the sampling error."""
    waited, net = waits(rho, 80_000, lanes)
    means = np.array(waited).reshape(40, -1).mean(axis=1) / 1000
    error = 4 * means.std(ddof=1) / 40**0.5
    assert means.mean() == pytest.approx(theory.md1_wait(rho / DATA, DATA), abs=error)
    assert error < 0.15 * means.mean()
    for wait in (0.0, DATA / 2, DATA, 2 * DATA):
        share = (np.array(waited) <= wait * 1000).reshape(40, -1).mean(axis=1)
        expected = theory.md1_wait_below(rho / DATA, DATA, wait)
        assert share.mean() == pytest.approx(expected, abs=4 * share.std(ddof=1) / 40**0.5)
    assert net.messages[:2] == [0, 80_000]
    assert net.busy[0] == 80_000 * DATA * 1000


def test_a_lane_serves_in_order_and_never_two_at_once() -> None:
    net = st.mapped(build_links(teaching(links__bridge__count=3).topology, 4), lambda a: a.tolist())
    rng, now = random.Random(2), 0
    ends: dict[int, int] = {}
    for _ in range(5000):
        now += rng.randrange(4000)
        line, data = rng.randrange(1 << 20), rng.randrange(2)
        start, sent = links.send(net, [0] * 8, 0, line, data, now)
        lane = links.lane_of(net, 0, line)
        assert start == max(now, ends.get(lane, 0)), "it starts as soon as the lane is free, and no sooner"
        assert sent - start == 1000 * (DATA if data else REQUEST)
        ends[lane] = sent
    assert len(ends) == 3


FAST_MEMORY: tuple[list[list[float]], float] = (
    [[0.0, 50.0], [4000.0, 50.0]],
    4000.0,
)  # every read takes 50 ns, and hardly any waits for another
WIDE: dict[str, Any] = {
    "core__fill_buffers": 16,
    "core__rob_entries": 250,
    "tlb__l1_2m_entries": 32,
    "tlb__l1_2m_ways": 32,
}


def readers(count: int, reads: int, operations: bool, seed: int = 3) -> list[ThreadProgram]:
    """Threads that touch all pages of 16 MiB of their own, then read as many lines of it, each once, independently."""
    made = []
    for k in range(count):
        base = k * 16 * MIB
        warm = [ld(base + page * 2 * MIB + 64 * page, dep0=1) for page in range(8)]
        lines = base + 64 * np.random.default_rng([seed, k]).permutation(1 << 18)[:reads]
        rows = [x for line in lines.tolist() for x in (ld(line, site=1), op_end())] if operations else None
        counted = records(rows) if rows else loads(lines, dependent=False, site=1)
        made.append(program(warm, counted, operations=operations))
    return made


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_loads_that_arrive_at_random_wait_for_the_link_as_md1(rho: float) -> None:
    """Four cores, each with operations of one remote load that arrive by themselves: together a Poisson stream, which
    meets the link twice, as requests of 1 ns and as lines of 9 ns. Nothing else of the way there has a queue."""
    machine = with_curve(*FAST_MEMORY, **WIDE)
    each = rho / DATA / 4

    def arrivals(thread: int) -> Any:
        stream = np.random.default_rng([7, thread])
        return lambda n: np.asarray(stream.exponential(1000 / each, n)).astype(np.int64) + 1

    made = readers(4, 50_000, operations=True)
    space = laid(machine, *[16 * MIB] * 4, nodes=(1,))
    done = simulated(machine, space, *made, arrivals=arrivals)
    stack, rate = done.stack(1), done.accesses(1) / done.time
    assert rate == pytest.approx(rho / DATA, rel=0.02)
    expected = theory.md1_wait(rate, DATA) + theory.md1_wait(rate, REQUEST)
    assert stack["link_wait"] == pytest.approx(expected, rel=0.05)
    # all the rest is the unloaded latency, in which 50 ns stand for a closed row
    others = stack.get("memory_wait", 0) + stack.get("fill_wait", 0)
    assert others < 0.01
    assert done.mean(1) - stack["link_wait"] - others == pytest.approx(REMOTE, abs=1e-3)
    # an operation is its load, and now and then, since they retire in order, the rest of the one before
    assert done.raw.op_rows[:, :, 17].sum() == 200_000
    operation = done.raw.op_rows[:, :, :17].sum() / 2e5 / 1000
    assert done.mean(1) <= operation <= done.mean(1) + 0.05
    back = next(use for use in done.raw.links if use.source == "socket1")
    assert back.busy_ps / done.raw.simulated_ps == pytest.approx(rate * DATA, rel=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_a_link_saturates_at_its_capacity(count: int) -> None:
    """64 reads at a time are far more than the link's delay times its bandwidth. Of two lanes one idles now and then,
    since lines are hashed over them."""
    machine = with_curve(*FAST_MEMORY, **WIDE, links__bridge__count=count)
    done = simulated(machine, laid(machine, *[16 * MIB] * 4, nodes=(1,)), *readers(4, 20_000, operations=False))
    gbps = done.raw.node_read_bytes[:, 1].sum() / done.time
    capacity = count * 64 / DATA
    assert capacity * (0.985 if count == 1 else 0.85) <= gbps <= capacity * 1.0001
    back = next(use for use in done.raw.links if use.source == "socket1")
    assert back.bytes == 80_000 * 72
    assert back.busy_ps == 80_000 * DATA * 1000
    assert back.capacity_gbps == 8 * count


def test_messages_to_and_fro_do_not_meet() -> None:
    """Reads from both sides at once: a direction carries one side's lines and the other's requests, 10 ns a read. It
    idles a little: as lines flow in convoys, a side's reads may all be under way in the other direction."""
    machine = with_curve(*FAST_MEMORY, **WIDE)
    made = readers(8, 20_000, operations=False)
    done = simulated(machine, laid(machine, *[16 * MIB] * 8, nodes=(1, 1, 1, 1, 0)), *made)
    for node in (0, 1):
        gbps = done.raw.node_read_bytes[:, node].sum() / done.time
        assert 0.85 * 6.4 <= gbps <= 6.4001
    for use in done.raw.links:
        assert use.busy_ps == 80_000 * (DATA + REQUEST) * 1000


class Watched(Reference):
    """The reference scheduler, with somebody who counts how many fill buffers are taken at every instant."""

    area = 0  # buffers x ps

    def run(self) -> None:
        buffers, last = 4 * self.m.cores, 0
        while self.clock.peek() != float("inf"):
            now = int(self.clock.peek())
            Watched.area += (buffers - sum(self.m.core.fills)) * (now - last)
            last = now
            self.clock.step()


@pytest.mark.parametrize("node", [0, 1])
def test_littles_law_of_the_fill_buffers(node: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken buffers, averaged over time, are the rate of loads times the mean time each holds one: its latency but for
    the wait for it. Three cores, cold, with walks, conflicts in banks and on the link: exact to the picosecond."""
    monkeypatch.setattr("numasim.engine.reference.Reference", Watched)
    monkeypatch.setattr(Watched, "area", 0)
    machine, rng = teaching(), np.random.default_rng(8)
    made = [program(loads(k * 2 * MIB + 64 * rng.permutation(1 << 14)[:700], dependent=False)) for k in range(3)]
    space = laid(machine, *[2 * MIB] * 3, nodes=(node,))
    done: Done = simulated(machine, space, *made, length=Length(0, 0, 1), scheduler="simpy")
    n, time = done.accesses(), done.time
    stay = done.mean() - done.stack()["fill_wait"]
    assert n == 2100 and done.counter("L1-dcache-load-misses") == n
    assert Watched.area / 1000 / time == pytest.approx(n / time * stay, rel=1e-12)
    assert Watched.area / 1000 / time > 3 * 3.5, "they are nearly always all taken"
