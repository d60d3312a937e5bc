"""listmap: a walk through a std::list of pointers to std::maps, with a look-up in each map."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from numasim.traces.records import BRANCH
from numasim.workloads.base import Context, workload
from numasim.workloads.flow import Ints, Step
from numasim.workloads.layouts import ORDERS, linked, objects
from numasim.workloads.lookups import LookUps, Table, look_up_code
from numasim.workloads.red_black import FIND, HEADER, NODE, VALUE, Tree
from numasim.workloads.scripts import Script
from numasim.workloads.settings import MAX_ELEMENTS, choice, count, key

LIST_NODE = 24  # _List_node: next, prev, then the pointer to the map at 0x10

# for (auto m : list) s += m->find(key)->second, gcc 12 -O2: the list's next is loaded before the value is added
WALK = {
    "pointer": Step("walk: load the pointer to the map", insns=3, reads={"n": 0}, writes=("m",)),
    "front": Step("list::begin: load _M_next of the head", insns=3, writes=("n",)),
    **FIND,
    "root": FIND["root"]._replace(insns=2, reads={"m": 0}),
    "next": Step("iterator ++: load _M_next", insns=2, reads={"n": 0}, writes=("n",)),
    "more": Step("walk: is it the head?", BRANCH, 2, {"n": 1}),
}


@workload("listmap")
@dataclass(frozen=True)
class ListOfMaps(LookUps):
    """A walk through a std::list of pointers to std::maps, with a look-up by a random key in each map.

    Each thread has a list and maps of its own; shared=yes: all use the same.
    """

    length: int = key(count(), "1000", "items of each map")
    maps: int = key(count(), "1000", "elements of the list, each a pointer to a map of its own")
    order: str = key(choice(*ORDERS), "shuffled", "how the list's elements, and with them the maps, lie in memory")

    def lap_length(self) -> int:
        """A lap is one walk."""
        return self.maps

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The trees' nodes."""
        return self.maps * self.length * (NODE + self.value) * (1 if self.shared else threads)

    def lay_out(self, ctx: Context) -> Table:
        """Regions: `list head`, `list nodes`, `map headers`, `nodes` (of the trees)."""
        n = self.maps
        if n * self.length > MAX_ELEMENTS:
            raise self.error("maps", f"{n * self.length:,} nodes in all", f"at most {MAX_ELEMENTS:,}")
        parts = [
            objects(self.allocator, "std", LIST_NODE, n, ctx.seed),
            objects(self.allocator, "std", HEADER, n, ctx.seed),
        ]
        placed = objects(self.allocator, "std", NODE + self.value, n * self.length, ctx.seed)
        order = linked(self.order, n, 1, ctx.random(0))
        lists, headers = (part.offsets[order] for part in parts)
        inside = linked("shuffled", self.length, 0, ctx.random(1))
        tree = Tree(self.length, placed.offsets.reshape(n, -1)[:, inside].reshape(-1))
        heads = ctx.regions("list head", 24, self.shared)
        list_base = ctx.regions("list nodes", parts[0].total, self.shared)
        header_base = ctx.regions("map headers", parts[1].total, self.shared)
        nodes = ctx.regions("nodes", placed.total, self.shared)

        def look(script: Script, items: Ints, place: int, begun: int) -> Ints:
            at = (begun + np.arange(len(items))) % n
            node = list_base[place] + lists[at]
            script.do("front", heads[place], at == 0)
            script.do("pointer", node + 0x10)
            root = header_base[place] + headers[at] + 0x10
            value = tree.find(script, items, root, nodes[place], order[at] * self.length)
            script.do("next", node)
            script.do("more", 0x1C38, taken=at < n - 1)
            return value

        return Table(look_up_code(WALK, VALUE, self.dependent), look, ("next", "more"))
