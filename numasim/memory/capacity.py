"""How much memory each node has left, and which node comes next when one is full."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from numasim.errors import UserError
from numasim.memory.pages import IntArray, NodeArray


class MemoryLike(Protocol):
    """What is read of a `[memory.NAME]` section."""

    @property
    def nodes(self) -> Sequence[int]:
        """Node numbers that have it."""

    @property
    def size_bytes(self) -> int:
        """Bytes a node."""


class TopologyLike(Protocol):
    """What is read of a topology."""

    def distance(self, node_a: int, node_b: int, /) -> float:
        """SLIT-like distance of node b seen from node a; 10 is local."""


class TlbLike(Protocol):
    """Whether the program's memory is a virtual machine's."""

    @property
    def walk(self) -> str:
        """native or nested."""

    @property
    def host_page(self) -> str:
        """Size of the host's pages behind a guest's memory."""

    @property
    def host_run(self) -> int:
        """How many of its small ones lie side by side behind a larger page of the guest."""


class MachineLike(Protocol):
    """What this package needs of a machine."""

    @property
    def memory(self) -> Mapping[str, MemoryLike]:
        """Kinds of memory by name."""

    @property
    def topology(self) -> TopologyLike:
        """The distances."""

    @property
    def tlb(self) -> TlbLike:
        """How its cores translate."""


class PlacementLike(Protocol):
    """What is read of a `Placement`."""

    @property
    def mode(self) -> str:
        """Its policy."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """The nodes it names."""


def size_text(size_bytes: float) -> str:
    """Bytes for a person: `1.5 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(size_bytes) < 1024:
            return f"{size_bytes:.4g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.4g} TiB"


def nodes_text(nodes: Iterable[int]) -> str:
    """`node 1` or `nodes 0,1`."""
    numbers = [str(node) for node in nodes]
    return ("node " if len(numbers) == 1 else "nodes ") + ",".join(numbers)


class NodeMemory:
    """Free bytes of each node. `nodes`: those with memory, ascending; `size`, `free`: bytes by node."""

    def __init__(self, machine: MachineLike) -> None:
        self._machine = machine
        self.size = {int(node): int(kind.size_bytes) for kind in machine.memory.values() for node in kind.nodes}
        self.nodes = tuple(sorted(self.size))
        self.free = dict(self.size)

    def require(self, nodes: Iterable[int], where: str) -> None:
        """Raises UserError unless every node has memory."""
        missing = [node for node in nodes if node not in self.size]
        if missing:
            raise UserError(f"{nodes_text(missing)} has no memory", where, f"some of {nodes_text(self.nodes)}")

    def nearest_first(self, near: int, among: Iterable[int] | None = None) -> tuple[int, ...]:
        """Nodes with memory by distance from `near`: the kernel's fallback list.

        As in mm/page_alloc.c, find_next_best_node(): nodes numbered below `near` count as 1 further away, so that the
        next ones come first. Its preference for nodes without CPUs and its spreading of ties are left out.
        Raises UserError if the machine has no node `near`.
        """
        nodes = self.nodes if among is None else tuple(among)
        try:
            if near < 0:
                raise IndexError
            away = {node: self._machine.topology.distance(near, node) for node in nodes if node != near}
        except (KeyError, IndexError, ValueError):
            raise UserError(f"no node {near}", "node", f"one of {nodes_text(self.nodes)}") from None
        return tuple(sorted(nodes, key=lambda node: (node != near, away.get(node, 0) + (node < near), node)))

    def spread(
        self, chains: Sequence[tuple[int, ...]], pattern: IntArray, start: int, count: int, page_bytes: int
    ) -> tuple[NodeArray, int]:
        """Takes `count` pages in turn and returns (node of each, how many of them found room).

        Page i belongs to `chains[pattern[(start + i) % len(pattern)]]` and lands on that chain's first node with room.
        Everything between two nodes' filling up is periodic, so this takes a step a node, not a step a page.
        """
        out = np.empty(count, np.int16)
        done = 0
        while done < count:
            landing = [self._first_with_room(chain, page_bytes) for chain in chains]
            if min(landing) < 0:
                break
            turn = np.roll(np.array(landing, np.int16)[pattern], -((start + done) % len(pattern)))
            full_after = [_pages_until_full(turn, node, self.free[node] // page_bytes) for node in set(landing)]
            step = min(count - done, *full_after)
            out[done : done + step] = np.resize(turn, step)
            rounds, rest = divmod(step, len(turn))
            for node in set(landing):
                taken = rounds * np.count_nonzero(turn == node) + np.count_nonzero(turn[:rest] == node)
                self.free[node] -= int(taken) * page_bytes
            done += step
        return out, done

    def _first_with_room(self, chain: tuple[int, ...], page_bytes: int) -> int:
        return next((node for node in chain if self.free[node] >= page_bytes), -1)


def _pages_until_full(turn: NodeArray, node: int, room: int) -> int:
    """Pages of the periodic sequence `turn` until `node` has given `room` pages and is asked for another."""
    places = np.flatnonzero(turn == node)
    if not len(places):
        return 1 << 62
    rounds, rest = divmod(room, len(places))
    return rounds * len(turn) + int(places[rest])


def require_room(machine: MachineLike, size_bytes: int, placement: PlacementLike, elsewhere: bool) -> None:
    """Raises UserError if the nodes of a policy can never hold so much, before anything of it is laid out.

    elsewhere: regions may have other policies, so all nodes count.
    """
    memory = NodeMemory(machine)
    nodes = placement.nodes if placement.mode == "bind" and not elsewhere else memory.nodes
    memory.require(nodes, str(placement))
    size = sum(memory.size[node] for node in nodes)
    if size_bytes > size:
        verb = "has" if len(nodes) == 1 else "have"
        what = f"at least {size_text(size_bytes)} are needed, {nodes_text(nodes)} {verb} {size_text(size)}"
        raise UserError(
            what, str(placement), f"at most {size_text(size)}" + (", or more nodes" * (nodes != memory.nodes))
        )
