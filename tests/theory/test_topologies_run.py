"""Do simulated messages go the routes a topology says, on more than two sockets, and share the links they share?

The teaching machine with other sockets: a hop takes 40 ns, a request occupies a link for 1 ns and a line for 9; the
home agent at the far end takes 10 ns. So a read over n hops takes 100 + 10 + n x (40 + 1 + 40 + 9) ns.
"""

import itertools
from functools import cache

import numpy as np
import pytest

from numasim.machine import Machine, load
from numasim.workloads.base import ThreadProgram
from theory.small_runs import LOCAL, MIB, laid, ld, loads, program, simulated

HOP, REQUEST, DATA, HOME = 40, 1, 9, 10
LINK_GBPS = 64 / DATA  # what a link carries of lines
CORES = 4  # a socket
RING = [(0, 1), (1, 2), (2, 3), (3, 0)]
CUBE = [(a, a ^ bit) for a in range(8) for bit in (1, 2, 4) if a < a ^ bit]  # 8 sockets without glue, 3 links each
LINKS = {4: RING, 8: CUBE}


WIDE = {  # four cores, 64 reads at a time, ask for more than a link carries over three hops, and the memory gives it
    "topology__cores_per_domain": 8, "core__fill_buffers": 16, "core__rob_entries": 250, "memory__dram__channels": 8,
    "tlb__l1_2m_entries": 32, "tlb__l1_2m_ways": 32,
}  # fmt: skip


@cache
def machine(sockets: int, **changes: object) -> Machine:
    joined: dict[str, object] = {
        "topology.sockets": sockets,
        "links.bridge.pairs": [[f"socket{a}", f"socket{b}"] for a, b in LINKS[sockets]],
        "memory.dram.nodes": list(range(sockets)),
    }
    return load("teaching-2s", set=joined | {key.replace("__", "."): value for key, value in changes.items()})


def distance(sockets: int, a: int, b: int) -> int:
    """Hops by hand: bits that differ on the cube, the shorter way round on the ring."""
    return (a ^ b).bit_count() if sockets == 8 else min((a - b) % 4, (b - a) % 4)


@pytest.mark.parametrize("sockets", [4, 8])
def test_a_remote_chase_takes_its_route_out_and_back(sockets: int) -> None:
    """From a core of each socket to each node: 40 lines that lie in no cache, one after the other."""
    model = machine(sockets)
    far = []
    for here in range(sockets):
        for there in range(sockets):
            hops = distance(sockets, here, there)
            lap = loads(4096 + 64 * 7 * np.arange(40), dependent=True, site=7)
            space = laid(model, 2 * MIB, nodes=(there,))
            done = simulated(model, space, program(loads([0], dependent=True), lap), cpus=[CORES * here])
            expected = LOCAL + (HOME if hops else 0) + hops * (2 * HOP + REQUEST + DATA)
            assert done.mean(7) == pytest.approx(expected), (here, there)
            assert done.stack(7).get("link", 0) == hops * (2 * HOP + REQUEST + DATA)
            far.append(hops)
    assert max(far) == {4: 2, 8: 3}[sockets]


def flows(sockets: int, *ways: tuple[int, int]) -> tuple[list[float], dict[tuple[str, str], float]]:
    """Four cores for each way (socket, node) read lines at random: each flow's GB/s, and how busy each link is."""
    model = machine(sockets, **WIDE)
    cpus: list[int] = []
    made: list[ThreadProgram] = []
    for k, (here, _) in enumerate(ways):
        used = sum(socket == here for socket, _ in ways[:k])
        for core in range(4 * used, 4 * used + 4):
            base = 8 * MIB * len(made)
            lines = base + 64 * np.random.default_rng(len(made)).permutation(1 << 17)[:12_000]
            warm = [ld(base + page * 2 * MIB + 64 * page, dep0=1) for page in range(4)]
            made.append(program(warm, loads(lines, dependent=False)))
            cpus.append(2 * CORES * here + core)
    nodes = tuple(node for _, node in ways for _ in range(4))
    groups = [k for k in range(len(ways)) for _ in range(4)]
    space = laid(model, *[8 * MIB] * len(made), nodes=nodes)
    raw = simulated(model, space, *made, cpus=cpus, groups=groups).raw
    busy = {(use.source, use.target): use.busy_ps / raw.simulated_ps for use in raw.links}
    return [raw.node_read_bytes[k].sum() / raw.group_time_ps[k] * 1000 for k in range(len(ways))], busy


REACHED = ((0.9, 1.01), (0.05, 0.2))  # a line's 9 ns to a request's 1


@pytest.mark.parametrize(("sockets", "route"), [(8, [0, 1, 3]), (4, [0, 1, 2]), (8, [0, 1, 3, 7])])
def test_one_flow_fills_every_link_of_its_way(sockets: int, route: list[int]) -> None:
    """Lines go over each link of the route from the memory to the reader, requests the other way."""
    (gbps,), busy = flows(sockets, (route[0], route[-1]))
    assert 0.97 * LINK_GBPS <= gbps <= 1.0001 * LINK_GBPS
    full, asked = ({pair for pair, share in busy.items() if low < share < high} for low, high in REACHED)
    assert full == {(f"socket{b}", f"socket{a}") for a, b in itertools.pairwise(route)}
    assert asked == {(a, b) for b, a in full}


def test_two_flows_that_share_a_link_share_its_bandwidth() -> None:
    """On the cube: nodes 3 and 5 both lie behind socket 1, whose link to socket 0 gives each a half."""
    one, other = flows(8, (0, 3), (0, 5))[0]
    assert one == pytest.approx(LINK_GBPS / 2, rel=0.05)
    assert other == pytest.approx(LINK_GBPS / 2, rel=0.05)


def test_two_flows_that_share_no_link_do_not_meet() -> None:
    """Nodes 3 and 6 lie behind sockets 1 and 2."""
    for gbps in flows(8, (0, 3), (0, 6))[0]:
        assert gbps == pytest.approx(LINK_GBPS, rel=0.03)


def test_a_diagonal_of_the_ring_shares_the_link_of_its_neighbour() -> None:
    """Socket 0 reads nodes 1 and 2, both over the link from socket 1: together they have what one had."""
    together, busy = flows(4, (0, 1), (0, 2))
    assert sum(together) == pytest.approx(LINK_GBPS, rel=0.2)
    assert min(together) > 0.3 * LINK_GBPS, "messages pass in the order in which they come, so nobody starves"
    assert busy["socket1", "socket0"] > 0.9 > 0.6 > busy["socket2", "socket1"]
