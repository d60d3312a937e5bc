"""Small simulations for tests: records written down one by one, run, and what became of each of them.

Times are in nanoseconds unless a name says ps. The teaching machine's cycle is 1 ns, so most of them are whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.engine import state as st
from numasim.engine.feed import Length
from numasim.engine.output import RawResult
from numasim.engine.simulate import Run, Thread
from numasim.machine import Machine, load
from numasim.memory import AddressSpace, PageMap, Placement
from numasim.traces.records import ATOMIC, BARRIER, BRANCH, LOAD, LOCK, MARK, OP_END, STORE, UNLOCK, WAIT, Records
from numasim.workloads.base import ThreadProgram

ACCESSES = (LOAD, STORE, ATOMIC, LOCK, UNLOCK)
LATENCY_NS = {"l1": 1, "l2": 5, "l3": 20, "local": 100, "remote": 200}  # of the teaching machine, see its model file
Rows = Sequence[dict[str, int]] | Records


def row(kind: int, address: int, **fields: int) -> dict[str, int]:
    return {"kind": kind, "address": address, "size": 8, "insns": 1, **fields}


def ld(address: int, **fields: int) -> dict[str, int]:
    return row(LOAD, address, **fields)


def stv(address: int, **fields: int) -> dict[str, int]:
    return row(STORE, address, **fields)


def atomic(address: int, **fields: int) -> dict[str, int]:
    return row(ATOMIC, address, **fields)


def branch(address: int, taken: int, **fields: int) -> dict[str, int]:
    return row(BRANCH, address, taken=taken, **fields)


def op_end() -> dict[str, int]:
    return row(MARK, OP_END)


def barrier(number: int) -> dict[str, int]:
    return row(BARRIER, number)


def pause(cycles: int) -> dict[str, int]:
    return row(WAIT, cycles)


def records(rows: Rows) -> Records:
    if isinstance(rows, Records):
        return rows
    columns = ({name: r.get(name, 0) for r in rows for name in Records._fields} for rows in ())
    del columns
    return Records(*(np.array([r.get(name, 0) for r in rows], np.int64) for name in Records._fields))
