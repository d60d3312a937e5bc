"""The inner loop of the lackey reader where the program's code is known: as lackey_scan, and with the data flow.

An instruction's memory lines follow its line; so its registers are written, and a branch's outcome is known, when the
thread's next instruction begins. Whether memory was touched and where is the log's to say: an instruction that the
disassembly gives a memory operand (nop) makes no record if the log has none.
"""

import numpy as np
import numpy.typing as npt

from numasim.traces import flow
from numasim.traces import handover as ho
from numasim.traces.code import effects as e
from numasim.traces.compiled import compiled, inlined
from numasim.traces.flow import L1_CYCLES, LOADED, NEED, OUT, PAIR, WINDOW, Flow
from numasim.traces.handover import Handover
from numasim.traces.readers.lackey_scan import (
    BAD,
    END,
    FULL,
    INSTRUCTIONS,
    LINES,
    LOADS,
    MARKER,
    MESSAGE,
    OFFSET,
    ON,
    PAGE,
    ROWS,
    SPARE,
    STORES,
    THREAD,
    TRACED,
    Rows,
    Scan,
    parse,
    site_of,
)
from numasim.traces.records import ATOMIC, AWAIT, BRANCH, LOAD, MAX_BACK, MAX_LAG, STORE

NEW_CODE = 5  # why scan() stopped: an instruction that is not known; at the start of its line


@inlined
def gather(f: Flow, t: int, kind: int, first: int, room: int, lag: int, into: int) -> None:
    """Add the sets of an instruction's registers, listed in its columns from `first` on, to set `into`."""
    oldest = f.number[t] - MAX_BACK
    for column in range(first, first + room):
        register = int(f.kinds[kind, column])
        if register < 0:
            break
        ended = flow.merge(f, t, into, register, lag, oldest)
        if into == NEED:
            f.counts[flow.ENDED] += ended


@inlined
def record(s: Scan, rows: Rows, f: Flow, kind: int, address: int, size: int, site: int, writer: int) -> int:
    """A row whose needs are those in set NEED; writer: the record whose data it reads, 0: none. Returns its number."""
    t, row = int(s.now[THREAD]), int(s.now[ROWS])
    number = f.number[t]
    oldest = number - MAX_BACK
    insns = min(int(s.pending[t]), 255) if kind != AWAIT else 0
    s.pending[t] -= insns
    rows.thread[row], rows.site[row], rows.kind[row], rows.insns[row] = t, site, kind, insns
    rows.address[row], rows.size[row], rows.taken[row] = address, size, 0
    rows.dep0[row] = rows.dep1[row] = rows.dep2[row] = 0
    rows.lag0[row] = rows.lag1[row] = rows.lag2[row] = 0
    ready = f.issued[t] // flow.ISSUE_WIDTH
    below, below_number = 1 << 60, 1 << 60
    for place in range(4):
        j = flow.last_of_need(f, t, oldest, below, below_number)
        if j < 0:
            break
        a, lag = f.at[t, NEED, j], min(f.lag[t, NEED, j], MAX_LAG)
        below, below_number = f.done[t, a & (WINDOW - 1)] + lag, a
        if place == 0:
            rows.dep0[row], rows.lag0[row] = number - a, lag
            ready = max(ready, below)
        elif place == 1:
            rows.dep1[row], rows.lag1[row] = number - a, lag
        elif place == 2:
            rows.dep2[row], rows.lag2[row] = number - a, lag
        else:
            f.counts[flow.INCOMPLETE] += 1
            f.lost[t, NEED] = 0
    if f.lost[t, NEED] >= oldest:
        f.counts[flow.INCOMPLETE] += 1
    rows.fwd[row] = 0
    if writer:
        rows.fwd[row] = number - writer
        ready = max(ready, f.done[t, writer & (WINDOW - 1)])
        f.counts[flow.FORWARDED] += 1
    f.done[t, number & (WINDOW - 1)] = ready + (L1_CYCLES if kind in (LOAD, ATOMIC) else 1)
    f.number[t] = number + 1
    s.now[ROWS] = row + 1
    return int(number)


