"""How the engine holds a record: two int64 words.

word0: address 44 bits | class 10 | kind 4 | split 1 | taken 1 | end of an operation 1
word1: instructions 8 | dep0 8 | dep1 8 | dep2 8 | lag0 7 | lag1 7 | lag2 7 | fwd 8 | chain 1

chain: this record and all that follow within a window are plain links: loads that need the load before them and
nothing else, and whose instructions issue faster than the load before can end. No record of such a stretch can start
early, so the front end need not look ahead (core.py).
"""

import numpy as np
import numpy.typing as npt

from numasim.traces.records import ATOMIC, BRANCH, LOAD, LOCK, PREFETCH, STORE, UNLOCK, Records

ADDRESS = (1 << 44) - 1
CLASS, CLASS_MASK = 44, 1023
KIND, KIND_MASK = 54, 15
SPLIT, TAKEN, OP_END_BIT = 58, 59, 60
INSNS_MASK = 255
DEPS, LAGS, FWD, CHAIN = 8, 32, 53, 61
WINDOW = 255  # records a chain flag vouches for
IS_ACCESS = np.isin(np.arange(16), (LOAD, STORE, ATOMIC, PREFETCH, LOCK, UNLOCK))


def pack(
    r: Records, klass: npt.ArrayLike, op_end: npt.ArrayLike, plain_ps: tuple[int, int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Both words of a chunk of records.

    klass: class of each record (n,) or 0-d; op_end: 1 for the last record of an operation; plain_ps: the thread's
    issue slot, the cycle, and the L1 latency, all in picoseconds: what decides whether a link is plain.
    """
    n = len(r.address)

    def column(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        return np.asarray(values, np.int64)

    address, kind = column(r.address), column(r.kind)
    is_access = IS_ACCESS[kind]
    split = is_access & ((address & 63) + column(r.size) > 64)
    address = np.where(kind == BRANCH, address & ADDRESS, address)
    word0 = np.empty(n, np.int64)
    word0[:] = address | column(klass) << CLASS | kind << KIND | split.astype(np.int64) << SPLIT
    word0 |= column(r.taken) << TAKEN | column(op_end) << OP_END_BIT
    deps = column(r.dep0) | column(r.dep1) << 8 | column(r.dep2) << 16
    insns = column(r.insns)
    word1 = np.empty(n, np.int64)
    word1[:] = insns | deps << DEPS | column(r.lag0) << LAGS | column(r.lag1) << LAGS + 7 | column(r.lag2) << LAGS + 14
    word1 |= column(r.fwd) << FWD
    slot, cycle, l1 = plain_ps
    plain = (deps == 1) & (kind == LOAD) & (column(r.fwd) == 0) & ~split & (column(op_end) == 0)
    plain = plain & (insns * slot <= l1 + column(r.lag0) * cycle)
    word1 |= chains(np.broadcast_to(plain, n)).astype(np.int64) << CHAIN
    return word0, word1


def chains(plain: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Records from which on WINDOW + 1 records in a row are plain. What lies beyond the chunk counts as not plain."""
    n = len(plain)
    breaks = np.flatnonzero(~plain)
    following = np.append(breaks, n)[np.searchsorted(breaks, np.arange(n))] if len(breaks) else np.full(n, n)
    return np.asarray(following - np.arange(n) > WINDOW)
