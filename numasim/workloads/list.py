"""list: walks through a linked list, as Go's container/list, std::list and others lay it out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numasim.traces.records import Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.flow import Code, Ints
from numasim.workloads.layouts import ORDERS, Objects, linked, objects
from numasim.workloads.list_nodes import BRANCH_ADDRESS, GO, GO_FIELDS, NODES, STD
from numasim.workloads.scripts import END, loop, table
from numasim.workloads.settings import ALLOCATORS, choice, count, key, number, yes_no


@workload("list")
@dataclass(frozen=True)
class List(Workload):
    """Walks through a linked list from front to back, reading every value.

    Each thread has a list of its own (a list is not safe for threads that change it); shared=yes: all walk one.
    """

    length: int = key(count(), "100000", "elements of a list")
    layout: str = key(
        choice(*NODES), "go", "container/list, std::list, std::forward_list, or a packed C struct in an array"
    )
    order: str = key(choice(*ORDERS), "sequential", "how elements follow each other in memory")
    churn: float = key(number(0, 100), "1", "replacements an element has seen, for order=churned")
    value: int = key(count(1, 4096, "bytes"), "8", "size of a value; its first 8 bytes are read")
    boxed: bool = key(
        yes_no(), "yes", "layout=go: the value is an object of its own; no: it fits the interface, as a pointer"
    )
    allocator: str = key(choice(*ALLOCATORS), "auto", "where nodes and values lie; auto: the runtime's own")
    operation: str = key(choice("walk", "next"), "walk", "what is timed as one operation: a walk or a step of it")
    shared: bool = key(yes_no(), "no", "all threads walk one list")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The nodes with their values."""
        return self.length * (NODES[self.layout].bytes + self.value * self.boxed) * (1 if self.shared else threads)

    def build(self, ctx: Context) -> Program:
        """Regions: `list head`, `nodes`, and `values` if boxed."""
        node, go, n = NODES[self.layout], self.layout == "go", self.length
        if node.packed and self.allocator != "auto":
            raise self.error("allocator", f"{self.allocator} with layout=packed", "auto: its nodes are one array")
        size = node.bytes + (0 if go else self.value)
        if node.packed:
            nodes = Objects(np.arange(n) * size, n * size)
        else:
            nodes = objects(self.allocator, self.layout, size, n, ctx.seed)
        boxed = (
            objects(self.allocator, self.layout, self.value, n, ctx.seed, noscan=True) if go and self.boxed else None
        )
        heads = ctx.regions("list head", 56, self.shared)
        node_bases = ctx.regions("nodes", nodes.total, self.shared)
        value_bases = ctx.regions("values", boxed.total, self.shared) if boxed else heads
        order = linked(self.order, n, self.churn, ctx.random(0))
        offsets, boxes = nodes.offsets[order], boxed.offsets[order] if boxed else None
        # the same list for every thread, begun elsewhere: so walks in step do not touch the same places at once
        turns = ctx.random(1).integers(0, n, len(ctx.threads)) * (self.order != "sequential" and not self.shared)
        steps, by_step = GO if go else STD, self.operation == "next"
        code = Code({**steps, "value": steps["value"]._replace(size=min(8, self.value))})
        body = ["type", "data", *(["value"] if boxed else []), "list"] if go else ["value"]
        body += ["next", "branch", *(["end"] if by_step else [])]

        def thread(place: int) -> ThreadProgram:
            base, turn = node_bases[place], int(turns[place])
            at: dict[str, tuple[Ints | None, int]] = {"branch": (None, BRANCH_ADDRESS), "end": (None, END[1])}
            at |= {step: (offsets, base + field) for step, field in GO_FIELDS.items()}
            at |= {"value": (boxes, value_bases[place]) if go else (offsets, base + node.value)}
            at |= {"next": (offsets, base + node.next)}

            def addresses(first: int, stop: int) -> Ints:
                return table(first + turn, stop + turn, *(at[step] for step in body))

            def lap(number: int) -> Iterator[Records]:
                return loop(code, body, n, addresses, [("front", heads[place])], [] if by_step else [END])

            return ThreadProgram(lap, 1 + n * (len(body) - 1 - by_step), True, operations=True)

        return Program([thread(place) for place in range(len(ctx.threads))], code.sites)
