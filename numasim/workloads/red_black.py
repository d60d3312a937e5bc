"""libstdc++'s red-black tree (std::map): layout, and the steps of a search."""

from typing import NamedTuple

import numpy as np

from numasim.traces.records import BRANCH
from numasim.workloads.flow import Ints, Step
from numasim.workloads.scripts import Script

HEADER = 48  # sizeof(std::map): comparison, header node, count; the root's pointer lies at 0x10
NODE = 40  # _Rb_tree_node: colour, parent, left 0x10, right 0x18 (32 bytes), then the pair: key 0x20, value 0x28
CODE = 0x1AE9  # where the branches were in the program that was disassembled


def _level(x: str, child: str) -> dict[str, Step]:
    """The steps at a node whose address is in register `x`. The address of the child gone to goes to `child`.

    It goes to `y` too if the child is the last node at which the way goes left. Branches decide it; a step each tells.
    """
    steps = {}
    for fate, writes in ((" unused", ()), ("", (child,)), (" answers", (child, "y"))):
        for side in ("left", "right"):
            steps[f"{side}{fate} {x}"] = Step(f"std::map::find: load {side}", 0, 1, {x: 0}, writes)
    steps[f"key {x}"] = Step("std::map::find: load the node's key", 0, 1, {x: 0}, ("k",))
    steps[f"null {x}"] = Step("std::map::find: no child?", BRANCH, 3, {child: 1})
    return steps


# std::map<u64, u64>::find inlined, gcc 12 -O2. A level reads both children before it compares, and goes on to a null
# pointer even if it meets the key (lower_bound). Levels use the registers x0 and x1 in turn.
FIND = {
    "root": Step("std::map::find: load the root", insns=4, writes=("x0", "y")),
    **_level("x0", "x1"),
    **_level("x1", "x0"),
    "less": Step("std::map::find: key < node's?", BRANCH, 1, {"k": 1, "key": 1}),
    "check": Step("std::map::find: load the answer's key", 0, 3, {"y": 0}, ("k",)),
}
VALUE = Step("std::map::find: load the value", 0, 4, {"y": 0, "k": 2})  # cmovb waits for the check


class Tree(NamedTuple):
    """Nodes by the rank of their keys. size: number of nodes; offsets: of each in its region (of one tree or several).

    It is balanced as a bisection is: a search passes 2 % fewer levels than in a tree of random insertions (measured
    with gcc 12: 19.95, not 20.40 levels for 1e6 nodes, 9.00, not 9.22 for 512).
    """

    size: int
    offsets: Ints

    def find(self, script: Script, rank: Ints, root: Ints | int, nodes: int, first: Ints | int = 0) -> Ints:
        """Writes the steps of finding these ranks, and returns the addresses of their values.

        root: address of the root's pointer. nodes: base of the nodes. first: place in `offsets` of the first node.
        """
        low, high, level = np.zeros_like(rank), np.full_like(rank, self.size), 0
        script.do("root", root)
        middle = high >> 1
        while (active := low < high).any():
            at = self.offsets[first + middle] + nodes
            left = rank <= middle
            low, high = np.where(left, low, middle + 1), np.where(left, middle, high)
            middle = low + high >> 1
            # numbers of the steps: unused, gone to, gone to and the answer; each left, right
            fate = script.code.number[f"left unused x{level % 2}"] + np.array([0, 2, 4], np.uint8)
            goes = np.where((middle == rank) & (low < high), fate[2], fate[1])
            script.do(np.where(left, goes, fate[0]), at + 0x10, active)
            script.do(np.where(left, fate[0], goes) + np.uint8(1), at + 0x18, active)
            script.do(f"key x{level % 2}", at + 0x20, active)
            script.do("less", CODE + 0xE, active, left)
            script.do(f"null x{level % 2}", np.where(left, CODE, CODE + 0x16), active, (low < high) != left)
            level += 1
        answer = self.offsets[first + rank] + nodes
        script.do("check", answer + 0x20)
        return answer + 0x28
