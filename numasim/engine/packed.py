"""How the engine holds a record: two int64 words.

word0: address 44 bits | class 10 | kind 4 | split 1 | taken 1 | end of an operation 1
word1: instructions 8 | dep0 8 | dep1 8 | dep2 8 | lag0 7 | lag1 7 | lag2 7 | fwd 8 | chain 1

An await has, above its instructions, how often its token must have been posted in place of all that.
chain: this record and all that follow within a window are plain links: loads that need the load before them and
nothing else, and whose instructions issue faster than the load before can end. No record of such a stretch can start
early, so the front end need not look ahead (core.py).
"""

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.records import ATOMIC, BRANCH, LOAD, LOCK, PREFETCH, STORE, UNLOCK, Records

ADDRESS = (1 << 44) - 1
CLASS, CLASS_MASK = 44, 1023
KIND, KIND_MASK = 54, 15
SPLIT, TAKEN, OP_END_BIT = 58, 59, 60
INSNS_MASK = 255
DEPS, LAGS, FWD, CHAIN = 8, 32, 53, 61
NEEDED = 8
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
    address, kind, op_end = (np.asarray(c, np.int64) for c in (r.address, r.kind, op_end))
    access = IS_ACCESS[kind]
    split = access & ((address & 63) > 64 - np.asarray(r.size, np.int64)) if access.any() else np.False_
    if not split.any():
        split = np.False_
    if (kind == BRANCH).any():
        address = np.where(kind == BRANCH, address & ADDRESS, address)
    word0 = _joined(
        n, ("address", address, 0, CLASS), ("class", klass, CLASS, 10), ("kind", kind, KIND, 4),
        ("split", split, SPLIT, 1), ("taken", r.taken, TAKEN, 1), ("end", op_end, OP_END_BIT, 1),
    )  # fmt: skip
    word1 = _joined(
        n, ("insns", r.insns, 0, 8), ("dep0", r.dep0, DEPS, 8), ("dep1", r.dep1, DEPS + 8, 8),
        ("dep2", r.dep2, DEPS + 16, 8), ("lag0", r.lag0, LAGS, 7), ("lag1", r.lag1, LAGS + 7, 7),
        ("lag2", r.lag2, LAGS + 14, 7), ("fwd", r.fwd, FWD, 8),
    )  # fmt: skip
    slot, cycle, l1 = plain_ps
    plain = (np.equal(r.dep0, 1) & np.equal(r.dep1, 0) & np.equal(r.dep2, 0) & np.equal(r.fwd, 0)) & (kind == LOAD)
    plain = plain & ~split & (op_end == 0)
    lag = np.asarray(r.lag0, np.int64)
    following = (
        np.append(lag[1:], 0) if lag.ndim else lag
    )  # what the next record waits for hides this one's instructions
    plain = plain & (np.asarray(r.insns, np.int64) * slot <= l1 + np.minimum(lag, following) * cycle)
    if plain.ndim == 0:
        word1[: max(n - WINDOW, 0) if plain else 0] |= 1 << CHAIN
    else:
        word1 |= chains(plain).astype(np.int64) << CHAIN
    return word0, word1


def _joined(n: int, *columns: tuple[str, npt.ArrayLike, int, int]) -> npt.NDArray[np.int64]:
    """n words of columns: (name, values, place, bits). Most are the same for all records, and take no time then."""
    same, word = 0, np.zeros(0, np.int64)
    for name, values, place, bits in columns:
        column = np.asarray(values, np.int64)
        most = int(column.view(np.uint64).max(initial=0))  # a negative one is large
        if most >> bits:
            raise UserError(f"a record with {name}={most}", "workload", f"at most {(1 << bits) - 1}")
        if column.ndim == 0:
            same |= most << place
        elif len(word) == 0:
            word = column << place
        else:
            word |= column << place
    if len(word) == 0:
        return np.full(n, same, np.int64)
    if same:
        word |= same
    return word


def chains(plain: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Records from which on WINDOW + 1 records in a row are plain. What lies beyond the chunk counts as not plain."""
    n = len(plain)
    breaks = np.flatnonzero(~plain)
    following = np.append(breaks, n)[np.searchsorted(breaks, np.arange(n))] if len(breaks) else np.full(n, n)
    return np.asarray(following - np.arange(n) > WINDOW)
