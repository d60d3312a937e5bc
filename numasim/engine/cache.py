"""Set-associative arrays: caches, TLBs, paging-structure caches. No events, no time.

An entry is tag << 3 | exclusive << 2 | valid << 1 | dirty. Under LRU the ways of a set stand in order of recency.
"""

from typing import Any

from numasim.engine.jit import kernel, prefetch, rare
from numasim.engine.policies import LRU, RRIP, TREE_PLRU, random_order, rrip, tree_plru
from numasim.engine.vectors import LANES, lowest, match, rotate

DIRTY, VALID, EXCLUSIVE = 1, 2, 4


@kernel
def to_front(c: Any, base: int, way: int, entry: int) -> None:
    """Ways 0 .. way-1 of the set move up by one, the entry becomes the most recent."""
    if way >= LANES:
        rotate(c.tag, base + LANES, way - LANES, c.tag[base + LANES - 1])
        rotate(c.tag, base, LANES - 1, entry)
    else:
        rotate(c.tag, base, way, entry)


@kernel
def ways_with(c: Any, base: int, tag: int) -> int:
    """Bit mask of the ways that hold the tag."""
    key = tag << 3 | 7
    hit = match(c.tag, base, key)
    if c.ways > LANES:
        hit |= match(c.tag, base + LANES, key) << LANES
    return hit & ((1 << c.ways) - 1)


@rare
def remember(c: Any, s: int, way: int) -> None:
    """A hit under a policy other than LRU."""
    if c.policy == TREE_PLRU:
        tree_plru.hit(c.order, s, way, c.ways)
    elif c.policy == RRIP:
        rrip.hit(c.order, s, way)


@rare
def replace(c: Any, s: int, entry: int) -> int:
    """Insert under a policy other than LRU: an empty way first, else the policy's victim, which is returned."""
    base, way = s * c.ways, -1
    for w in range(c.ways):
        if c.tag[base + w] == 0 and way < 0:
            way = w
    if way < 0:
        if c.policy == TREE_PLRU:
            way = tree_plru.victim(c.order, s, c.ways)
        elif c.policy == RRIP:
            way = rrip.victim(c.order, s, c.ways)
        else:
            way = random_order.victim(c.order, s, c.ways)
    out = c.tag[base + way]
    c.tag[base + way] = entry
    if c.policy == TREE_PLRU:
        tree_plru.hit(c.order, s, way, c.ways)
    elif c.policy == RRIP:
        rrip.filled(c.order, s, way)
    return out


@kernel
def touch(c: Any, s: int, tag: int) -> int:
    """Look the tag up in set s and use it: where its entry is now, or -1."""
    base = s * c.ways
    hit = ways_with(c, base, tag)
    if hit == 0:
        return -1
    if c.policy == LRU:
        if hit & 1 == 0:
            way = lowest(hit)
            to_front(c, base, way, c.tag[base + way])
        return base
    way = lowest(hit)
    remember(c, s, way)
    return base + way


@kernel
def insert(c: Any, s: int, tag: int, flags: int) -> int:
    """Put a tag that is not there into set s. Returns the entry that fell out, 0 for none."""
    base, entry = s * c.ways, tag << 3 | VALID | flags
    if c.policy == LRU:
        out = c.tag[base + c.ways - 1]
        to_front(c, base, c.ways - 1, entry)
        return out
    return replace(c, s, entry)


@kernel
def peek(c: Any, s: int, tag: int) -> int:
    """Where the tag's entry is, -1 if it is not there; nothing changes."""
    base = s * c.ways
    hit = ways_with(c, base, tag)
    return base + lowest(hit) if hit else -1


@rare
def remove(c: Any, s: int, tag: int) -> int:
    """Drop the tag. Returns its flags, 0 if it was not there. Under LRU the ways behind it move up."""
    i = peek(c, s, tag)
    if i < 0:
        return 0
    flags = c.tag[i] & 7
    if c.policy == LRU:
        end = (s + 1) * c.ways
        while i + 1 < end:
            c.tag[i] = c.tag[i + 1]
            i += 1
    c.tag[i] = 0
    return flags


# ---- which set a line belongs to -----------------------------------------------------------------------------------


@kernel
def set_of(c: Any, unit: int, line: int) -> int:
    """Set of a line, by its low bits."""
    return unit * c.sets + (line & ((1 << c.bits) - 1))


@kernel
def mix(x: int) -> int:
    """Spread the bits of x < 2**32 (multiplicative hashing, Knuth vol. 3, 6.4)."""
    return (x ^ x >> 15) * 0x2545F491 & 0x3FFFFFFFFFFF


@kernel
def sliced_set_of(c: Any, unit: int, line: int) -> int:
    """Set of a line in a cache whose slices are chosen by a hash. Set and tag still give the line back."""
    high = line >> c.bits
    slice_ = ((mix(line & 0xFFFFFFFF) >> 15 & 0xFFFF) * c.slices) >> 16
    return unit * c.sets + (slice_ << c.bits) + ((line ^ mix(high & 0xFFFFFFFF) >> 12) & ((1 << c.bits) - 1))


@kernel
def line_of(c: Any, s: int, tag: int) -> int:
    """The line of a tag in set s (set_of)."""
    return tag << c.bits | s & ((1 << c.bits) - 1)


@kernel
def sliced_line_of(c: Any, s: int, tag: int) -> int:
    """The line of a tag in set s (sliced_set_of)."""
    return tag << c.bits | (s ^ mix(tag & 0xFFFFFFFF) >> 12) & ((1 << c.bits) - 1)


@kernel
def hint(c: Any, s: int) -> None:
    """Tell the host that the set will be needed."""
    prefetch(c.tag, s * c.ways)
    prefetch(c.tag, s * c.ways + c.ways - 1)


# ---- TLBs: the same arrays, looked up by page number ---------------------------------------------------------------


@kernel
def known(c: Any, unit: int, page: int) -> bool:
    """Is the page's entry there? It is used."""
    return touch(c, set_of(c, unit, page), page >> c.bits) >= 0


@kernel
def learn(c: Any, unit: int, page: int) -> None:
    """Enter a page that is not there."""
    insert(c, set_of(c, unit, page), page >> c.bits, 0)


@rare
def learn_once(c: Any, unit: int, page: int) -> None:
    """Enter a page unless it is there already."""
    if not known(c, unit, page):
        learn(c, unit, page)