@inlined
def lasts(f: Flow, t: int) -> None:
    """The instruction of thread t is over: nothing of it is waited for."""
    flow.clear(f, t, LOADED)
    f.atomic[t] = 0
    f.load_row[t] = f.store_row[t] = -1


@inlined
def close(s: Scan, rows: Rows, f: Flow, h: Handover, t: int, following: int) -> None:
    """The instruction of thread t is over, and the one at `following` comes next: write its registers."""
    entry = f.opened[t]
    if entry < 0:
        return
    kind = int(f.entry_kind[entry])
    flags = int(f.kinds[kind, e.FLAGS])
    oldest = f.number[t] - MAX_BACK
    if flags & e.UNKNOWN:
        for register in range(e.REGISTERS):
            flow.clear(f, t, register)
        lasts(f, t)
        return
    if flags & e.BRANCH:
        flow.clear(f, t, NEED)
        gather(f, t, kind, e.DATA, e.DATAS, 0, NEED)
        code = int(f.entry_code[entry])
        record(s, rows, f, BRANCH, code, 0, site_of(s, code), 0)
        if following != code + int(f.entry_size[entry]):
            rows.taken[s.now[ROWS] - 1] = 1
            f.counts[flow.TAKEN] += 1
        f.counts[flow.BRANCHES] += 1
    elif flags & e.SYSCALL:
        f.floor[t] = f.number[t]
    for pair in range(e.PAIRED):
        source = int(f.kinds[kind, e.PAIRS + 2 * pair + 1])
        if source < 0:
            break
        flow.clear(f, t, PAIR + pair)
        flow.merge(f, t, PAIR + pair, source, int(f.kinds[kind, e.PAIR_LATENCY]), oldest)
    if f.kinds[kind, e.WRITES] >= 0:
        flow.clear(f, t, OUT)
        gather(f, t, kind, e.DATA, e.DATAS, int(f.kinds[kind, e.LATENCY]), OUT)
        flow.merge(f, t, OUT, LOADED, int(f.kinds[kind, e.LOAD_LATENCY]), oldest)
        for column in range(e.WRITES, e.WRITES + e.WRITTEN):
            register = int(f.kinds[kind, column])
            if register < 0:
                break
            flow.copy(f, t, register, OUT)
            if register < 32:
                constant = int(f.kinds[kind, e.CONSTANT])
                if constant == e.COPY:
                    source = int(f.kinds[kind, e.DATA])
                    constant = int(h.constant[t, source]) if source < 32 else -1
                h.constant[t, register] = constant
    for pair in range(e.PAIRED):
        register = int(f.kinds[kind, e.PAIRS + 2 * pair])
        if register < 0:
            break
        flow.copy(f, t, register, PAIR + pair)
    lasts(f, t)


@inlined
def instruction(s: Scan, rows: Rows, f: Flow, h: Handover, code: int, size: int) -> bool:
    """An instruction begins. False, and nothing is done, if it is not known yet."""
    t, size = int(s.now[THREAD]), min(size, flow.LARGEST)
    entry = flow.find(f, code)
    if entry < 0 or f.entry_size[entry] != size:
        return False
    flags = int(f.kinds[f.entry_kind[entry], e.FLAGS])
    if flags & e.REP and f.opened[t] == entry:
        f.counts[flow.FOLDED] += 1
        return True
    close(s, rows, f, h, t, code)
    f.opened[t] = entry
    s.pending[t] += 1
    s.code[t] = code
    s.now[INSTRUCTIONS] += 1
    f.issued[t] += 1
    s.executed[t] += 1
    if flags & (e.PREFETCH | e.SYSCALL | e.INDIRECT | e.UNKNOWN):
        f.counts[flow.PREFETCHES] += int(flags & e.PREFETCH != 0)
        if flags & e.SYSCALL:
            f.counts[flow.SYSCALLS] += 1
            calls(s, f, h, t)
        f.counts[flow.INDIRECT] += int(flags & e.INDIRECT != 0)
        f.counts[flow.UNKNOWN_CODE] += int(flags & e.UNKNOWN != 0)
    return True


