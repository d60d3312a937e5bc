"""Go's map since 1.24: tables of groups of 8 slots behind a directory.

From internal/runtime/maps of 1.24, and what its compiler makes of it for amd64. Loads of the stack and of the type's
description always hit: they are counted as instructions, their time as lags.
"""

import numpy as np
import numpy.typing as npt

from numasim.traces.records import BRANCH
from numasim.workloads.flow import Ints, Step
from numasim.workloads.go_classic import HASH
from numasim.workloads.hashing import Hashes, hashed, ranks
from numasim.workloads.scripts import Script

SLOTS = 8
MAX_GROUPS = 128  # of a table: 1,024 slots, of which 7/8 may be full
HEADER = 48  # Map: used 0, seed 8, dirPtr 0x10, dirLen 0x18, globalDepth 0x20, globalShift 0x21, writing 0x22
TABLE = 32  # table: counts, index, groups.data 0x10, groups.lengthMask 0x18
CODE = 0x404D5C
FULL, EMPTY = 0x80, 0  # our control bytes: FULL | 7 bits of the hash
# control word to slot: to xmm, pcmpeqb, pmovmskb, movzx (7 cycles), bsf, imul
MATCH, SLOT = 7, 13

_FIND = "mapaccess1_fast64"
STEPS = {
    "guard": Step(f"{_FIND}: load g.stackguard0", insns=6),
    "used": Step(f"{_FIND}: load m.used", insns=6),
    "writing": Step(f"{_FIND}: load m.writing", insns=2, size=1),
    "tables": Step(f"{_FIND}: load m.dirLen", insns=2),
    "shift": Step(f"{_FIND}: load m.globalShift", insns=21, size=1, writes=("s",)),
    "directory": Step(f"{_FIND}: load m.dirPtr", insns=7, writes=("p",)),
    "table": Step(f"{_FIND}: load a directory entry", reads={"p": 0, "s": 2, "key": HASH + 2}, writes=("t",)),
    "mask": Step(f"{_FIND}: load t.groups.lengthMask", reads={"t": 0}, writes=("n",)),
    "data": Step(f"{_FIND}: load t.groups.data", insns=8, reads={"t": 0}, writes=("d",)),
    # its address: hash >> 7 & mask, times the group's size, plus data
    "control": Step(f"{_FIND}: load a control word", reads={"d": 1, "n": 5, "key": HASH + 6}, writes=("c",)),
    "small": Step(f"{_FIND}: load a control word", reads={"p": 0}, writes=("c",)),
    "none": Step(f"{_FIND}: no match in the group?", BRANCH, 10, {"c": MATCH, "key": HASH + 4}),
    # the control word comes later than what its own address was made from, which the slot's address needs too
    "slot": Step(f"{_FIND}: load a key", insns=6, reads={"c": SLOT}, writes=("k",)),
    "small slot": Step(f"{_FIND}: load a key", insns=4, reads={"p": 1}, writes=("k",)),
    "other": Step(f"{_FIND}: another key?", BRANCH, 1, {"k": 1, "key": 1}),
    "full": Step(f"{_FIND}: no empty slot?", BRANCH, 7, {"c": 11}),
}
VALUE = Step("map access: load the value", insns=6, reads={"c": SLOT + 2})
SMALL_VALUE = VALUE._replace(reads={"p": 1})


