"""slice: walks through an array of values, or of pointers to values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numasim.traces.records import COMPUTE, MARK, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload, workload
from numasim.workloads.flow import Code, Ints, Step
from numasim.workloads.layouts import ORDERS, linked, objects
from numasim.workloads.scripts import END, loop, table
from numasim.workloads.settings import ALLOCATORS, choice, count, key, number, yes_no

# for i in 0..n { s += a[i] } and { s += *p[i] }, gcc -O2: the address of an element needs no load, the sum needs the
# sum before
STEPS = {
    "element": Step("slice: load a[i]", writes=("v",)),
    "pointer": Step("slice: load p[i]", writes=("p",)),
    "value": Step("slice: load *p[i]", reads={"p": 0}, writes=("v",)),
    "sum": Step("slice: s +=", COMPUTE, 3, {"v": 0, "s": 0}, ("s",)),
    "end": Step("slice: load a[i]", MARK),
}


@workload("slice")
@dataclass(frozen=True)
class Slice(Workload):
    """Walks through a slice (array) of values, or of pointers to values, from front to back. A walk is an operation.

    Each thread has a slice of its own, as with `list`, which it is to be compared with; shared=yes: all walk one.
    """

    length: int = key(count(), "100000", "elements of a slice")
    of: str = key(choice("values", "pointers"), "values", "the elements are the values, or pointers to them")
    value: int = key(count(1, 4096, "bytes"), "8", "size of a value; its first 8 bytes are read")
    order: str = key(choice(*ORDERS), "sequential", "of=pointers: how the values follow each other in memory")
    churn: float = key(number(0, 100), "1", "replacements a value has seen, for order=churned")
    allocator: str = key(
        choice(*ALLOCATORS), "size_class", "of=pointers: where the values lie; auto is size_class, as in Go"
    )
    shared: bool = key(yes_no(), "no", "all threads walk one slice")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The elements and the values."""
        return self.length * (self.value + 8 * (self.of == "pointers")) * (1 if self.shared else threads)

    def build(self, ctx: Context) -> Program:
        """Regions: `slice`, and `values` for pointers."""
        n, pointers = self.length, self.of == "pointers"
        width = 8 if pointers else self.value
        bases = ctx.regions("slice", n * width, self.shared)
        boxes: Ints | None = None
        if pointers:
            placed = objects(self.allocator, "go", self.value, n, ctx.seed)
            boxes = placed.offsets[linked(self.order, n, self.churn, ctx.random(0))]
            value_bases = ctx.regions("values", placed.total, self.shared)
        read = min(8, self.value)
        code = Code({name: step._replace(size=8 if name == "pointer" else read) for name, step in STEPS.items()})
        body = ["pointer", "value", "sum"] if pointers else ["element", "sum"]

        def thread(place: int) -> ThreadProgram:
            def addresses(first: int, stop: int) -> Ints:
                elements = np.arange(first, stop)[:, None] * width + bases[place]
                values = [table(first, stop, (boxes, value_bases[place]))] if pointers else []
                return np.hstack([elements, *values, np.zeros_like(elements)])

            def lap(number: int) -> Iterator[Records]:
                yield from loop(code, body, n, addresses, (), [END])

            return ThreadProgram(lap, n * (len(body) - 1), True, operations=True)

        return Program([thread(place) for place in range(len(ctx.threads))], code.sites)
