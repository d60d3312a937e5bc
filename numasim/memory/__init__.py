"""The memory a program gets: its address space, page sizes, placement on nodes, physical frames, and allocators."""

from numasim.memory.allocators import ALLOCATORS, allocate, check_count
from numasim.memory.pages import PAGE_WORDS, host_class, parse_pages
from numasim.memory.placement import MODES, Placement
from numasim.memory.queries import (
    numa_maps,
    numastat,
    page_owner_nodes,
    pages_per_node,
    table_pages_per_node,
    translate,
)
from numasim.memory.request import Layout
from numasim.memory.space import AddressSpace, PageMap, Region

__all__ = [
    "ALLOCATORS",
    "MODES",
    "PAGE_WORDS",
    "AddressSpace",
    "Layout",
    "PageMap",
    "Placement",
    "Region",
    "allocate",
    "check_count",
    "host_class",
    "numa_maps",
    "numastat",
    "page_owner_nodes",
    "pages_per_node",
    "parse_pages",
    "table_pages_per_node",
    "translate",
]