@inlined
def calls(s: Scan, f: Flow, h: Handover, t: int) -> None:
    """Thread t makes a system call: note those that make or end threads."""
    h.call[t] = h.constant[t, h.calls[0]]
    if h.call[t] in (h.calls[1], h.calls[2]):
        h.now[ho.MAKER], h.now[ho.MADE_AT] = t, f.number[t] - 1
    elif h.call[t] == h.calls[4]:
        h.ended[t], h.ended_at[t] = f.number[t] - 1, s.now[LINES]


@inlined
def awaits(s: Scan, rows: Rows, f: Flow, h: Handover, t: int, other: int, number: int) -> None:
    """An AWAIT row, if thread t has not waited for this record of the other, or a later one, before."""
    token = ho.wait(h, t, other, number)
    if token >= 0:
        flow.clear(f, t, NEED)
        record(s, rows, f, AWAIT, token, 0, site_of(s, int(s.code[t])), 0)


@inlined
def reads(s: Scan, rows: Rows, f: Flow, h: Handover, t: int, address: int, size: int, atomic: bool) -> None:
    """Thread t reads what another may have to write first."""
    j = ho.looks_at(h, t, address, size, atomic)
    if j == ho.LOOKS:
        i = ho.slot(address >> 3)
        awaits(s, rows, f, h, t, int(h.owner[i]), int(h.record[i]))
    elif j >= 0:
        awaits(s, rows, f, h, t, int(h.writer[t, j]), int(h.wrote[t, j]))


@inlined
def extends(rows: Rows, row: int, address: int, size: int) -> bool:
    """Do these bytes lie next to those of a row, in its line? Then they are added to it."""
    if row < 0 or rows.address[row] >> 6 != address >> 6 or (address + size - 1) >> 6 != address >> 6:
        return False
    if rows.address[row] + rows.size[row] == address:
        rows.size[row] += size
    elif address + size == rows.address[row]:  # the direction flag is set
        rows.address[row] = address
        rows.size[row] += size
    else:
        return False
    return True


@inlined
def load(s: Scan, rows: Rows, f: Flow, t: int, kind: int, address: int, size: int, site: int) -> None:
    """Rows of a load, cut after each 64 bytes."""
    repeats = int(f.kinds[kind, e.FLAGS]) & e.REP != 0
    if repeats and extends(rows, int(f.load_row[t]), address, size):
        return
    if repeats:
        flow.clear(f, t, LOADED)  # the turns before have no part in this one
    while size > 0:
        flow.clear(f, t, NEED)
        gather(f, t, kind, e.ADDRESS, e.ADDRESSES, 0, NEED)
        piece = min(size, 64)
        number = record(s, rows, f, LOAD, address, piece, site, flow.writer_of(f, t, address, piece))
        flow.put_in(f, t, LOADED, number, 0, number - MAX_BACK)
        address, size = address + 64, size - 64
    if repeats:
        f.load_row[t] = s.now[ROWS] - 1


