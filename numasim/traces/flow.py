"""Data flow along executed instructions: which loads' values are in a register, and since how many cycles.

Per thread, each register has a set of (load, lag): the loads (numbers of the thread's records) whose values it is made
of, and the cycles of the instructions since. What an instruction writes gets the union of what it read. A set holds at
most KEPT loads: of more, those stay that are there last on a core that hits L1 always and issues four instructions a
cycle (`done`); what was lost is noted, so that a record made of it is counted as incomplete. Loads more than 255
records back are dropped: no window is as long, so they have ended.

A record needs its address's registers (a store its data too). Of more than three loads the three that are there last
are kept. Memory: the words a thread's last 255 records wrote are kept by address; a load of one of them gets `fwd`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.code.effects import REGISTERS, WIDTH
from numasim.traces.compiled import inlined
from numasim.traces.records import MAX_BACK, MAX_LAG

Ints = npt.NDArray[np.int64]

KEPT = 6  # loads in a set
LOADED, OUT, NEED, PAIR = REGISTERS, REGISTERS + 1, REGISTERS + 2, REGISTERS + 3  # sets that are no registers
SETS = REGISTERS + 6
FIRST = 1 << 12  # the number of a thread's first record: 0 is "none", and older than any
WINDOW = 256
HEADS, RING = 256, 1024  # a record writes at most 9 words; most write one
LARGEST = 255  # bytes of an instruction; no real one has as many
ISSUE_WIDTH = 4
L1_CYCLES = 5  # LLVM's model of Ice Lake, see latency.py

# what is counted
ENTRIES = 0  # instructions known by address
BRANCHES, TAKEN, ATOMICS, FORWARDED = 1, 2, 3, 4  # records; loads that read what a recent record wrote
INCOMPLETE = 5  # records that need more than three loads
ENDED = 6  # needs left out, more than 255 records back
FOLDED = 7  # turns of string instructions, joined
PREFETCHES, SYSCALLS, INDIRECT, UNKNOWN_CODE = 8, 9, 10, 11  # instructions
COUNTS = 12


class Flow(NamedTuple):
    """The state of the data flow. Arrays by thread are [threads, ...].

    kinds [kinds, WIDTH]: see code.effects.  slot, entry_code, entry_kind, entry_size: instructions by address, open
    addressing; -1 is empty.  number: of the thread's next record.  opened: entry of the instruction that runs, -1: no
    one.  at, lag, lost [threads, SETS, KEPT]: the sets; the first 0 ends one; lost: the newest load left out of it.
    done [threads, WINDOW]: estimated cycle a record has its value, by its number.  issued: instructions.  head, word,
    mask, writer, older, stores: words written, as lists by hash, the newest first; `stores` of them so far.  floor:
    older records wrote nothing that is known.  load_row, store_row: the rows a string instruction extends, -1: none.
    store_number: the record of store_row.  atomic: 1 once the atomic instruction that runs has its record.  counts
    [COUNTS]: the numbers named above.
    """

    kinds: npt.NDArray[np.int16]
    slot: npt.NDArray[np.int32]
    entry_code: Ints
    entry_kind: npt.NDArray[np.int32]
    entry_size: npt.NDArray[np.uint8]
    number: Ints
    opened: npt.NDArray[np.int32]
    at: Ints
    lag: npt.NDArray[np.int32]
    lost: Ints
    done: Ints
    issued: Ints
    head: Ints
    word: Ints
    mask: npt.NDArray[np.uint8]
    writer: Ints
    older: Ints
    stores: Ints
    floor: Ints
    load_row: Ints
    store_row: Ints
    store_number: Ints
    atomic: npt.NDArray[np.uint8]
    counts: Ints


def start(threads: int, kinds: npt.NDArray[np.int16]) -> Flow:
    """Nothing known of any thread. Memory is touched for those threads only that run."""
    ring = (threads, RING)
    return Flow(
        kinds=kinds,
        slot=np.full(1 << 13, -1, np.int32),
        entry_code=np.zeros(1 << 12, np.int64),
        entry_kind=np.zeros(1 << 12, np.int32),
        entry_size=np.zeros(1 << 12, np.uint8),
        number=np.full(threads, FIRST, np.int64),
        opened=np.full(threads, -1, np.int32),
        at=np.zeros((threads, SETS, KEPT), np.int64),
        lag=np.zeros((threads, SETS, KEPT), np.int32),
        lost=np.zeros((threads, SETS), np.int64),
        done=np.zeros((threads, WINDOW), np.int64),
        issued=np.zeros(threads, np.int64),
        head=np.zeros((threads, HEADS), np.int64),
        word=np.zeros(ring, np.int64),
        mask=np.zeros(ring, np.uint8),
        writer=np.zeros(ring, np.int64),
        older=np.zeros(ring, np.int64),
        stores=np.zeros(threads, np.int64),
        floor=np.zeros(threads, np.int64),
        load_row=np.full(threads, -1, np.int64),
        store_row=np.full(threads, -1, np.int64),
        store_number=np.zeros(threads, np.int64),
        atomic=np.zeros(threads, np.uint8),
        counts=np.zeros(COUNTS, np.int64),
    )


def forget(f: Flow, thread: int) -> None:
    """What the thread's registers and its writes held is known no more: it comes from outside the region."""
    f.at[thread, :, 0] = 0
    f.lost[thread] = 0
    f.opened[thread] = -1
    f.load_row[thread] = f.store_row[thread] = -1
    f.atomic[thread] = 0
    f.floor[thread] = f.number[thread]


