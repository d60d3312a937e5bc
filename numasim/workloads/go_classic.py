"""Go's map up to 1.23: buckets of 8 with overflow chains.

From runtime/map.go and map_fast64.go of 1.23, and what Go 1.24 (GOEXPERIMENT=noswissmap) makes of them for amd64. Loads
of the stack and of the type's description always hit: they are counted as instructions, their time as lags.
"""

import numpy as np
import numpy.typing as npt

from numasim.traces.records import BRANCH
from numasim.workloads.flow import Ints, Step
from numasim.workloads.hashing import hashed, ranks
from numasim.workloads.scripts import Script

SLOTS = 8
HEADER = 48  # hmap: count 0, flags 8, B 9, buckets 0x10, oldbuckets 0x18
CODE = 0x40D953
# key to hash: stored to the stack and read back, pinsrq, 3 aesenc, movq; then and, imul, add to the bucket's address
HASH, INDEX = 18, 5

_FIND = "mapaccess1_fast64"
STEPS = {
    "guard": Step(f"{_FIND}: load g.stackguard0", insns=6),
    "count": Step(f"{_FIND}: load h.count", insns=7),
    "flags": Step(f"{_FIND}: load h.flags", insns=5, size=1),
    "B": Step(f"{_FIND}: load h.B", insns=3, size=1),
    "old": Step(f"{_FIND}: load h.oldbuckets", insns=18),
    "buckets": Step(f"{_FIND}: load h.buckets", insns=8, writes=("b",)),
    "slot": Step(f"{_FIND}: load a key", insns=6, reads={"b": 0, "key": HASH + INDEX}, writes=("k",)),
    "slot on": Step(f"{_FIND}: load a key", insns=6, reads={"b": 1}, writes=("k",)),
    "other": Step(f"{_FIND}: another key?", BRANCH, 2, {"k": 1, "key": 6}),
    "top": Step(f"{_FIND}: load the tophash", insns=1, size=1, reads={"b": 1, "key": HASH + INDEX}, writes=("t",)),
    "empty": Step(f"{_FIND}: empty slot?", BRANCH, 2, {"t": 1}),
    "overflow": Step(f"{_FIND}: load b.overflow", insns=4, reads={"b": 1, "key": HASH + INDEX}, writes=("b",)),
}
VALUE = Step("map access: load the value", insns=8, reads={"b": 5, "key": HASH + INDEX + 5})


class Classic:
    """Where the items of a map lie, by insertion of items 0, 1, ... Bucket numbers from `base` on are overflow buckets.

    pad: bucket size rounded up to a multiple of it. `array`: buckets in one array, overflow buckets allocated with it
    included; `extra`: overflow buckets allocated later.
    """

    def __init__(self, count: int, value: int, pad: int, seed: int) -> None:
        self.seed, self.value = seed, value
        self.bucket_bytes = -(-(SLOTS * (1 + 8 + value) + 8) // pad) * pad
        bits = 0
        while count > SLOTS and 2 * count > 13 << bits:  # more than 6.5 a bucket
            bits += 1
        self.base = 1 << bits
        self.array = self._preallocated(bits)
        bucket = self.bucket(np.arange(count))
        self.rank = ranks(bucket)
        self.next = self._chains(bucket)
        self.extra = max(0, len(self.next) - self.array)

    def bucket(self, items: Ints) -> Ints:
        """The bucket an item hashes to; a map of one bucket does not hash."""
        return (hashed(items, self.seed) & np.uint64(self.base - 1)).astype(np.int64)

    def steps(self) -> tuple[dict[str, Step], Step]:
        """The steps of `find`, and the load of the value. In a map of one bucket no address depends on the key."""
        if self.base > 1:
            return STEPS, VALUE
        bare = {name: step._replace(reads={"b": 1}) if "b" in step.reads else step for name, step in STEPS.items()}
        return bare, VALUE._replace(reads={"b": 5})

    def _preallocated(self, bits: int) -> int:
        """Buckets of the array, overflow buckets behind it included: 1/16 more from 16 on, filling up its last page."""
        if bits < 4:
            return self.base
        total = self.base + (self.base >> 4)
        return max(total, -(-total * self.bucket_bytes // 8192) * 8192 // self.bucket_bytes)

    def _chains(self, bucket: Ints) -> npt.NDArray[np.int32]:
        """next[b]: the overflow bucket of bucket b (-1: none). Every 9th, 17th ... item of one makes a new one."""
        makers = np.flatnonzero((self.rank >= SLOTS) & (self.rank % SLOTS == 0))
        made = self.base + np.arange(len(makers))
        out = np.full(self.base + len(makers), -1, np.int32)
        order = np.argsort(bucket[makers], kind="stable")
        owner, made = bucket[makers][order], made[order]
        first = np.concatenate([[True], owner[1:] != owner[:-1]])[: len(owner)]
        parent = np.where(first, owner, np.concatenate([[0], made[:-1]])[: len(made)])
        out[parent] = made
        return out

    def find(self, script: Script, items: Ints, goroutine: int, header: int, buckets: int, extra: Ints) -> Ints:
        """Writes the steps of looking up these items, and returns the addresses of their values.

        goroutine, header, buckets: base addresses. extra: addresses of the overflow buckets outside the array.
        """
        number, rank = self.bucket(items), self.rank[items]
        script.do("guard", goroutine + 0x10)
        for step, offset in (
            ("count", 0),
            ("flags", 8),
            ("B", 9),
            *((("old", 0x18),) if self.base > 1 else ()),
            ("buckets", 0x10),
        ):
            script.do(step, header + offset)
        at = buckets + number * self.bucket_bytes
        for place in range(int(rank.max()) + 1):
            level, slot = divmod(place, SLOTS)
            active = rank >= place
            if level and slot == 0:
                script.do("overflow", at + self.bucket_bytes - 8, active)
                number = np.where(active, self.next[number], number)
                inside = buckets + number * self.bucket_bytes
                at = (
                    np.where(number < self.array, inside, extra[np.maximum(number - self.array, 0)])
                    if len(extra)
                    else inside
                )
            script.do("slot on" if level else "slot", at + 8 + 8 * slot, active)
            script.do("other", CODE, active, rank > place)
        script.do("top", at + rank % SLOTS)
        script.do("empty", CODE + 0xA)
        return at + 8 + 8 * SLOTS + rank % SLOTS * self.value
