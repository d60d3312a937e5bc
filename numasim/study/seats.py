"""Which thread runs on which CPU, and which memory policy holds: numactl's words made numbers."""

from collections.abc import Sequence
from typing import Any

from numasim.errors import UserError
from numasim.machine import Machine
from numasim.machine.nodes import format_list, parse_cpus, parse_nodes
from numasim.memory import Placement
from numasim.study.scenario import Group


def cpus_of(machine: Machine, group: Group, threads: int, taken: Sequence[int]) -> list[int]:
    """A CPU for each thread: those of --physcpubind in order, else the lowest free ones of --cpunodebind's nodes
    (node 0 unless given), first hardware threads first. Raises UserError."""
    topology = machine.topology
    where = f"group {group.name}"
    if group.physcpubind:
        asked = parse_cpus(group.physcpubind, range(topology.cpus), "--physcpubind")
        if group.cpunodebind:
            nodes = parse_nodes(group.cpunodebind, range(topology.nodes), "--cpunodebind")
            asked = tuple(cpu for cpu in asked if topology.cpu_node(cpu) in nodes)
    else:
        nodes = parse_nodes(group.cpunodebind or "0", range(topology.nodes), "--cpunodebind")
        asked = tuple(
            cpu
            for hardware_thread in range(topology.threads_per_core)
            for node in nodes
            if node < topology.cpu_nodes
            for cpu in topology.node_cpus(node)
            if cpu // topology.cores == hardware_thread
        )
    free = [cpu for cpu in asked if cpu not in taken]
    if len(free) < threads:
        have = f"CPUs {format_list(sorted(free))}" if free else "no CPU"
        raise UserError(
            f"{threads} threads on {have}", where, "a CPU for each thread; see --cpunodebind, --physcpubind"
        )
    return free[:threads]


def placement_of(machine: Machine, item: Any) -> Placement | None:
    """The memory policy of a group or a region's rule, None if it names none. Raises UserError."""
    if not item.placement:
        return None
    if item.placement == "localalloc":
        return Placement()
    option = f"--{item.placement.replace('_', '-')}"
    text, weights = item.nodes, []
    if item.placement == "weighted_interleave" and ":" in text:  # 0:3,1:1
        parts = [part.partition(":") for part in text.split(",")]
        if not all(node.isdigit() and weight.isdigit() for node, _, weight in parts):
            raise UserError(f"{text!r} is no list of weights", option, "NODES, or NODE:WEIGHT,NODE:WEIGHT")
        text, weights = ",".join(node for node, _, _ in parts), [int(weight) for _, _, weight in parts]
    nodes = parse_nodes(text, range(machine.topology.nodes), option)
    return Placement.numactl(option, nodes, weights)
