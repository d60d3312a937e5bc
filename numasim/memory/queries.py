"""Questions to a page map: where an address is, how many pages of a region are on which node."""

from collections import Counter

import numpy as np

from numasim.memory.pages import GIANT, HUGE, PAGE_SHIFT, PAGE_WORDS, SMALL, IntArray
from numasim.memory.space import PageMap, Region


def translate(pages: PageMap, addresses: IntArray) -> IntArray:
    """Physical line of each virtual address, -1 where nothing is mapped."""
    address = np.asarray(addresses, np.int64)
    line = np.full(address.shape, -1, np.int64)
    inside = (address >= 0) & (address >> 21 < len(pages.block))
    block = np.where(inside, pages.block[np.where(inside, address >> 21, 0)], -1)
    large = (block >= 0) & (block & 3 > SMALL)
    line[large] = block[large] >> 16 << 15 | address[large] >> 6 & 0x7FFF
    small = (block >= 0) & (block & 3 == SMALL)
    frame = pages.frame[address[small] >> 12] if small.any() else np.empty(0, np.int64)
    line[small] = np.where(frame < 0, -1, frame << 6 | address[small] >> 6 & 63)
    return line


def page_addresses(pages: PageMap, region: Region) -> list[tuple[int, IntArray]]:
    """(page class, first virtual addresses of its pages) of a region, classes as they come, addresses ascending."""
    last = region.base + region.size_bytes - 1
    classes = pages.guest[region.base >> 21 : (last >> 21) + 1] & 3
    found = []
    for page_class in (HUGE, GIANT, SMALL):
        if (classes == page_class).any():
            first = region.base + (int(np.argmax(classes == page_class)) << 21)
            count = int(np.count_nonzero(classes == page_class)) << 21
            found.append((page_class, np.arange(first, min(first + count, last + 1), 1 << PAGE_SHIFT[page_class])))
    return found


def page_owner_nodes(pages: PageMap, region: Region) -> IntArray:
    """Node of every page of a region, in address order; with thp the 2 MiB pages come before the 4 KiB ones."""
    starts = [addresses for _, addresses in page_addresses(pages, region)]
    return translate(pages, np.concatenate(starts)) >> pages.node_shift


def pages_per_node(pages: PageMap, region: Region) -> dict[int, tuple[int, int, int]]:
    """By node: number of 4 KiB, 2 MiB and 1 GiB pages of a region."""
    counts: dict[int, list[int]] = {}
    for page_class, addresses in page_addresses(pages, region):
        for node, count in Counter((translate(pages, addresses) >> pages.node_shift).tolist()).items():
            counts.setdefault(node, [0, 0, 0])[page_class] += count
    return {node: (n[SMALL], n[HUGE], n[GIANT]) for node, n in sorted(counts.items())}


def table_pages_per_node(pages: PageMap) -> dict[int, int]:
    """By node: number of page-table pages of all levels."""
    frames = np.concatenate([pages.pt, pages.pd, pages.pdpt, [pages.pml4]])
    return dict(sorted(Counter((frames[frames >= 0] >> (pages.node_shift - 6)).tolist()).items()))


def numa_maps(pages: PageMap) -> str:
    """A line a region and page size, as /proc/PID/numa_maps has it: address, name, pages in all and on each node."""
    lines = []
    for region in pages.regions:
        for page_class, addresses in page_addresses(pages, region):
            nodes = Counter((translate(pages, addresses) >> pages.node_shift).tolist())
            shares = " ".join(f"N{node}={count}" for node, count in sorted(nodes.items()))
            kib = 1 << PAGE_SHIFT[page_class] - 10
            lines.append(f"{addresses[0]:012x} {region.name} anon={len(addresses)} {shares} kernelpagesize_kB={kib}")
    return "\n".join(lines)


def numastat(pages: PageMap) -> str:
    """A table of MiB by page size and node, as `numastat -p` prints for a process."""
    rows: dict[str, Counter[int]] = {word: Counter() for word in PAGE_WORDS[:3]}
    for region in pages.regions:
        for node, counts in pages_per_node(pages, region).items():
            for page_class, count in enumerate(counts):
                rows[PAGE_WORDS[page_class]][node] += count << PAGE_SHIFT[page_class]
    rows["tables"] = Counter({node: count << 12 for node, count in table_pages_per_node(pages).items()})
    rows["total"] = sum(rows.values(), Counter())
    columns = sorted(rows["total"])
    table = [["MiB", *(f"node {node}" for node in columns), "total"]]
    for word, row in rows.items():
        table.append([word, *(f"{row[node] / 2**20:.2f}" for node in columns), f"{sum(row.values()) / 2**20:.2f}"])
    return "\n".join(f"{line[0]:8}" + "".join(f"{cell:>13}" for cell in line[1:]) for line in table)
