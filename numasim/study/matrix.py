"""What Intel MLC's matrices would say of a machine, by simulation: idle latency and bandwidth of node pairs."""

from typing import Any

import numpy as np
import numpy.typing as npt

from numasim.machine import Machine
from numasim.study.run import run

Matrix = npt.NDArray[np.float64]


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
    return float(result.access.mean_ns)


def read_bandwidth(machine: Machine, node: int, memory: int, accesses: int = 600_000, **words: Any) -> float:
    """GB/s (1e9 bytes) that all cores of `node` together read from `memory`, each a stream of its own."""
    cores = len({machine.topology.cpu_core(cpu) for cpu in machine.topology.node_cpus(node)})
    result = run(
        machine,
        "stream",
        threads=cores,
        pages="2m",
        accesses=accesses,
        cpunodebind=node,
        membind=memory,
        **{"warmup": 0, **words},
    )
    return float(next(iter(result.groups.values())).read_gbps)


def latency_matrix(machine: Machine) -> Matrix:
    """idle_latency of every pair: rows nodes with CPUs, columns all nodes."""
    topology = machine.topology
    return np.array(
        [[idle_latency(machine, n, m, 20_000) for m in range(topology.nodes)] for n in range(topology.cpu_nodes)]
    )


def bandwidth_matrix(machine: Machine) -> Matrix:
    """read_bandwidth of every pair: rows nodes with CPUs, columns all nodes."""
    topology = machine.topology
    return np.array(
        [[read_bandwidth(machine, n, m, 200_000) for m in range(topology.nodes)] for n in range(topology.cpu_nodes)]
    )
