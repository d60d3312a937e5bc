"""tree: look-ups in a std::map, the red-black tree of libstdc++."""

from dataclasses import dataclass
from typing import Any

from numasim.workloads.base import Context, workload
from numasim.workloads.flow import Ints
from numasim.workloads.layouts import linked, objects
from numasim.workloads.lookups import LookUps, Table, look_up_code
from numasim.workloads.red_black import FIND, HEADER, NODE, VALUE, Tree
from numasim.workloads.scripts import Script
from numasim.workloads.settings import choice, key


@workload("tree")
@dataclass(frozen=True)
class TreeLookUps(LookUps):
    """Look-ups in a std::map (red-black tree) of 8-byte keys, with the branches of the search.

    Each thread has a tree of its own; shared=yes: all look things up in one.
    """

    order: str = key(
        choice("shuffled", "sequential"), "shuffled", "order in which keys were inserted, so in which nodes lie"
    )

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The nodes."""
        return self.length * (NODE + self.value) * (1 if self.shared else threads)

    def lay_out(self, ctx: Context) -> Table:
        """Regions: `map header`, `nodes`."""
        placed = objects(self.allocator, "std", NODE + self.value, self.length, ctx.seed)
        tree = Tree(self.length, placed.offsets[linked(self.order, self.length, 0, ctx.random(0))])
        headers = ctx.regions("map header", HEADER, self.shared)
        nodes = ctx.regions("nodes", placed.total, self.shared)

        def look(script: Script, items: Ints, place: int, begun: int) -> Ints:
            return tree.find(script, items, headers[place] + 0x10, nodes[place])

        return Table(look_up_code(FIND, VALUE, self.dependent), look)
