"""What an instruction reads and writes, as numbers, and the dense table of it that compiled code reads.

Registers are numbered so that the parts of one are one: al, ax, eax and rax are 0. What a part's write leaves of the
rest counts as read. How many registers there are is REGISTERS; each architecture numbers its own (x86.py, aarch64.py).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

REGISTERS = 96

# flags of an instruction
BRANCH = 1  # conditional: its data registers decide it
ATOMIC = 2  # what it does to memory is one step: lock, xchg, ldadd, stxr
REP = 4  # a string instruction that repeats: a line a turn
SYSCALL = 8  # reads and writes memory unseen
UNKNOWN = 16  # its code is not known
PREFETCH = 32  # of software: nothing of it is in a log
INDIRECT = 64  # a jump or call to an address in a register or in memory
STORES = 256  # an atomic store: xchg, swp, stlr write whatever was there before
APART = 128  # what it stores is not what it loads: a call's return address

COPY = -2

# columns of the table
FLAGS, LATENCY, LOAD_LATENCY, PAIR_LATENCY, CONSTANT = range(5)
ADDRESS, ADDRESSES = 5, 4
DATA, DATAS = 9, 10
WRITES, WRITTEN = 19, 8
PAIRS, PAIRED = 27, 3
WIDTH = 33


class Effects(NamedTuple):
    """One instruction.

    address: registers its address is made of.  data: other registers it reads.  writes: registers that get what is made
    of data and of what it loads.  pairs: (register, register it is made of), whatever else the instruction does: rsp of
    a push, the base of a post-indexed load.  latency: cycles from a data register to what it writes.  load_latency:
    cycles from what it loads, beyond those of an integer load.  pair_latency: cycles of the pairs.  size: bytes.
    constant: what it writes, if that is a constant; COPY: what its one data register holds; else -1.
    """

    address: tuple[int, ...] = ()
    data: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    latency: int = 1
    load_latency: int = 0
    pair_latency: int = 0
    flags: int = 0
    size: int = 0
    constant: int = -1


NOTHING_KNOWN = Effects(flags=UNKNOWN)


def row_of(e: Effects) -> npt.NDArray[np.int16]:
    """A row of the table [WIDTH]; lists of registers end with -1 or with their columns."""
    row = np.full(WIDTH, -1, np.int16)
    row[FLAGS], row[LATENCY], row[LOAD_LATENCY], row[PAIR_LATENCY] = e.flags, e.latency, e.load_latency, e.pair_latency
    row[CONSTANT] = e.constant if e.constant < 1 << 15 else -1  # a system call's number is small
    for start, room, registers in (
        (ADDRESS, ADDRESSES, e.address),
        (DATA, DATAS, e.data),
        (WRITES, WRITTEN, e.writes),
        (PAIRS, 2 * PAIRED, tuple(r for pair in e.pairs for r in pair)),
    ):
        kept = registers[:room]
        row[start : start + len(kept)] = kept
    return row
