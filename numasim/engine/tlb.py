"""Address translation: TLBs, paging-structure caches, and where a page walk's entries lie.

Levels of the page table as in the Intel SDM vol. 3, 4.5: 1 PT, 2 PD, 3 PDPT, 4 PML4. A 4 KiB page's entry is at
level 1, a 2 MiB page's at 2, a 1 GiB page's at 3: page class + 1.
"""

from typing import Any

from numasim.engine.cache import hint, known, learn, learn_once, set_of
from numasim.engine.jit import kernel, prefetch, rare


@kernel
def physical(pages: Any, va: int) -> int:
    """The physical line of a virtual address."""
    block = pages.block[va >> 21]
    if block & 3:
        return (block >> 16) << 15 | va >> 6 & 0x7FFF
    return pages.frame[va >> 12] << 6 | va >> 6 & 63


@kernel
def hint_frame(pages: Any, va: int) -> None:
    """Tell the host that the address will be translated."""
    if va >> 21 < pages.blocks and pages.block[va >> 21] & 3 == 0:
        prefetch(pages.frame, va >> 12)


@kernel
def page_index(pages: Any, va: int) -> int:
    """Number of the page in Directory.page: blocks first, then 4 KiB pages."""
    if pages.block[va >> 21] & 3:
        return va >> 21
    return pages.blocks + (va >> 12)


@kernel
def first_cache(tlb: Any, klass: int) -> Any:
    """The L1 DTLB of a page class."""
    return tlb.small if klass == 0 else tlb.large if klass == 1 else tlb.huge


@kernel
def structure_cache(tlb: Any, level: int) -> Any:
    """The paging-structure cache that lets a walk begin at a level."""
    return tlb.pde if level == 1 else tlb.pdpte if level == 2 else tlb.pml4e


@kernel
def first_level(tlb: Any, core: int, klass: int, va: int) -> bool:
    """Does the L1 DTLB know the page of this class?"""
    return known(first_cache(tlb, klass), core, va >> 12 + 9 * klass)


@kernel
def number(tlb: Any, klass: int, va: int) -> int:
    """The page's number in the unified second-level TLB."""
    return va >> 12 + 9 * klass | klass << tlb.kinds


@kernel
def second_level(tlb: Any, core: int, klass: int, va: int) -> bool:
    """Does the unified second-level TLB know the page of this class?"""
    return known(tlb.l2, core, number(tlb, klass, va))


@kernel
def learn_first(tlb: Any, core: int, klass: int, va: int) -> None:
    """The translation enters the L1 DTLB."""
    learn(first_cache(tlb, klass), core, va >> 12 + 9 * klass)


@kernel
def walk_from(tlb: Any, core: int, klass: int, va: int) -> int:
    """The level a walk begins at: below the deepest entry the paging-structure caches hold."""
    level = klass + 1
    while level < 4 and not known(structure_cache(tlb, level), core, va >> 12 + 9 * level):
        level += 1
    return level


@kernel
def entry_line(pages: Any, va: int, level: int) -> int:
    """Physical line of the page-table entry of an address at a level (eight entries a line)."""
    if level == 1:
        return pages.pt[va >> 21] << 6 | (va >> 12 & 511) >> 3
    if level == 2:
        return pages.pd[va >> 30] << 6 | (va >> 21 & 511) >> 3
    if level == 3:
        return pages.pdpt[va >> 39] << 6 | (va >> 30 & 511) >> 3
    return pages.pml4 << 6 | (va >> 39 & 511) >> 3


@rare
def learn_structure(tlb: Any, core: int, va: int, level: int) -> None:
    """A paging-structure cache learns an entry of a level that is no leaf."""
    learn_once(structure_cache(tlb, level - 1), core, va >> 3 + 9 * level)


@kernel
def learn_page(tlb: Any, core: int, klass: int, va: int) -> None:
    """A walk's translation enters both levels, unless another access has brought it meanwhile."""
    learn_once(tlb.l2, core, number(tlb, klass, va))
    learn_once(first_cache(tlb, klass), core, va >> 12 + 9 * klass)


@kernel
def walked(tlb: Any, core: int, klass: int, va: int, level: int) -> int:
    """The entry of a level has arrived: the level to read next, 0 when the page is translated."""
    if level > klass + 1:
        learn_structure(tlb, core, va, level)
        return level - 1
    learn_page(tlb, core, klass, va)
    return 0


@kernel
def hint_page(tlb: Any, core: int, klass: int, va: int) -> None:
    """Tell the host that the second-level TLB's set will be needed."""
    hint(tlb.l2, set_of(tlb.l2, core, number(tlb, klass, va)))
