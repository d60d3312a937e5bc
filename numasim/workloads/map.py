"""map: look-ups in a hash table: Go's map before and since 1.24, and std::unordered_map."""

from dataclasses import dataclass

from numasim.workloads import go_classic, go_swiss, std_unordered
from numasim.workloads.base import Context, workload
from numasim.workloads.flow import Ints
from numasim.workloads.layouts import objects
from numasim.workloads.lookups import LookUps, Table, look_up_code
from numasim.workloads.scripts import Script
from numasim.workloads.settings import choice, key, size_bytes

GOROUTINE = 512  # the runtime's g of a thread, which holds the stack guard


@workload("map")
@dataclass(frozen=True)
class MapLookUps(LookUps):
    """Look-ups in a hash table of 8-byte keys, each of which is there.

    Each thread has a map of its own, as Go's and C++'s are not safe while one thread writes; shared=yes: all use one.
    """

    layout: str = key(
        choice("go-swiss", "go-classic", "std"), "go-swiss", "Go's map since 1.24 or before, or std::unordered_map"
    )
    pad: int = key(size_bytes(1, 4096), "8", "layout=go-classic: buckets are rounded up to a multiple of it")

    def lay_out(self, ctx: Context) -> Table:
        """Regions: see the layouts."""
        if self.layout != "std" and self.value > 128:
            raise self.error(
                "value", f"{self.value} bytes", "8 to 128 with a Go layout (larger ones are kept outside the map)"
            )
        if self.layout != "std" and self.value % 8:
            raise self.error("value", f"{self.value} bytes", "a multiple of 8 with a Go layout")
        return {"go-classic": self._classic, "go-swiss": self._swiss, "std": self._std}[self.layout](ctx)

    def _classic(self, ctx: Context) -> Table:
        """Regions: `goroutine`, `map header`, `buckets`, and `overflow buckets` that came after the array."""
        table = go_classic.Classic(self.length, self.value, self.pad, ctx.seed)
        extra = objects(self.allocator, "go", table.bucket_bytes, max(1, table.extra), ctx.seed)
        goroutines = ctx.regions("goroutine", GOROUTINE, False)
        headers = ctx.regions("map header", go_classic.HEADER, self.shared)
        buckets = ctx.regions("buckets", table.array * table.bucket_bytes, self.shared)
        extras = ctx.regions("overflow buckets", extra.total, self.shared) if table.extra else buckets
        offsets = extra.offsets[: table.extra]

        def look(script: Script, items: Ints, place: int, begun: int) -> Ints:
            return table.find(script, items, goroutines[place], headers[place], buckets[place], extras[place] + offsets)

        return Table(look_up_code(*table.steps(), self.dependent), look)

    def _swiss(self, ctx: Context) -> Table:
        """Regions: `goroutine`, `map header`, `directory`, `tables`, `groups`."""
        table = go_swiss.Swiss(self.length, self.value, ctx.seed)
        structs = objects(self.allocator, "go", go_swiss.TABLE, table.tables, ctx.seed)
        arrays = objects(self.allocator, "go", (table.mask + 1) * table.group_bytes, table.tables, ctx.seed)
        goroutines = ctx.regions("goroutine", GOROUTINE, False)
        headers = ctx.regions("map header", go_swiss.HEADER, self.shared)
        groups = ctx.regions("groups", arrays.total, self.shared)
        directories = headers if table.small else ctx.regions("directory", 8 * len(table.directory), self.shared)
        tables = headers if table.small else ctx.regions("tables", structs.total, self.shared)

        def look(script: Script, items: Ints, place: int, begun: int) -> Ints:
            at, data = tables[place] + structs.offsets, groups[place] + arrays.offsets
            return table.find(script, items, goroutines[place], headers[place], directories[place], at, data)

        return Table(look_up_code(*table.steps(), self.dependent), look)

    def _std(self, ctx: Context) -> Table:
        """Regions: `map header`, `buckets`, `nodes`."""
        table = std_unordered.Unordered(self.length, ctx.seed)
        placed = objects(self.allocator, "std", std_unordered.NODE + self.value, self.length, ctx.seed)
        headers = ctx.regions("map header", std_unordered.HEADER, self.shared)
        buckets = ctx.regions("buckets", 8 * table.size, self.shared)
        nodes = ctx.regions("nodes", placed.total, self.shared)

        def look(script: Script, items: Ints, place: int, begun: int) -> Ints:
            return table.find(script, items, headers[place], buckets[place], placed.offsets, nodes[place])

        return Table(look_up_code(std_unordered.STEPS, std_unordered.VALUE, self.dependent), look)