@inlined
def store(s: Scan, rows: Rows, f: Flow, t: int, kind: int, address: int, size: int, site: int) -> None:
    """Rows of a store, cut after each 64 bytes; it needs its address, and the data it writes."""
    flags = int(f.kinds[kind, e.FLAGS])
    repeats = flags & e.REP != 0
    if repeats and extends(rows, int(f.store_row[t]), address, size):
        flow.wrote(f, t, address, size, int(f.store_number[t]))
        return
    lag = int(f.kinds[kind, e.LOAD_LATENCY])
    while size > 0:
        flow.clear(f, t, NEED)
        gather(f, t, kind, e.ADDRESS, e.ADDRESSES, 0, NEED)
        gather(f, t, kind, e.DATA, e.DATAS, lag, NEED)
        if flags & e.APART == 0:
            flow.merge(f, t, NEED, LOADED, lag, f.number[t] - MAX_BACK)
        piece = min(size, 64)
        number = record(s, rows, f, STORE, address, piece, site, 0)
        f.store_number[t] = number
        flow.wrote(f, t, address, piece, number)
        address, size = address + 64, size - 64
    if repeats:
        f.store_row[t] = s.now[ROWS] - 1


@inlined
def access(
    s: Scan, rows: Rows, f: Flow, h: Handover, threads: int, loads: bool, stores: bool, address: int, size: int
) -> None:
    """Records of one L, S or M line."""
    t = int(s.now[THREAD])
    kind = int(f.entry_kind[f.opened[t]]) if f.opened[t] >= 0 else 0
    site = site_of(s, int(s.code[t]))
    s.accesses[t] += 1
    flags = int(f.kinds[kind, e.FLAGS])
    atomic = flags & e.ATOMIC != 0 and size <= 64
    if loads or atomic:
        reads(s, rows, f, h, t, address, size, atomic)
    first = f.number[t]
    if atomic:
        if f.atomic[t] == 0:
            f.atomic[t] = 1
            flow.clear(f, t, NEED)
            gather(f, t, kind, e.ADDRESS, e.ADDRESSES, 0, NEED)
            gather(f, t, kind, e.DATA, e.DATAS, 0, NEED)
            number = record(s, rows, f, ATOMIC, address, size, site, flow.writer_of(f, t, address, size))
            flow.clear(f, t, LOADED)
            flow.put_in(f, t, LOADED, number, 0, number - MAX_BACK)
            flow.wrote(f, t, address, size, number)
            f.counts[flow.ATOMICS] += 1
    else:
        if loads:
            load(s, rows, f, t, kind, address, size, site)
        loaded = f.number[t]
        if stores:
            store(s, rows, f, t, kind, address, size, site)
        s.now[LOADS] += loaded - first
        s.now[STORES] += f.number[t] - loaded
    if (stores or atomic) and f.number[t] > first:
        stored = not atomic or flags & e.STORES != 0
        ho.writes(h, t, threads, address, size, f.number[t] - 1, atomic or flags & e.STORES != 0, stored)


@compiled
def scan(
    text: npt.NDArray[np.uint8], at: int, end: int, s: Scan, rows: Rows, f: Flow, h: Handover, threads: int
) -> tuple[int, int]:
    """As lackey_scan.scan; NEW_CODE where an instruction is not known, at the start of its line.

    threads: the numbers of those seen so far are below.
    """
    room = len(rows.address) - SPARE - 2
    while at < end:
        if s.now[ROWS] > room or h.now[ho.WAITING] >= ho.POSTS:
            return FULL, at
        head, letter = int(text[at]), int(text[at + 1])
        loads = letter == 76 or letter == 77  # L, M
        stores = letter == 83 or letter == 77  # S, M
        if head == 73:  # I
            if letter != 32 or text[at + 2] != 32:
                return BAD, at
        elif head != 32 or text[at + 2] != 32 or not (loads or stores):
            return MESSAGE, at
        address, size, cursor = parse(text, at)
        if size == 0:
            return BAD, at
        if head == 73 and s.now[ON] and not instruction(s, rows, f, h, address, size):
            return NEW_CODE, at
        at = cursor + 1
        s.now[LINES] += 1
        s.now[TRACED] += 1
        if head == 73:
            continue
        if address >> 12 == PAGE >> 12:
            if stores and size == 8:
                s.now[OFFSET] = address & 4095
                return MARKER, at
        elif s.now[ON]:
            access(s, rows, f, h, threads, loads, stores, address, size)
    return END, at
