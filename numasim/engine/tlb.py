"""Address translation: TLBs, paging-structure caches, and where a page walk's entries lie.

Levels of the page table as in the Intel SDM vol. 3, 4.5: 1 PT, 2 PD, 3 PDPT, 4 PML4. A 4 KiB page's entry is at level 1,
a 2 MiB page's at 2, a 1 GiB page's at 3: page class + 1.
"""

from typing import Any

from numasim.engine.cache import hint, known, learn, learn_once, set_of
from numasim.engine.jit import kernel, rare


@kernel
def physical(pages: Any, va: int) -> int:
    """The physical line of a virtual address."""
    block = pages.block[va >> 21]
    if block & 3:
        return (block >> 16) << 15 | va >> 6 & 0x7FFF
    return pages.frame[va >> 12] << 6 | va >> 6 & 63


@kernel
def page_index(pages: Any, va: int) -> int:
    """Number of the page in Directory.page: blocks first, then 4 KiB pages."""
    if pages.block[va >> 21] & 3:
        return va >> 21
    return pages.blocks + (va >> 12)


@kernel
def first_level(tlb: Any, core: int, klass: int, va: int) -> bool:
    """Does the L1 DTLB know the page of this class?"""
    if klass == 0:
        return known(tlb.small, core, va >> 12)
    if klass == 1:
        return known(tlb.large, core, va >> 21)
    return known(tlb.huge, core, va >> 30)


@kernel
def number(tlb: Any, klass: int, va: int) -> int:
    """The page's number in the unified second-level TLB."""
    return va >> 12 + 9 * klass | klass << tlb.kinds


@kernel
def learn_first(tlb: Any, core: int, klass: int, va: int) -> None:
    """The translation enters the L1 DTLB."""
    if klass == 0:
        learn(tlb.small, core, va >> 12)
    elif klass == 1:
        learn(tlb.large, core, va >> 21)
    else:
        learn(tlb.huge, core, va >> 30)


@kernel
def walk_from(tlb: Any, core: int, klass: int, va: int) -> int:
    """The level a walk begins at: below the deepest entry the paging-structure caches hold."""
    if klass == 0 and known(tlb.pde, core, va >> 21):
        return 1
    if klass <= 1 and known(tlb.pdpte, core, va >> 30):
        return 2
    return 3 if known(tlb.pml4e, core, va >> 39) else 4


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
    """A paging-structure cache learns an entry that is no leaf."""
    if level == 2:
        learn_once(tlb.pde, core, va >> 21)
    elif level == 3:
        learn_once(tlb.pdpte, core, va >> 30)
    else:
        learn_once(tlb.pml4e, core, va >> 39)


@kernel
def walked(tlb: Any, core: int, klass: int, va: int, level: int) -> int:
    """The entry of a level has arrived: the level to read next, 0 when the page is translated."""
    if level > klass + 1:
        learn_structure(tlb, core, va, level)
        return level - 1
    # another access may have brought it meanwhile
    if not known(tlb.l2, core, number(tlb, klass, va)):
        learn(tlb.l2, core, number(tlb, klass, va))
    if not first_level(tlb, core, klass, va):
        learn_first(tlb, core, klass, va)
    return 0


@kernel
def hint_page(tlb: Any, core: int, klass: int, va: int) -> None:
    """Tell the host that the second-level TLB's set will be needed."""
    hint(tlb.l2, set_of(tlb.l2, core, number(tlb, klass, va)))
