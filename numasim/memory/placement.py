"""Placement policies: which node each page of a region gets.

The modes are Linux's (set_mempolicy(2), Documentation/admin-guide/mm/numa_memory_policy.rst), spelled as numactl(8)
spells them. Pages are first touched in address order by one thread, whose node is `touch_node`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from numasim.errors import UserError
from numasim.memory.capacity import NodeMemory, nodes_text, size_text
from numasim.memory.pages import PAGE_SHIFT, IntArray, NodeArray

MODES = ("local", "bind", "preferred", "interleave", "weighted")
NUMACTL_WORDS = {
    "localalloc": "local",
    "membind": "bind",
    "preferred": "preferred",
    "preferred-many": "preferred",
    "interleave": "interleave",
    "weighted-interleave": "weighted",
}
_LETTERS = dict(zip("lmpPiw", NUMACTL_WORDS, strict=True))


@dataclass(frozen=True)
class Placement:
    """A memory policy.

    - `local`: the node of the thread that touches the page first; when it is full, the nearest with room.
    - `bind`: only `nodes`, the one nearest to the touching thread first; an error when they are full.
    - `preferred`: the one node, then those nearest to it; with several nodes (`--preferred-many`) these, the nearest to
      the touching thread first, then all others.
    - `interleave`: `nodes` in turn. `weighted`: `weights[i]` pages in a row on the i-th node (1 to 255; 1 each unless
      given), then the next node. In both, a full node's pages go to the node nearest to it.

    Nodes are kept in ascending order, weights with them, as a kernel node mask has them. Raises UserError.
    """

    mode: str = "local"
    nodes: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"unknown placement {self.mode!r}", "placement", " ".join(MODES))
        if bool(self.nodes) == (self.mode == "local"):
            raise UserError(
                f"nodes {list(self.nodes)}", f"placement {self.mode}", "none" if self.nodes else "at least one"
            )
        if len(set(self.nodes)) < len(self.nodes) or any(node < 0 for node in self.nodes):
            raise UserError(f"node list {list(self.nodes)}", str(self), "different node numbers from 0 up")
        weights = self.weights or (1,) * len(self.nodes) * (self.mode == "weighted")
        if len(weights) != len(self.nodes) * (self.mode == "weighted"):
            raise UserError(f"weights {list(weights)}", str(self), "a weight a node, with --weighted-interleave only")
        if any(not 1 <= weight <= 255 for weight in weights):
            raise UserError(f"weights {list(weights)}", str(self), "weights of 1 to 255, as the kernel's")
        order = sorted(range(len(self.nodes)), key=lambda i: self.nodes[i])
        object.__setattr__(self, "weights", tuple(weights[i] for i in order) if weights else ())
        object.__setattr__(self, "nodes", tuple(self.nodes[i] for i in order))

    @classmethod
    def numactl(cls, option: str, nodes: Sequence[int] = (), weights: Sequence[int] = ()) -> "Placement":
        """From numactl's option: `--membind`, `membind` or `-m` and so on, each of its policies. Raises UserError."""
        word = _LETTERS.get(option.lstrip("-"), option.lstrip("-"))
        if word not in NUMACTL_WORDS:
            raise UserError(f"unknown policy option {option!r}", "placement", " ".join(f"--{w}" for w in NUMACTL_WORDS))
        if word == "preferred" and len(nodes) != 1:
            raise UserError(f"{len(nodes)} nodes", "--preferred", "one node")
        return cls(NUMACTL_WORDS[word], tuple(nodes), tuple(weights))

    def __str__(self) -> str:
        """As it would be given to numactl; the weights, which sysfs has there, in brackets."""
        if self.mode == "local" or self.mode not in MODES:
            return "--localalloc" if self.mode == "local" else self.mode
        many = self.mode == "preferred" and len(self.nodes) > 1
        word = "preferred-many" if many else next(w for w, mode in NUMACTL_WORDS.items() if mode == self.mode)
        weights = f" (weights {','.join(map(str, self.weights))})" if self.weights else ""
        return f"--{word}={','.join(map(str, self.nodes))}{weights}"


class Turns(NamedTuple):
    """A policy as the page allocator sees it: page i tries the nodes `chains[pattern[i % len(pattern)]]` in order."""

    chains: list[tuple[int, ...]]
    pattern: IntArray


def turns(placement: Placement, touch_node: int, memory: NodeMemory) -> Turns:
    """The order in which pages try nodes. Raises UserError for a node without memory.

    mm/mempolicy.c: policy_nodemask() for bind and preferred, interleave_nodes() and weighted_interleave_nodes() for the
    task's counter; both interleavings start with the first node of the mask.
    """
    nodes = placement.nodes
    memory.require(nodes, str(placement))
    if placement.mode == "local":
        return Turns([memory.nearest_first(touch_node)], np.zeros(1, np.int64))
    if placement.mode == "bind":
        return Turns([memory.nearest_first(touch_node, nodes)], np.zeros(1, np.int64))
    if placement.mode == "preferred":
        if len(nodes) == 1:
            return Turns([memory.nearest_first(nodes[0])], np.zeros(1, np.int64))
        others = [node for node in memory.nodes if node not in nodes]
        chain = memory.nearest_first(touch_node, nodes) + memory.nearest_first(touch_node, others)
        return Turns([chain], np.zeros(1, np.int64))
    chains = [memory.nearest_first(node) for node in nodes]
    return Turns(chains, np.repeat(np.arange(len(nodes)), placement.weights or 1).astype(np.int64))


class Policy:
    """A placement at work for one task or one region: it remembers how far its interleaving has come."""

    def __init__(self, placement: Placement, memory: NodeMemory) -> None:
        self.placement = placement
        self._memory = memory
        self._pages_given = 0

    def place(self, region: str, page_class: int, count: int, touch_node: int) -> NodeArray:
        """Nodes of the next `count` pages, taken from the nodes' memory. Raises UserError if they do not fit."""
        page_bytes = 1 << PAGE_SHIFT[page_class]
        chains, pattern = turns(self.placement, touch_node, self._memory)
        before = dict(self._memory.free)
        nodes, placed = self._memory.spread(chains, pattern, self._pages_given, count, page_bytes)
        self._pages_given += count
        if placed < count:
            raise self._does_not_fit(region, count * page_bytes, before)
        return nodes

    def tables(self, count: int, touch_node: int) -> NodeArray:
        """Nodes that `count` page-table pages of a region with a policy of its own want; no memory is taken."""
        chains, pattern = turns(self.placement, touch_node, self._memory)
        first = np.array([chain[0] for chain in chains], np.int16)
        return np.resize(first[pattern], count)

    def _does_not_fit(self, region: str, need_bytes: int, free: dict[int, int]) -> UserError:
        bound = self.placement.mode == "bind"
        nodes = self.placement.nodes if bound else self._memory.nodes
        size, left = sum(self._memory.size[node] for node in nodes), sum(free[node] for node in nodes)
        verb = "has" if len(nodes) == 1 else "have"
        return UserError(
            f"region {region!r} needs {size_text(need_bytes)}, {nodes_text(nodes)} {verb} {size_text(size)} "
            f"({size_text(left)} free)",
            str(self.placement),
            f"at most {size_text(left)}" + (", more nodes, or --preferred" if bound else ""),
        )