def add_entry(f: Flow, kinds: npt.NDArray[np.int16], code: int, kind: int, size: int) -> Flow:
    """The instruction at an address is of this kind (again, if it was known as another)."""
    entry = find(f, code)
    if entry < 0:
        entry = int(f.counts[ENTRIES])
        if entry == len(f.entry_code):
            f = _grown(f)
        f.counts[ENTRIES] += 1
        f.entry_code[entry] = code
        _insert(f.slot, code, entry)
    f.entry_kind[entry], f.entry_size[entry] = kind, min(size, LARGEST)
    assert kinds.shape[1] == WIDTH
    return f if kinds is f.kinds else f._replace(kinds=kinds)


def _grown(f: Flow) -> Flow:
    slot = np.full(2 * len(f.slot), -1, np.int32)
    for entry, code in enumerate(f.entry_code.tolist()):
        _insert(slot, code, entry)
    twice = {n: np.concatenate([c, np.zeros_like(c)]) for n, c in f._asdict().items() if n.startswith("entry_")}
    return f._replace(slot=slot, **twice)


def _insert(slot: npt.NDArray[np.int32], code: int, entry: int) -> None:
    at = place(code, len(slot))
    while slot[at] >= 0:
        at = (at + 1) & (len(slot) - 1)
    slot[at] = entry


@inlined
def place(code: int, slots: int) -> int:
    """Where to begin to look for a code address (of 60 bits; the product stays below 2^92 in Python)."""
    return (((code & 0x3FFFFFFF) * 0x9E3779B1 ^ code) >> 11) & (slots - 1)


@inlined
def find(f: Flow, code: int) -> int:
    """Entry of the instruction at an address, -1 if it is not known."""
    slots = len(f.slot)
    at = place(code, slots)
    while f.slot[at] >= 0:
        if f.entry_code[f.slot[at]] == code:
            return int(f.slot[at])
        at = (at + 1) & (slots - 1)
    return -1


# ---- sets ----


@inlined
def clear(f: Flow, t: int, s: int) -> None:
    """Set s of thread t holds nothing."""
    f.at[t, s, 0] = 0
    f.lost[t, s] = 0


@inlined
def put_in(f: Flow, t: int, s: int, number: int, lag: int, oldest: int) -> None:
    """Add a load to set s; the one that is there first is left out if they are too many."""
    free = -1
    for j in range(KEPT):
        a = f.at[t, s, j]
        if a == number:
            f.lag[t, s, j] = max(f.lag[t, s, j], lag)
            return
        if a < oldest and free < 0:
            free = j
        if a == 0:
            break
    if free >= 0:
        if f.at[t, s, free] == 0 and free + 1 < KEPT:
            f.at[t, s, free + 1] = 0
    else:
        ready = f.done[t, number & (WINDOW - 1)] + lag
        out = number
        for j in range(KEPT):
            a = f.at[t, s, j]
            other = f.done[t, a & (WINDOW - 1)] + f.lag[t, s, j]
            if other < ready:
                ready, out, free = other, a, j
        f.lost[t, s] = max(f.lost[t, s], out)
        if free < 0:
            return
    f.at[t, s, free] = number
    f.lag[t, s, free] = lag


