"""tree: look-ups in a std::map, the red-black tree of libstdc++."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from numasim.traces.records import BRANCH
from numasim.workloads.base import Context, workload
from numasim.workloads.flow import Ints, Step
from numasim.workloads.layouts import linked, objects
from numasim.workloads.lookups import LookUps, Table, look_up_code
from numasim.workloads.scripts import Script
from numasim.workloads.settings import choice, key

HEADER = 48  # sizeof(std::map): comparison, header node, count; the root's pointer lies at 0x10
NODE = 40  # _Rb_tree_node: colour, parent, left 0x10, right 0x18 (32 bytes), then the pair: key 0x20, value 0x28
CODE = 0x1AE9  # where the branches were in the program that was disassembled

# std::map<u64, u64>::find inlined, gcc 12 -O2. A level reads both children before it compares, and goes on to a null
# pointer even if it meets the key (lower_bound). Registers: x the node, y the last node at which the way went left.
# Which child becomes x, and which x becomes the answer y, is known by the outcome of branches: a step for each.
_CHILD = {
    "left": Step("std::map::find: load left", 0, 1, {"x": 0}),
    "right": Step("std::map::find: load right", 0, 1, {"x": 0}),
}
FIND = {
    "root": Step("std::map::find: load the root", insns=4, writes=("x", "y")),
    **_CHILD,
    **{f"{side} goes": step._replace(writes=("x",)) for side, step in _CHILD.items()},
    **{f"{side} answers": step._replace(writes=("x", "y")) for side, step in _CHILD.items()},
    "key": Step("std::map::find: load the node's key", 0, 1, {"x": 0}, ("k",)),
    "less": Step("std::map::find: key < node's?", BRANCH, 1, {"k": 1, "key": 1}),
    "null": Step("std::map::find: no child?", BRANCH, 3, {"x": 1}),
    "check": Step("std::map::find: load the answer's key", 0, 3, {"y": 0}, ("k",)),
}
VALUE = Step("std::map::find: load the value", 0, 4, {"y": 0, "k": 2})  # cmovb waits for the check


class Tree(NamedTuple):
    """Nodes by the rank of their keys. size: number of nodes; offsets: of each in its region (of one tree or several).

    It is balanced as a bisection is; trees from random insertions are within 1 % of its depth.
    """

    size: int
    offsets: Ints

    def find(self, script: Script, rank: Ints, root: Ints | int, nodes: int, first: Ints | int = 0) -> Ints:
        """Writes the steps of finding these ranks, and returns the addresses of their values.

        root: address of the root's pointer. nodes: of the nodes' region. first: place in `offsets` of the first node.
        """
        low, high = np.zeros_like(rank), np.full_like(rank, self.size)
        number = script.code.number
        script.do("root", root)
        middle = high >> 1
        while (active := low < high).any():
            at = self.offsets[first + middle] + nodes
            left = rank <= middle
            low, high = np.where(left, low, middle + 1), np.where(left, middle, high)
            middle = low + high >> 1
            answers = (middle == rank) & (low < high)
            taken = np.where(answers, np.uint8(number["left answers"]), np.uint8(number["left goes"]))
            script.do(np.where(left, taken, np.uint8(number["left"])), at + 0x10, active)
            script.do(np.where(left, np.uint8(number["right"]), taken + np.uint8(1)), at + 0x18, active)
            script.do("key", at + 0x20, active)
            script.do("less", CODE + 0xE, active, left)
            script.do("null", np.where(left, CODE, CODE + 0x16), active, (low < high) != left)
        answer = self.offsets[first + rank] + nodes
        script.do("check", answer + 0x20)
        return answer + 0x28


@workload("tree")
@dataclass(frozen=True)
class TreeLookUps(LookUps):
    """Look-ups in a std::map (red-black tree) of 8-byte keys, with the branches of the search.

    Each thread has a tree of its own; shared=yes: all look things up in one.
    """

    order: str = key(
        choice("shuffled", "sequential"), "shuffled", "order in which keys were inserted, so in which nodes lie"
    )

    def lay_out(self, ctx: Context) -> Table:
        """Regions: `map header`, `nodes`."""
        placed = objects(self.allocator, "std", NODE + self.value, self.length, ctx.seed)
        tree = Tree(self.length, placed.offsets[linked(self.order, self.length, 0, ctx.random(0))])
        headers = ctx.regions("map header", HEADER, self.shared)
        nodes = ctx.regions("nodes", placed.total, self.shared)

        def look(script: Script, items: Ints, place: int, begun: int) -> Ints:
            return tree.find(script, items, headers[place] + 0x10, nodes[place])

        return Table(look_up_code(FIND, VALUE, self.dependent), look)
