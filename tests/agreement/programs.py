"""Programs made at random: all kinds of records, dependences of all reaches, shared data, locks, barriers, tokens."""

from collections.abc import Iterator

import numpy as np

from numasim.traces.records import (
    ATOMIC,
    AWAIT,
    BARRIER,
    BRANCH,
    COMPUTE,
    LOAD,
    LOCK,
    MARK,
    OP_END,
    POST,
    PREFETCH,
    STORE,
    UNLOCK,
    WAIT,
    Records,
)
from numasim.workloads.base import ThreadProgram

TURNS = 6  # a lap, where threads post and await tokens


def mixed(
    base: int, size: int, seed: int, records: int, synchronised: bool, operations: bool, chains: bool,
    turns: tuple[int, int] | None = None,
) -> ThreadProgram:  # fmt: skip
    """A thread's program over `size` bytes from `base`: no two laps are the same. turns: (this thread's number, how
    many there are) if they post and await tokens: at a turn, some of those of the turn before."""

    def lap(number: int) -> Iterator[Records]:
        rng = np.random.default_rng([seed, number])
        kinds = rng.choice([LOAD] * 6 + [STORE] * 3 + [ATOMIC, PREFETCH, BRANCH, BRANCH, WAIT, COMPUTE], records)
        spread = rng.choice([256, 4096, size])
        address = base + rng.integers(0, min(spread, size) - 72, records)
        if rng.random() < 0.5:
            address &= ~np.int64(7)  # else some accesses are split over two lines
        reach = [
            np.minimum(rng.integers(0, 40, records) * (rng.random(records) < p), np.arange(records))
            for p in (0.7, 0.3, 0.2)
        ]
        if chains:
            stretch = slice(records // 4, None)
            kinds[stretch] = LOAD
            reach[0][stretch], reach[1][stretch], reach[2][stretch] = 1, 0, 0
        stores = np.flatnonzero(kinds == STORE)
        before = np.searchsorted(stores, np.arange(records)) - 1
        fwd = np.where(before >= 0, np.arange(records) - stores[np.maximum(before, 0)], 0) if len(stores) else 0 * kinds
        fwd = np.where((kinds == LOAD) & (fwd < 20) & (rng.random(records) < 0.2) & (not chains), fwd, 0)
        address = np.where(kinds == WAIT, rng.integers(0, 40, records), address)
        insns, lag = rng.integers(1, 30, records), rng.integers(0, 12, records)
        if chains:  # fast enough for the front end to wait at the chain, but for a record here and there
            insns[stretch] = np.where(rng.random(records - records // 4) < 0.002, 29, rng.integers(1, 4))
            if rng.random() < 0.5:
                lag[stretch] = rng.integers(0, 12)
        r = Records(
            address, kinds, 8, insns, rng.integers(0, 3, records), reach[0], reach[1], reach[2],
            lag, rng.integers(0, 4, records), 2, fwd, rng.integers(0, 2, records),
        )  # fmt: skip
        if operations:
            r = _insert(r, range(10, records, 37), [(MARK, OP_END)])
        if synchronised:
            lock = base + 64 * int(rng.integers(0, 2))
            r = _insert(r, [records // 3], [(LOCK, lock), (STORE, lock + 128), (UNLOCK, lock)])
            r = _insert(r, [records // 2], [(BARRIER, 0)])
        if turns:
            me, threads = turns
            for turn in range(TURNS):
                others = [int(rng.integers(0, threads)) + (turn - 1) * threads for _ in range(rng.integers(0, 4))]
                awaits = [(AWAIT, token) for token in others if turn]
                r = _insert(r, [len(r.address) * turn // TURNS], [*awaits, (POST, turn * threads + me)])
        yield r

    barriers = (0,) if synchronised else ()
    tokens = TURNS * turns[1] if turns else 0
    return ThreadProgram(lap, records, False, operations=operations, barriers=barriers, tokens=tokens)


def _insert(r: Records, where: list[int] | range, what: list[tuple[int, int]]) -> Records:
    """Records put in between, each a kind and an address. (Dependences over them then reach one further than meant.)"""
    n = len(r.address)
    columns = [np.broadcast_to(np.asarray(column), n) for column in r]
    new = dict(zip(Records._fields, [0] * len(columns), strict=True)) | {"size": 8, "insns": 1}
    at = np.repeat(np.fromiter(where, np.int64), len(what))
    kinds, addresses = (np.tile([w[k] for w in what], len(list(where))) for k in (0, 1))
    out = []
    for name, column in zip(Records._fields, columns, strict=True):
        value = kinds if name == "kind" else addresses if name == "address" else np.full(len(at), new[name])
        out.append(np.insert(column, at, value))
    return Records(*out)
