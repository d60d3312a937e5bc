"""Simulated twins: each experiment of a host a second time, as a run of its model.

A twin asks the model what the instrument asked the host: the same pattern, threads and memory. It returns the same
number in the same unit, so a fit compares like with like.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from numasim.calibration.published import Cell, Curve, Floats
from numasim.machine import Machine
from numasim.memory import AddressSpace
from numasim.study import matrix
from numasim.study.run import run
from numasim.traces.records import Records
from numasim.workloads.base import ThreadProgram
from numasim.workloads.chase import INSNS

# MLC switches the prefetchers off while it measures a latency (intel.com/software/mlc)
QUIET = {"next_line": False, "ip_stride": False, "region": False, "up_down": False, "streamer": False}
# shares of the peak at which a curve is simulated; the last is no delay at all
SHARES = (0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.95, 1.0)
C2C = {
    "local_L2_to_L2_HIT": ("hit", "writer"),
    "local_L2_to_L2_HITM": ("hitm", "writer"),
    "remote_HITM_homed_in_writer": ("hitm", "writer"),
    "remote_HITM_homed_in_reader": ("hitm", "reader"),
}


def quiet(machine: Machine) -> Machine:
    """The machine without prefetchers."""
    from msgspec.structs import replace

    other = replace(machine, prefetch=replace(machine.prefetch, **QUIET))
    other.__dict__["topology"] = machine.topology
    return other


class Twins:
    """What a machine shows in each experiment. Matrices are simulated once, as a whole row costs what a cell does."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._idle: dict[int, list[float]] = {}

    def value(self, cell: Cell) -> float:
        """The simulated number of a cell, in the cell's unit."""
        match cell.quantity:
            case "idle":
                return self.idle(*map(int, cell.where))
            case "bandwidth":
                return self.bandwidth(*map(int, cell.where))
            case "c2c":
                return self.core_to_core(*cell.where)
            case "pairs":
                return self.pairs(str(cell.where[0]))
            case "chase":
                return self.chase(int(cell.where[0]))
            case "peak" | "triad":
                return self.peak(*map(int, cell.where))
            case "stream":
                return self.stream(int(cell.where[0]))
        raise AssertionError(f"no twin of {cell.quantity}")

    def idle(self, node: int, memory: int) -> float:
        """Idle latency in ns, as MLC's matrix has it."""
        if node not in self._idle:
            self._idle[node] = matrix.latency_row(quiet(self.machine), node)
        return self._idle[node][memory]

    def bandwidth(self, node: int, memory: int) -> float:
        """GB/s that all cores of a node read from a node's memory."""
        return matrix.pair_bandwidth(self.machine, node, memory)

    def core_to_core(self, kind: str | int, writer: str | int, reader: str | int) -> float:
        """ns of a read that another core's L2 answers. Without nodes: two neighbours of one L3."""
        state, home = C2C[str(kind)]
        if str(kind).startswith("local"):
            cpus = [0, 1]
        else:
            cpus = [self._core(int(writer), 0), self._core(int(reader), 1)]
        words: dict[str, Any] = {
            "state": state,
            "home": home,
            "pages": "2m",
            "laps": 4,
            "physcpubind": f"{cpus[0]},{cpus[1]}",
        }
        return float(run(quiet(self.machine), "c2c", **words).groups["reader"].access.mean_ns)

    def chase(self, mib: int) -> float:
        """Mean ns of a chase through local memory in 2 MiB pages, from word to word at random, caches warm.

        A line has eight words, so it is met again at any time, not once a lap as in a cycle through lines: a cache of
        half the size holds about half.
        """
        return words_chase(self.machine, mib << 20)

    def pairs(self, kind: str) -> float:
        """ns one way of a compare-and-swap ping-pong: the median over some pairs of a class."""
        found = [self._handover(*pair) for pair in self._pairs(kind)]
        return float(np.median(found))

    def peak(self, reads: int, writes: int) -> float:
        """GB/s of all cores at their local memory; each core's lap before it counts fills its caches: 4 MiB, or more
        where its share of the L3 is more."""
        t = self.machine.topology
        words: dict[str, Any] = {
            "threads": t.cores,
            "cpunodebind": "all",
            "size": max(4 << 20, 2 * caches_of_a_core(self.machine)),
            "pages": "2m",
            "warmup": 1,
        }
        asked = {**words, "accesses": 20_000 * t.cores, "ratio": f"{reads}:{writes}"}
        group = next(iter(run(self.machine, "stream", **asked).groups.values()))
        return group.read_gbps + group.write_gbps

    def stream(self, threads: int) -> float:
        """GB/s that the first so many cores read, each from its own node."""
        words: dict[str, Any] = {"size": "8MiB", "pages": "2m", "warmup": 0, "accesses": 20_000 * threads}
        result = run(self.machine, "stream", threads=threads, physcpubind=f"0-{threads - 1}", **words)
        return next(iter(result.groups.values())).read_gbps

    def _core(self, node: int, which: int) -> int:
        return self.machine.topology.node_cpus(node)[which]

    def _handover(self, first: int, second: int) -> float:
        result = run(self.machine, "pingpong", laps=1, physcpubind=f"{first},{second}")
        return float(result.simulated_ns / result.access.count)

    def _pairs(self, kind: str) -> list[tuple[int, int]]:
        """Some pairs of cores of a class, spread over the machine."""
        t = self.machine.topology
        a_socket, a_domain = t.cores // t.sockets, t.cores_per_domain
        if kind == "smt_sibling":
            return [(0, t.cores)]
        if kind == "same_ccx_or_cluster":
            return [(k * a_domain, k * a_domain + a_domain - 1) for k in range(min(3, t.domains))]
        if kind == "cross_socket":
            return [(k, a_socket + (7 * k + 3) % a_socket) for k in range(0, a_socket, max(1, a_socket // 3))]
        others = [(k, (k + a_socket // 2) % a_socket) for k in range(0, a_socket // 2, max(1, a_socket // 6))]
        return [pair for pair in others if t.core_domain[pair[0]] != t.core_domain[pair[1]]] or others


def caches_of_a_core(machine: Machine) -> int:
    """Bytes of a core's L2 and its share of the L3, up to a page: six cores have no whole lines each."""
    share = machine.l2.size_bytes + machine.l3.size_bytes // machine.topology.cores_per_domain
    return -(-share // 4096) * 4096


def words_chase(machine: Machine, size_bytes: int) -> float:
    """Mean ns of 300,000 dependent loads at words drawn at random, after six times as many to warm up."""
    from numasim.engine.feed import Length
    from numasim.engine.simulate import Thread, simulate

    loads = 300_000
    space = AddressSpace(machine, 1, "2m", home_node=0)
    region = space.region("words", size_bytes)

    def lap(number: int) -> Iterator[Records]:
        rng = np.random.Generator(np.random.Philox(key=[1, number]))
        for first in range(0, loads, 50_000):
            word = rng.integers(size_bytes // 8, size=min(50_000, loads - first))
            yield Records(region.base + 8 * word, insns=INSNS, dep0=1)

    thread = Thread(machine.topology.node_cpus(0)[0], 0, ThreadProgram(lap, loads, False), Length(6, 0, 1))
    raw = simulate(machine, space.finish(), [thread], ["chase"])
    rows = raw.access_rows.sum(axis=0)
    return float(rows[:, :-1].sum() / rows[:, -1].sum() / 1000)


class Level(NamedTuple):
    """A point of a simulated curve. gbps: of the sockets that the measured one counts."""

    gbps: float
    ns: float


def loaders(machine: Machine, measured: Curve) -> int:
    """How many threads load memory while another one chases."""
    t = machine.topology
    return t.cores // t.sockets * measured.sockets * measured.threads - 1


def level(machine: Machine, measured: Curve, delay: int, accesses: int, seed: int = 1) -> Level:
    """One thread chases through 128 MiB, all others of the curve's stream from their own nodes, a pause of `delay`
    cycles a line."""
    t = machine.topology
    cores = t.cores // t.sockets * measured.sockets
    bound = [f"{k * t.cores}-{k * t.cores + cores - 1}" for k in range(measured.threads)]
    words: dict[str, Any] = {"threads": cores * measured.threads, "physcpubind": ",".join(bound), "pages": "2m"}
    words |= {"size": "128MiB", "warmup": 0, "delay": delay, "accesses": accesses, "seed": seed}
    groups = run(machine, "loaded", **words).groups
    return Level(sum(g.read_gbps for g in groups.values()), float(groups["chaser"].access.mean_ns))


def pause(machine: Machine, measured: Curve, gbps: float) -> int:
    """Cycles of a pause after each line with which the threads that load read so many GB/s, if they wait for nothing
    else."""
    return round(loaders(machine, measured) * 64 * machine.core.frequency_ghz / gbps)


def injection(machine: Machine, measured: Curve) -> tuple[float, float] | None:
    """(ns of a unit of the instrument's delay, ns beside it) that pass from line to line of a thread that loads, by
    levels at which it waits for nothing else: a straight line with the least squares of relative errors. None if the
    curve tells no delays, or less than three."""
    if measured.delays is None or len(measured.gbps) < 3:
        return None
    load = measured.gbps - 64 / measured.ns  # without the thread that chases
    use = (load > 0) & (measured.delays > 0)
    if len(set(measured.delays[use].tolist())) < 3:
        return None
    between = loaders(machine, measured) * 64 / load[use]
    unit, beside = np.polyfit(measured.delays[use], between, 1, w=1 / between)
    return float(unit), float(beside)


def curve(
    machine: Machine, measured: Curve, shares: tuple[float, ...] = SHARES, accesses: int | None = None
) -> list[Level]:
    """The simulated curve, at about these shares of the measured peak. accesses: of the chaser, a level."""
    found = []
    for share in shares:
        delay = 0 if share >= 1 else pause(machine, measured, share * measured.peak_gbps)
        found.append(level(machine, measured, delay, accesses or (2500 if share > 0.85 else 5000)))
    return found


def measured_at(measured: Curve, gbps: Floats | float) -> Floats:
    """The measured latency at some bandwidths, between its points by straight lines."""
    return np.asarray(np.interp(gbps, measured.gbps, measured.ns))