@inlined
def merge(f: Flow, t: int, into: int, source: int, more: int, oldest: int) -> int:
    """Add set `source`, each lag `more` cycles longer, to set `into`. Returns how many loads were too old."""
    ended = 0
    for j in range(KEPT):
        a = f.at[t, source, j]
        if a == 0:
            break
        if a >= oldest:
            put_in(f, t, into, a, f.lag[t, source, j] + more, oldest)
        else:
            ended += 1
    f.lost[t, into] = max(f.lost[t, into], f.lost[t, source])
    return ended


@inlined
def copy(f: Flow, t: int, into: int, source: int) -> None:
    """Set `into` becomes set `source`."""
    for j in range(KEPT):
        f.at[t, into, j] = f.at[t, source, j]
        f.lag[t, into, j] = f.lag[t, source, j]
        if f.at[t, source, j] == 0:
            break
    f.lost[t, into] = f.lost[t, source]


@inlined
def last_of_need(f: Flow, t: int, oldest: int, below_ready: int, below_number: int) -> int:
    """Place in set NEED of the load that is there last of those that come before (below_ready, below_number); -1."""
    best, best_ready, best_number = -1, -1, -1
    for j in range(KEPT):
        a = f.at[t, NEED, j]
        if a == 0:
            break
        if a >= oldest:
            ready = f.done[t, a & (WINDOW - 1)] + min(f.lag[t, NEED, j], MAX_LAG)
            before = ready < below_ready or (ready == below_ready and a < below_number)
            if before and (ready > best_ready or (ready == best_ready and a > best_number)):
                best, best_ready, best_number = j, ready, a
    return best


# ---- words written ----


@inlined
def wrote(f: Flow, t: int, address: int, size: int, number: int) -> None:
    """Record `number` wrote these bytes."""
    word, end = address >> 3, address + size
    while word << 3 < end:
        low, high = max(address - (word << 3), 0), min(end - (word << 3), 8)
        mask = (0xFF << low & 0xFF) & (0xFF >> (8 - high))
        i = f.stores[t] & (RING - 1)
        if f.word[t, i] == word and f.writer[t, i] == number:  # one more turn of a string instruction
            f.mask[t, i] |= mask
        else:
            n = f.stores[t] + 1
            f.stores[t] = n
            i = n & (RING - 1)
            h = (word ^ word >> 8) & (HEADS - 1)
            f.word[t, i], f.mask[t, i], f.writer[t, i] = word, mask, number
            f.older[t, i] = f.head[t, h]
            f.head[t, h] = n
        word += 1


@inlined
def writer_of(f: Flow, t: int, address: int, size: int) -> int:
    """Number of the recent record that wrote some of these bytes, 0: none. Of several the one whose data comes last."""
    oldest = max(f.number[t] - MAX_BACK, f.floor[t])
    best, best_done = 0, -1
    word, end = address >> 3, address + size
    while word << 3 < end:
        low, high = max(address - (word << 3), 0), min(end - (word << 3), 8)
        mask = (0xFF << low & 0xFF) & (0xFF >> (8 - high))
        n = f.head[t, (word ^ word >> 8) & (HEADS - 1)]
        while n > 0 and n > f.stores[t] - RING:
            i = n & (RING - 1)
            a = f.writer[t, i]
            if a < oldest:
                break
            if f.word[t, i] == word and int(f.mask[t, i]) & mask:
                if f.done[t, a & (WINDOW - 1)] > best_done:
                    best, best_done = a, f.done[t, a & (WINDOW - 1)]
                mask &= ~int(f.mask[t, i])
                if mask == 0:
                    break
            n = f.older[t, i]
        word += 1
    return best
