"""Replacement policies, one file each.

Contract: a policy is two kernels over one int64 of memory a set, `order[s]`:
    hit(order, s, way, ways)      the way was used
    victim(order, s, ways) -> way the way to replace; the caller fills it and `filled(order, s, way, ways)` follows
LRU needs no memory: its ways stand in order of recency (cache.py).
"""

LRU, TREE_PLRU, RANDOM, RRIP = range(4)
POLICIES = {"lru": LRU, "tree-plru": TREE_PLRU, "random": RANDOM, "rrip": RRIP}
