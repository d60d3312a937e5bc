"""libstdc++'s std::unordered_map: one list of nodes; buckets point to the node *before* their first.

From bits/hashtable.h of gcc 12, and what it makes of `find` with -O2.
"""

import numpy as np

from numasim.traces.records import BRANCH
from numasim.workloads.flow import Ints, Step
from numasim.workloads.hashing import hashed, ranks
from numasim.workloads.scripts import Script

HEADER = 56  # _Hashtable: buckets 0, bucket count 8, _M_before_begin 0x10, element count 0x18
NODE = 16  # _Hash_node: next, then the pair: key 8, value 0x10; the hash of integers is not kept
CODE = 0x1E18
DIVIDE = 18  # a 64-bit div of Ice Lake

# bucket counts as elements are inserted one by one, observed with gcc 12: each at least twice the one before
SIZES = [
    13,
    29,
    59,
    127,
    257,
    541,
    1109,
    2357,
    5087,
    10273,
    20753,
    42043,
    85229,
    172933,
    351061,
    712697,
    1447153,
    2938679,
]
SIZES += [5967347, 12117689, 24607243, 49969847, 101473717]

_FIND = "unordered_map::find"
STEPS = {
    "elements": Step(f"{_FIND}: load the element count", insns=5),
    "size": Step(f"{_FIND}: load the bucket count", insns=3, writes=("n",)),
    "buckets": Step(f"{_FIND}: load the buckets' address", insns=4, writes=("a",)),
    "bucket": Step(f"{_FIND}: load a bucket", insns=1, reads={"a": 0, "n": DIVIDE, "key": DIVIDE + 1}, writes=("p",)),
    "first": Step(f"{_FIND}: load the first node's address", insns=4, reads={"p": 0}, writes=("x",)),
    "first before": Step(f"{_FIND}: load the first node's address", insns=4, reads={"p": 0}, writes=("x", "p")),
    "key": Step(f"{_FIND}: load a node's key", insns=1, reads={"x": 0}, writes=("k",)),
    "key on": Step(f"{_FIND}: load a node's key", insns=3, reads={"x": 0}, writes=("k",)),
    "equal": Step(f"{_FIND}: the key?", BRANCH, 2, {"k": 1, "key": 1}),
    "next": Step(f"{_FIND}: load a node's next", insns=1, reads={"x": 0}, writes=("x",)),
    "next before": Step(f"{_FIND}: load a node's next", insns=1, reads={"x": 0}, writes=("x", "p")),
    "leaves": Step(f"{_FIND}: another bucket's?", BRANCH, 6, {"k": DIVIDE + 2, "n": DIVIDE + 2}),
    "again": Step(f"{_FIND}: load the node's address again", insns=1, reads={"p": 0}, writes=("x",)),
}
VALUE = Step("unordered_map: load the value", insns=3, reads={"x": 0})


class Unordered:
    """Where the items of a map lie, by insertion of items 0, 1, ... into a table that does not grow meanwhile."""

    def __init__(self, count: int, seed: int) -> None:
        self.seed = seed
        self.size = next(size for size in SIZES if size >= count)
        bucket = self.bucket(np.arange(count))
        rank = ranks(bucket)
        self.length = np.bincount(bucket, minlength=self.size)
        # a new node goes to the front of its bucket: items from the front, bucket by bucket
        self.place = self.length[bucket] - 1 - rank
        self.start = np.cumsum(self.length) - self.length
        self.member = np.empty(count, np.int64)
        self.member[self.start[bucket] + self.place] = np.arange(count)
        # first use puts a bucket to the front of the list: before it lies the tail of the one that was first used next
        used = bucket[rank == 0]
        self.before = np.full(self.size, -1, np.int64)
        tails = np.flatnonzero(rank == 0)
        self.before[used[:-1]] = tails[1:]

    def bucket(self, items: Ints) -> Ints:
        """Keys are random numbers, their own hashes; buckets are remainders."""
        return (hashed(items, self.seed) % np.uint64(self.size)).astype(np.int64)

    def find(self, script: Script, items: Ints, header: int, buckets: int, nodes: Ints, base: int) -> Ints:
        """Writes the steps of looking up these items, and returns the addresses of their values.

        header, buckets, base: of the regions. nodes: offsets of the nodes from `base`, by item.
        """
        for step, offset in (("elements", 0x18), ("size", 8), ("buckets", 0)):
            script.do(step, header + offset)
        bucket, place = self.bucket(items), self.place[items]
        script.do("bucket", buckets + 8 * bucket)
        before = self.before[bucket]
        link = np.where(before < 0, header + 0x10, base + nodes[before])
        links = script.code.steps("first", "first before")
        for depth in range(int(place.max()) + 1):
            active = place >= depth
            node = base + nodes[self.member[self.start[bucket] + np.minimum(place, depth)]]
            # the address of the node before the one sought is needed again: the step that loads it is another
            script.do(np.where(place == depth + 1, links[1], links[0]), link, active)
            script.do("key on" if depth else "key", node + 8, active)
            if depth:
                script.do("leaves", CODE + 0x1C, active)
            script.do("equal", CODE + 0x24 * (depth > 0), active, (place == depth) != (depth > 0))
            link = np.where(place > depth, node, link)
            links = script.code.steps("next", "next before")
        script.do("again", link)
        return base + nodes[items] + 0x10
