"""Tree pseudo-LRU: a binary tree of bits a set, each pointing to the half used less recently.

Bit k of order[s] is node k (1 the root, 2k and 2k+1 the halves of k); 0 points left. A set whose ways are no power of
two uses the tree of the next one, and never turns right into ways that do not exist.
Source: Al-Zoubi, Milenkovic, Milenkovic, "Performance evaluation of cache replacement policies for the SPEC CPU2000
benchmark suite", ACM-SE 2004.
"""

from typing import Any

from numasim.engine.jit import rare


@rare
def hit(order: Any, s: int, way: int, ways: int) -> None:
    """Point every node on the way's path away from it."""
    leaves = 1
    while leaves < ways:
        leaves <<= 1
    node = leaves + way
    bits = order[s]
    while node > 1:
        parent = node >> 1
        bits = bits & ~(1 << parent) if node & 1 else bits | 1 << parent
        node = parent
    order[s] = bits


@rare
def victim(order: Any, s: int, ways: int) -> int:
    """Follow the pointers from the root."""
    leaves = 1
    while leaves < ways:
        leaves <<= 1
    node, low, size = 1, 0, leaves
    while node < leaves:
        size >>= 1
        right = order[s] >> node & 1 and low + size < ways
        node = 2 * node + (1 if right else 0)
        low += size if right else 0
    return low
