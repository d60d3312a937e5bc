"""Page sizes, how they cover a region, and which page-table pages a set of blocks needs.

x86-64, four levels: a page table (PT) maps 2 MiB in 4 KiB pages, a page directory (PD) 1 GiB, a PDPT 512 GiB
(Intel SDM volume 3A, 4.5). A *block* is the 2 MiB of one PD entry: the unit every table of this package counts in.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError

if TYPE_CHECKING:
    from numasim.memory.capacity import MachineLike

IntArray = npt.NDArray[np.int64]
NodeArray = npt.NDArray[np.int16]

PAGE_WORDS = ("4k", "2m", "1g", "thp")
SMALL, HUGE, GIANT = 0, 1, 2
PAGE_SHIFT = (12, 21, 30)
BLOCK_SHIFT = PAGE_SHIFT[HUGE]
BLOCK_BYTES = 1 << BLOCK_SHIFT


class Tables(NamedTuple):
    """Where each level of the page tables has a page (indices of `PageMap.pt` and so on), and the node each wants."""

    pt: IntArray
    pd: IntArray
    pdpt: IntArray
    pt_node: NodeArray
    pd_node: NodeArray
    pdpt_node: NodeArray


def parse_pages(text: str, where: str = "pages") -> str:
    """One of `4k 2m 1g thp`, whatever its case. Raises UserError."""
    word = str(text).lower()
    if word not in PAGE_WORDS:
        raise UserError(f"unknown page size {str(text)!r}", where, " ".join(PAGE_WORDS))
    return word


def host_class(machine: "MachineLike") -> int:
    """Class of the pages that a host has behind the machine's memory; -1 where the machine is no virtual one."""
    return PAGE_WORDS.index(machine.tlb.host_page) if machine.tlb.walk == "nested" else -1


def alignment(pages: str) -> int:
    """Alignment of a region's base in bytes: 1 GiB for `1g`, else one block, so that no block has two owners."""
    return 1 << (PAGE_SHIFT[GIANT] if pages == "1g" else BLOCK_SHIFT)


def page_runs(pages: str, size_bytes: int) -> list[tuple[int, int]]:
    """(page class, number of pages) covering an aligned region of `size_bytes`, in address order.

    `thp`: 2 MiB where an aligned 2 MiB lies wholly in the region, 4 KiB for the rest, as
    Documentation/admin-guide/mm/transhuge.rst has it with `always`.
    """
    if pages == "thp":
        whole, rest = divmod(size_bytes, BLOCK_BYTES)
        both = [(HUGE, whole), (SMALL, -(-rest >> PAGE_SHIFT[SMALL]))]
        return [(page_class, count) for page_class, count in both if count]
    page_class = PAGE_WORDS.index(pages)
    return [(page_class, -(-size_bytes >> PAGE_SHIFT[page_class]))]


def plan_tables(block_class: NodeArray, block_node: NodeArray) -> Tables:
    """Page-table pages for blocks of the given page class (-1: unmapped), each wanting the node of its first block.

    A 2 MiB page needs no PT, a 1 GiB page no PD. `block_node` is the node the tables of a block want.
    """
    mapped = np.flatnonzero(block_class >= SMALL)
    under_pd = mapped[block_class[mapped] <= HUGE]
    pt = mapped[block_class[mapped] == SMALL]
    pd, pd_first = np.unique(under_pd >> 9, return_index=True)
    pdpt, pdpt_first = np.unique(mapped >> 18, return_index=True)
    return Tables(pt, pd, pdpt, block_node[pt], block_node[under_pd[pd_first]], block_node[mapped[pdpt_first]])
