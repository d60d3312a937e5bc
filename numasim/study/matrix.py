"""What Intel MLC's matrices would say of a machine, by simulation: idle latency and bandwidth of node pairs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from numasim.machine import Machine
from numasim.memory import AddressSpace, Placement, Region, host_class
from numasim.results.result import Result
from numasim.study.run import run
from numasim.traces.records import Records
from numasim.workloads.base import ThreadProgram
from numasim.workloads.chase import INSNS

Matrix = npt.NDArray[np.float64]
LINE, SMALL, HUGE, BUFFER = 64, 1 << 12, 1 << 21, 512 << 20
CHASED = 20_000  # loads of a pair: enough to meet some 500 refreshes of a rank as they come
READ, READ_IN_ALL = 6_000, 100_000  # lines a core reads while all get into their stride, and all at least
THREEFOLD = 3  # as many are read in all; of ten times as many the rate is the same within 0.3 %


def idle_latency(machine: Machine, node: int, memory: int, accesses: int = 100_000, **words: Any) -> float:
    """Mean ns of a random chase of one thread of `node` through 512 MiB of `memory` in 2 MiB pages, nothing else going
    on: what MLC's idle latency leaves after it has kept TLB misses mostly away."""
    result = run(
        machine,
        "chase",
        size="512MiB",
        pages="2m",
        warmup=0,
        accesses=accesses,
        cpunodebind=node,
        membind=memory,
        **words,
    )
    return float(_whole(result).access.mean_ns)


def read_bandwidth(machine: Machine, node: int, memory: int, accesses: int = 600_000, **words: Any) -> float:
    """GB/s (1e9 bytes) that all cores of `node` together read from `memory`, each a stream of its own."""
    return float(next(iter(_streams(machine, node, memory, accesses, **words).groups.values())).read_gbps)


def _streams(machine: Machine, node: int, memory: int, accesses: int, **words: Any) -> Result:
    result = run(
        machine,
        "stream",
        threads=_cores(machine, node),
        pages="2m",
        accesses=accesses,
        cpunodebind=node,
        membind=memory,
        **{"warmup": 0, **words},
    )
    return _whole(result)


def latency_matrix(machine: Machine) -> Matrix:
    """idle_latency of every pair: rows nodes with CPUs, columns all nodes. One run a row.

    The same chase, but its pages are touched before, so that few accesses tell what many would, and it stays small
    enough for the TLBs: 512 MiB where the second level reaches that far, else what the first level reaches.
    """
    return np.array([latency_row(machine, node) for node in range(machine.topology.cpu_nodes)])


def bandwidth_matrix(machine: Machine) -> Matrix:
    """read_bandwidth of every pair: rows nodes with CPUs, columns all nodes."""
    topology = machine.topology
    rows = range(topology.cpu_nodes)
    return np.array([[pair_bandwidth(machine, n, m) for m in range(topology.nodes)] for n in rows])


def pair_bandwidth(machine: Machine, node: int, memory: int) -> float:
    """read_bandwidth of one pair, as the matrix has it: buffers of 8 MiB, of a run what comes after its first third.

    While all begin at once their streams hit open rows more often than later: a short run's own rate is 2 to 4 % more.
    """
    few = max(READ * _cores(machine, node), READ_IN_ALL)
    begun, whole = (_read(machine, node, memory, accesses) for accesses in (few, THREEFOLD * few))
    return (whole[0] - begun[0]) / (whole[1] - begun[1])


def _read(machine: Machine, node: int, memory: int, accesses: int) -> tuple[float, float]:
    """Bytes that all cores of a node read, and ns."""
    result = _streams(machine, node, memory, accesses, size="8MiB")
    return next(iter(result.groups.values())).read_gbps * result.simulated_ns, result.simulated_ns


def _cores(machine: Machine, node: int) -> int:
    return len({machine.topology.cpu_core(cpu) for cpu in machine.topology.node_cpus(node)})


def _whole(result: Result) -> Result:
    """Of several runs none goes on after Ctrl-C."""
    if result.partial:
        raise KeyboardInterrupt
    return result


def latency_row(machine: Machine, node: int) -> list[float]:
    """Idle latency from a node to each, in ns: one thread chases through a region on each node, one after the other."""
    from numasim.engine.feed import Length
    from numasim.engine.simulate import Thread, simulate

    topology = machine.topology
    space = AddressSpace(machine, 1, "2m", home_node=node)
    size, page = _chased_bytes(machine), _page_bytes(machine)
    regions = [space.region(f"node {m}", size, placement=Placement("bind", (m,))) for m in range(topology.nodes)]
    program = ThreadProgram(lambda lap: _chase(regions, page), len(regions) * (size // page + CHASED), True)
    thread = Thread(topology.node_cpus(node)[0], 0, program, Length(0, 0, 1))
    raw = simulate(machine, space.finish(), [thread], ["chase"])
    if raw.partial:
        raise KeyboardInterrupt
    mean = []
    for m in range(topology.nodes):  # a call site for each node; 0 is the touching of pages
        rows = sum(raw.access_rows[k] for k, (_, site, _) in enumerate(raw.classes) if site == 1 + m)
        mean.append(float(rows[:, :-1].sum() / rows[:, -1].sum() / 1000))
    return mean


def _chased_bytes(machine: Machine) -> int:
    tlb, page, smallest = machine.tlb, _page_bytes(machine), min(memory.size_bytes for memory in machine.node_memory)
    first = tlb.l1_2m_entries if page == HUGE else tlb.l1_4k_entries
    reach = BUFFER if tlb.l2_entries * page >= BUFFER else first * page
    return max(HUGE, min(reach, BUFFER, smallest // 2) // HUGE * HUGE)


def _page_bytes(machine: Machine) -> int:
    """What a TLB entry of a huge page covers: in a virtual machine no more than a page of its host."""
    return HUGE if host_class(machine) != 0 else SMALL


def _chase(regions: list[Region], page: int) -> Iterator[Records]:
    """Each page touched at its first line, then lines at random, none twice: no cache has them."""
    rng = np.random.default_rng(1)
    for m, region in enumerate(regions):
        pages = np.arange(region.base, region.base + region.size_bytes, page)
        yield Records(pages, insns=INSNS, dep0=1, site=0)
        others = page // LINE - 1
        line = rng.choice(len(pages) * others, CHASED, replace=False)
        yield Records(pages[line // others] + (line % others + 1) * LINE, insns=INSNS, dep0=1, site=1 + m)
