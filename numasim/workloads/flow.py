"""From the steps a program does to records with exact dependences: registers are followed through the code.

A step says which registers its address needs and which it loads, as an instruction does; the records' `dep` fields
then are how far back the load is that last wrote the register. State is carried from chunk to chunk.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.records import CHUNK, LOAD, MAX_BACK, STORE, Records

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_NEVER = -(1 << 20)  # place of a write that has not been: too far back to count


class Step(NamedTuple):
    """One record of the code.

    insns: instructions since the record before, this one included. reads: registers its address (a branch's condition,
    a store's data) is made from, each with the cycles of the instructions in between; at most three. writes: registers
    that hold what it loads. cell: it accesses data that this thread stores to, so a load may be forwarded a store.
    """

    site: str
    kind: int = LOAD
    insns: int = 1
    reads: Mapping[str, int] = {}
    writes: tuple[str, ...] = ()
    size: int = 8
    cell: bool = False


class Code:
    """The steps of a program by name. `sites` are the names of the call sites, in the order they appear."""

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self.sites = list(dict.fromkeys(step.site for step in steps.values()))
        self.number = {name: number for number, name in enumerate(steps)}
        table = list(steps.values())
        self.kind = np.array([s.kind for s in table], np.uint8)
        self.size = np.array([s.size for s in table], np.uint8)
        self.insns = np.array([s.insns for s in table], np.uint8)
        self.site = np.array([self.sites.index(s.site) for s in table], np.uint8)
        self.cell = np.array([s.cell for s in table])
        self.forwards = bool(np.any(self.cell & (self.kind == STORE)))
        read = sorted({register for s in table for register in s.reads})
        self.writes = {r: np.array([r in s.writes for s in table]) for r in read}
        self.reads = [_column([list(s.reads)[k : k + 1] for s in table], read) for k in range(3)]
        self.lags = [np.array([(*s.reads.values(), 0, 0, 0)[k] for s in table], np.uint8) for k in range(3)]
        self.kept: dict[tuple[int, tuple[int, ...]], tuple[Bytes, _Columns]] = {}
        self.patterns: dict[tuple[object, ...], Bytes] = {}

    def steps(self, *names: str) -> Bytes:
        """Numbers of steps."""
        return np.array([self.number[name] for name in names], np.uint8)

    def pattern(self, body: tuple[str, ...], times: int, head: tuple[str, ...], tail: tuple[str, ...]) -> Bytes:
        """The steps of `body` again and again, between others: one array for one wish, so that columns can be kept."""
        wish = body, times, head, tail
        if wish not in self.patterns:
            middle = np.tile(self.steps(*body), times)
            self.patterns[wish] = np.concatenate([self.steps(*head), middle, self.steps(*tail)])
        return self.patterns[wish]


class _Columns(NamedTuple):
    """What follows from the steps of some records alone. last: where registers were last written, from the end."""

    fields: dict[str, npt.NDArray[np.uint8]]
    last: tuple[int, ...]


def _column(registers: Sequence[Sequence[str]], read: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """For each register, which steps read it at this place of their list."""
    return {r: np.array([list(mine) == [r] for mine in registers]) for r in read if [r] in [list(m) for m in registers]}


class Flow:
    """One thread's way through the code, in chunks. `ends`: steps just before the first chunk, if any."""

    def __init__(self, code: Code, ends: Sequence[str] = ()) -> None:
        self.code = code
        self.last: tuple[int, ...] = (_NEVER,) * len(code.writes)
        self.stored = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))
        if ends:
            self.last = _columns(code, code.steps(*ends), self.last).last

    def records(self, step: Bytes, address: Ints, taken: npt.ArrayLike = 0, keep: bool = False) -> Records:
        """The next records. step: numbers in the code; address, taken: as in Records. keep: `step` comes again."""
        assert len(step) <= CHUNK
        key = (id(step), self.last)
        if key in self.code.kept:
            columns = self.code.kept[key][1]
        else:
            columns = _columns(self.code, step, self.last)
            if keep:
                self.code.kept[key] = step, columns
        self.last = columns.last
        fwd: npt.ArrayLike = self._forwarded(step, address) if self.code.forwards else np.uint8(0)
        return Records(address, taken=taken, fwd=fwd, **columns.fields)

    def _forwarded(self, step: Bytes, address: Ints) -> Bytes:
        """How far back the store is that wrote what a `cell` load reads: the last one to the same address."""
        out = np.zeros(len(step), np.uint8)
        place = np.flatnonzero(self.code.cell[step])
        old_place, old_address, old_store = self.stored
        at = np.concatenate([old_address, address[place]])
        store = np.concatenate([old_store, (self.code.kind == STORE)[step[place]]])
        place = np.concatenate([old_place, place])
        order = np.argsort(at, kind="stable")
        sorted_place, sorted_at, rank = place[order], at[order], np.arange(len(order))
        before = np.maximum.accumulate(np.where(store[order], rank, -1))
        found = np.concatenate([[-1], before[:-1]])[: len(order)]
        back = np.where(found >= 0, sorted_place - sorted_place[found], MAX_BACK + 1)
        hit = (back <= MAX_BACK) & (sorted_at == sorted_at[found]) & ~store[order] & (sorted_place >= 0)
        out[sorted_place[hit]] = back[hit]
        near = place >= len(step) - MAX_BACK
        self.stored = place[near] - len(step), at[near], store[near]
        return out


def _columns(code: Code, step: Bytes, last: tuple[int, ...]) -> _Columns:
    """Dependences and what else follows from the steps alone. A column that is the same for all is 0-d."""
    index = np.arange(len(step), dtype=np.int32)
    deps = [np.zeros(len(step), np.int32) if reads else None for reads in code.reads]
    after = []
    for at, (register, writers) in enumerate(code.writes.items()):
        write = np.empty(len(step) + 1, np.int32)
        write[0] = last[at]
        write[1:] = np.where(writers[step], index, _NEVER)
        np.maximum.accumulate(write, out=write)
        after.append(int(write[-1]) - len(step) if write[-1] >= len(step) - MAX_BACK else _NEVER)
        back = index - write[:-1]
        back[back > MAX_BACK] = 0
        for dep, reads in zip(deps, code.reads, strict=True):
            if dep is not None and register in reads:
                np.copyto(dep, back, where=reads[register][step])
    columns = {name: _take(getattr(code, name), step) for name in ("kind", "size", "insns", "site")}
    for k, dep in enumerate(deps):
        columns[f"dep{k}"] = np.zeros((), np.uint8) if dep is None else dep.astype(np.uint8)
        columns[f"lag{k}"] = _take(code.lags[k], step)
    return _Columns(columns, tuple(after))


def _take(table: npt.NDArray[np.uint8], step: Bytes) -> npt.NDArray[np.uint8]:
    return table[0] if (table == table[0]).all() else table[step]