class Swiss:
    """Where the items of a map lie. Up to 8: one group. Else tables that were split when they held more than 896.

    Items go to the first group of their probe sequence with room, those at their first probe before others.
    """

    def __init__(self, count: int, value: int, seed: int) -> None:
        self.seed, self.small = seed, count <= SLOTS
        self.slot_bytes = 8 + value
        self.group_bytes = 8 + SLOTS * self.slot_bytes
        hashes = hashed(np.arange(count), seed)
        depths = [0] if self.small else _split(np.sort(hashes))
        self.depth = max(depths)
        self.directory = np.repeat(np.arange(len(depths)), 1 << self.depth - np.array(depths))
        groups = 1 if self.small else MAX_GROUPS
        while len(depths) == 1 and groups > 2 and groups // 2 * 7 >= count:
            groups //= 2  # the first table has two groups; it is replaced by one of twice the size until it is split
        self.mask, self.tables = groups - 1, len(depths)
        self.slot, self.probe = np.empty(count, np.uint8), np.zeros(count, np.uint8)
        self.control = np.full((len(depths) * groups, SLOTS), EMPTY, np.uint8)
        self._fill(hashes)

    def steps(self) -> tuple[dict[str, Step], Step]:
        """The steps of `find`, and the load of the value."""
        return STEPS, SMALL_VALUE if self.small else VALUE

    def group(self, hashes: Hashes, probe: int) -> Ints:
        """Number of the group, over all tables, that a hash's probe number `probe` (0, 1, ...) looks at."""
        home = (hashes >> np.uint64(7)).astype(np.int64)
        return self.table(hashes) * (self.mask + 1) + (home + probe * (probe + 1) // 2 & self.mask)

    def entry(self, hashes: Hashes) -> Ints:
        """Place in the directory."""
        return (
            (hashes >> np.uint64(64 - self.depth)).astype(np.int64) if self.depth else np.zeros(len(hashes), np.int64)
        )

    def table(self, hashes: Hashes) -> Ints:
        """Number of the table."""
        return self.directory[self.entry(hashes)]

    def _fill(self, hashes: Hashes) -> None:
        pending, probe = np.arange(len(hashes)), 0
        filled = np.zeros(len(self.control), np.int64)
        while len(pending):
            group = self.group(hashes[pending], probe)
            place = filled[group] + ranks(group)
            fits = place < SLOTS
            self.slot[pending[fits]], self.probe[pending[fits]] = place[fits], probe
            self.control[group[fits], place[fits]] = FULL | (hashes[pending[fits]] & np.uint64(127)).astype(np.uint8)
            filled = np.minimum(filled + np.bincount(group, minlength=len(filled)), SLOTS)
            pending, probe = pending[~fits], probe + 1

    def find(
        self, script: Script, items: Ints, goroutine: int, header: int, directory: int, tables: Ints, groups: Ints
    ) -> Ints:
        """Writes the steps of looking up these items, and returns the addresses of their values.

        goroutine, header, directory: base addresses. tables, groups: addresses of the tables and of their groups.
        """
        hashes, slot, last = hashed(items, self.seed), self.slot[items].astype(np.int64), self.probe[items]
        script.do("guard", goroutine + 0x10)
        for step, offset in (("used", 0), ("writing", 0x22), ("tables", 0x18)):
            script.do(step, header + offset)
        if self.depth:
            script.do("shift", header + 0x21)
        script.do("directory", header + 0x10)
        if self.small:
            return self._find_small(script, slot, int(groups[0]))
        script.do("table", directory + 8 * self.entry(hashes))
        table = self.table(hashes)
        script.do("mask", tables[table] + 0x18)
        value = np.zeros(len(items), np.int64)
        for probe in range(int(last.max()) + 1):
            active = last >= probe
            number = self.group(hashes, probe)
            at = groups[table] + (number & self.mask) * self.group_bytes
            script.do("data", tables[table] + 0x10, active)
            script.do("control", at, active)
            final = last == probe
            self._match(script, self.control[number], hashes, np.where(final, slot, SLOTS), at, active)
            script.do("none", CODE + 0x11, active & ~final, True)
            script.do("full", CODE, active & ~final, True)
            value = np.where(final, at + 16 + slot * self.slot_bytes, value)
        return value

    def _match(
        self,
        script: Script,
        control: npt.NDArray[np.uint8],
        hashes: Hashes,
        slot: Ints,
        at: Ints,
        active: npt.NDArray[np.bool_],
    ) -> None:
        """Compares the keys whose control byte matches: others' by chance, then that of slot `slot` (8: not here)."""
        same = control == (FULL | (hashes & np.uint64(127)).astype(np.uint8))[:, None]
        same &= np.arange(SLOTS) <= slot[:, None]
        order, matches = np.argsort(~same, axis=1, kind="stable"), same.sum(axis=1)
        for k in range(int(matches.max())):
            looks = active & (matches > k)
            script.do("none", CODE + 0x11, looks, False)
            script.do("slot", at + 8 + order[:, k] * self.slot_bytes, looks)
            script.do("other", CODE + 0x29, looks, order[:, k] != slot)

    def _find_small(self, script: Script, slot: Ints, group: int) -> Ints:
        """A map of one group compares its keys one after the other, without a hash."""
        script.do("small", group)
        for place in range(int(slot.max()) + 1):
            script.do("small slot", group + 8 + place * self.slot_bytes, slot >= place)
            script.do("other", CODE + 0x55, slot >= place, slot > place)
        return group + 16 + slot * self.slot_bytes


def _split(hashes: Hashes) -> list[int]:
    """Depths of the tables in order of hashes (which are sorted): one of over 896 items is split by the next bit."""
    out, todo = [], [(0, 0)]
    while todo:
        prefix, depth = todo.pop()
        ends = np.array([prefix << 64 - depth, ((prefix + 1) << 64 - depth) - 1], np.uint64)
        first, stop = np.searchsorted(hashes, ends[:1], "left")[0], np.searchsorted(hashes, ends[1:], "right")[0]
        if stop - first > MAX_GROUPS * 7:
            todo += [(2 * prefix + 1, depth + 1), (2 * prefix, depth + 1)]
        else:
            out.append(depth)
    return out
