"""The region prefetcher (L1): learns of each instruction whether its accesses fill the pages they fall into.

An instruction is followed through one 4 KiB page at a time. When it leaves a page, it has been seen to fill it if at
least half as many pairs of neighbouring lines as lines were touched. From then on each line that it touches brings the
line after it, until it leaves a page that it has not filled so. Source: AMD, Software Optimization Guide for Family 19h
(56665), "Data Prefetch": L1 Region "fetches additional lines when the data access for a given instruction tends to be
followed by a consistent pattern of other accesses within a localized region"; US patent 12,204,459. What lines it
fetches is not published.
"""

from typing import Any

from numasim.engine.jit import kernel, rare
from numasim.engine.requests import ask_l1

PAGE, BITS, SEEN = 0, 1, 3  # words of an instruction; two of bits; lines, pairs << 8, fills pages << 16
SITES = 64


@kernel
def touched(regions: Any, o: int, k: int) -> int:
    """1 if line k of the page (0 to 63, else it is none) has been touched."""
    return regions[o + BITS + (k >> 5)] >> (k & 31) & 1 if 0 <= k < 64 else 0


@rare
def learn(regions: Any, core: int, site: int, va: int) -> bool:
    """An instruction accesses an address. Is the line after it wanted?"""
    o, page, k = (core * SITES + (site & SITES - 1)) << 2, (va >> 12) + 1, va >> 6 & 63
    if regions[o + PAGE] != page:
        lines, pairs = regions[o + SEEN] & 255, regions[o + SEEN] >> 8 & 255
        regions[o + SEEN] = 1 << 16 if lines > 0 and 2 * pairs >= lines else 0
        regions[o + PAGE] = page
        regions[o + BITS] = 0
        regions[o + BITS + 1] = 0
    if touched(regions, o, k):
        return False
    regions[o + SEEN] += 1 + (touched(regions, o, k - 1) + touched(regions, o, k + 1) << 8)
    regions[o + BITS + (k >> 5)] |= 1 << (k & 31)
    return regions[o + SEEN] >> 16 == 1 and k < 63


@kernel
def fills_pages(regions: Any, core: int, site: int) -> bool:
    """Is the instruction known to fill the pages it falls into?"""
    return regions[((core * SITES + (site & SITES - 1)) << 2) + SEEN] >> 16 == 1


@rare
def train_regions(m: Any, t: int, core: int, klass: int, va: int, now: int) -> None:
    """The L1 sees a load of an instruction."""
    if learn(m.core.regions, core, klass, va) and m.p.region:
        ask_l1(m, t, core, klass, va + 64, True, now)
