"""The inner loop of the ChampSim reader: instructions in, records out, with the loads each record needs.

Compiled where numba is there, plain Python otherwise. No names from other files: the cached code depends on this one.

Data flow. A register carries the numbers of up to three loads (records, counted from the trace's begin) its value was
made of, and the cycles of the instructions since. An instruction's loads need what its address registers carry; its
stores and its branch need its own loads and what its other registers carry. Its destinations carry the same, or, if it
loads nothing, what its sources carry; one cycle later. (What a load needed, whoever needs the load has waited for.)
A store is remembered by the 8-byte word it writes, for the loads of the next 255 records (`fwd`).

Which registers make the address a trace does not say. All do, but for vector registers, and for the register that an
instruction with flags both reads and writes (`add rdx, [rsi]`) if another one is left. The stack pointer of push, pop,
call and ret does not come from memory; the instruction pointer carries nothing.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.compiled import compiled, inlined

Ints = npt.NDArray[np.int64]

STACK_POINTER, FLAGS, INSTRUCTION_POINTER = 6, 25, 26  # ChampSim's inc/trace_instruction.h
VECTOR = 83  # the first of Pin's numbers that is no general register: REG_MM0; REG_XMM0 is 91
READS_SP, READS_IP, READS_MORE, WRITES_SP, WRITES_IP, WRITES_FLAGS = 1, 2, 4, 8, 16, 32

# what lies where in Flow.now
ROWS = 0  # rows filled
BASE = 1  # records before row 0
PENDING = 2  # instructions since the last record
INSTRUCTIONS, LOADS, STORES, BRANCHES = 3, 4, 5, 6
LOST = 7  # records that need more than three loads
NOW = 8

MOST_ROWS = 9  # records of an instruction: 4 loads, 4 stores (SPARC form), a branch
HEADS = 1024
BACK, LONGEST_LAG, MOST_INSNS = 255, 127, 255
NEEDS = 3
LOAD, STORE, BRANCH = 0, 1, 4


class Rows(NamedTuple):
    """The columns being filled, all of one length: see the columns of the trace file. code: the instruction's address,
    from which the reader makes the site. need, lag: [rows, 3], dep0 to dep2 and lag0 to lag2."""

    code: Ints
    address: Ints
    kind: npt.NDArray[np.uint8]
    insns: npt.NDArray[np.uint8]
    need: npt.NDArray[np.uint8]
    lag: npt.NDArray[np.uint8]
    fwd: npt.NDArray[np.uint8]
    taken: npt.NDArray[np.uint8]


class Flow(NamedTuple):
    """Where the data flow stands.

    now [NOW]: the numbers named above.  loads, lags [257, 3]: the loads a register carries (-1: none) and their cycles;
    row 256 is the instruction's own.  lost [257]: the latest load a register would carry if it could carry more, -1:
    none.  head [HEADS]: the last store whose word has this hash.  word, before [256]: by a
    store's number modulo 256, its word, and the store of the same hash before it.
    """

    now: Ints
    loads: Ints
    lags: Ints
    lost: Ints
    head: Ints
    word: Ints
    before: Ints


OWN = 256  # register 0 is none: it carries nothing


def start() -> Flow:
    """Nothing is known of any register or word."""
    return Flow(
        np.zeros(NOW, np.int64),
        np.full((OWN + 1, NEEDS), -1, np.int64),
        np.zeros((OWN + 1, NEEDS), np.int64),
        *(np.full(size, -1, np.int64) for size in (OWN + 1, HEADS, BACK + 1, BACK + 1)),
    )


def empty_rows(room: int) -> Rows:
    """Columns to fill with at most `room` rows."""
    wide, small = np.zeros((2, room), np.int64), np.zeros((4, room), np.uint8)
    need, lag = np.zeros((2, room, NEEDS), np.uint8)
    return Rows(wide[0], wide[1], small[0], small[1], need, lag, small[2], small[3])


@inlined
def gather(f: Flow, register: int, number: int, cycles: int) -> None:
    """Add what a register carries, and so many cycles, to the instruction's own; the three latest loads stay.

    Loads more than 255 records before `number`, the instruction's first, have long ended and are left out.
    """
    f.lost[OWN] = max(f.lost[OWN], f.lost[register])
    for k in range(NEEDS):
        load, lag = f.loads[register, k], min(f.lags[register, k] + cycles, LONGEST_LAG)
        if number - load > BACK:
            load = -1
        for j in range(NEEDS):  # own loads are in descending order
            have = f.loads[OWN, j]
            if have == load:
                f.lags[OWN, j] = max(f.lags[OWN, j], lag)
                load = -1
            if have < load:
                f.loads[OWN, j], load = load, have
                f.lags[OWN, j], lag = lag, f.lags[OWN, j]
        f.lost[OWN] = max(f.lost[OWN], load)


@inlined
def put(f: Flow, rows: Rows, code: int, kind: int, address: int) -> int:
    """A row that needs the instruction's own loads. Returns its number in the trace."""
    row = int(f.now[ROWS])
    number = int(f.now[BASE]) + row
    rows.code[row] = code
    rows.kind[row] = kind
    rows.address[row] = address
    insns = min(int(f.now[PENDING]), MOST_INSNS)
    rows.insns[row] = insns
    f.now[PENDING] -= insns
    rows.fwd[row] = rows.taken[row] = 0
    for k in range(NEEDS):
        load = f.loads[OWN, k]
        near = load >= 0 and number - load <= BACK
        rows.need[row, k] = number - load if near else 0
        rows.lag[row, k] = f.lags[OWN, k] if near else 0
    f.now[LOST] += f.lost[OWN] >= 0 and number - f.lost[OWN] <= BACK
    f.now[ROWS] = row + 1
    return number


@inlined
def writer_of(f: Flow, number: int, word: int) -> int:
    """How many records before record `number` the last store to this word is; 0 if more than 255, or there is none."""
    store = f.head[word & (HEADS - 1)]
    while store >= 0 and number - store <= BACK:
        if f.word[store & 255] == word:
            return int(number - store)
        store = f.before[store & 255]
    return 0


@inlined
def remember(f: Flow, number: int, word: int) -> None:
    """Record `number` is a store to this word."""
    f.word[number & 255] = word
    f.before[number & 255] = f.head[word & (HEADS - 1)]
    f.head[word & (HEADS - 1)] = number


@inlined
def own_loads(f: Flow, first: int, count: int) -> None:
    """Make the instruction's own loads those `count` that begin with number `first`, the last three of them."""
    for k in range(NEEDS):
        f.loads[OWN, k] = first + count - 1 - k if k < count else -1
        f.lags[OWN, k] = 1  # to make of it what is stored or compared
    f.lost[OWN] = first if count > NEEDS else -1


@inlined
def traits(octets: npt.NDArray[np.uint8], at: int, full: Ints, sources: int) -> int:
    """What instruction `at` reads and writes: the READS_ and WRITES_ of its registers, added."""
    found = 0
    for k in range(sources, sources + 4):
        register = full[octets[at, k]]
        if register == STACK_POINTER:
            found |= READS_SP
        elif register == INSTRUCTION_POINTER:
            found |= READS_IP
        elif register != 0:
            found |= READS_MORE
    for k in range(10, sources):
        register = full[octets[at, k]]
        if register == STACK_POINTER:
            found |= WRITES_SP
        elif register == INSTRUCTION_POINTER:
            found |= WRITES_IP
        elif register == FLAGS:
            found |= WRITES_FLAGS
    return found


@inlined
def is_data(octets: npt.NDArray[np.uint8], at: int, full: Ints, sources: int, k: int, flags: bool) -> bool:
    """Is the register in column k, a source of an instruction that loads, no part of the address?"""
    register = full[octets[at, k]]
    if register >= VECTOR or register == FLAGS:
        return True
    if not flags:
        return False
    written = left = False
    for j in range(10, sources):
        written |= full[octets[at, j]] == register
    for j in range(sources, sources + 4):
        other = full[octets[at, j]]
        left |= other != register and other != 0 and other != FLAGS and other < VECTOR
    return written and left


@inlined
def carry(f: Flow, octets: npt.NDArray[np.uint8], at: int, full: Ints, sources: int, kept: bool, fewer: int) -> None:
    """The destinations carry the instruction's own loads, `fewer` cycles sooner. kept: the stack pointer keeps its."""
    for k in range(10, sources):
        register = full[octets[at, k]]
        if register == 0 or register == INSTRUCTION_POINTER or (kept and register == STACK_POINTER):
            continue
        for j in range(NEEDS):
            f.loads[register, j] = f.loads[OWN, j]
            f.lags[register, j] = max(f.lags[OWN, j] - fewer, 0)
        f.lost[register] = f.lost[OWN]


@compiled
def scan(
    octets: npt.NDArray[np.uint8], words: Ints, destinations: int, full: Ints, at: int, f: Flow, rows: Rows
) -> int:
    """Read the instructions octets[at:] (the same bytes as 8-byte words) until the rows are full or all are read.

    destinations: registers and words an instruction may write, 2 or 4. full [256]: the register a register is part of.
    Returns where it stopped: at the end, before an instruction there is no room for, or (then there is room) at one
    that is none.
    """
    sources = 10 + destinations
    written = 2 if destinations == 2 else 3  # the first word of memory
    read = written + destinations
    while at < len(octets) and f.now[ROWS] <= len(rows.code) - MOST_ROWS:
        code = words[at, 0]
        if octets[at, 8] > 1 or octets[at, 9] > 1 or code == 0:
            return at
        f.now[INSTRUCTIONS] += 1
        f.now[PENDING] += 1
        first = int(f.now[BASE] + f.now[ROWS])
        has = traits(octets, at, full, sources)
        flags = has & WRITES_FLAGS > 0
        loads = stores = 0
        for k in range(read, read + 4):
            loads += words[at, k] != 0
        own_loads(f, 0, 0)
        for k in range(sources, sources + 4):
            register = full[octets[at, k]]
            if register != INSTRUCTION_POINTER and not (loads > 0 and is_data(octets, at, full, sources, k, flags)):
                gather(f, register, first, 0)
        for k in range(read, read + 4):
            if words[at, k] != 0:
                number = put(f, rows, code, LOAD, words[at, k])
                rows.fwd[f.now[ROWS] - 1] = writer_of(f, number, words[at, k] >> 3)
        move = loads > 0 and not flags
        if loads > 0:
            own_loads(f, first, loads)
            for k in range(sources, sources + 4):
                if is_data(octets, at, full, sources, k, flags):
                    gather(f, full[octets[at, k]], first, 1)
                    move = False
        for k in range(written, read):
            if words[at, k] != 0:
                remember(f, put(f, rows, code, STORE, words[at, k]), words[at, k] >> 3)
                stores += 1
        if has & ~WRITES_FLAGS == READS_IP | READS_MORE | WRITES_IP:  # ChampSim's conditional branch
            put(f, rows, code, BRANCH, code)
            rows.taken[f.now[ROWS] - 1] = octets[at, 9]
            f.now[BRANCHES] += 1
        f.now[LOADS] += loads
        f.now[STORES] += stores
        if loads == 0:  # one cycle to make the result
            for k in range(NEEDS):
                f.lags[OWN, k] = min(f.lags[OWN, k] + 1, LONGEST_LAG)
        kept = has & READS_SP > 0 and loads + stores > 0
        carry(f, octets, at, full, sources, kept, 1 if move else 0)  # a move takes no cycle
        at += 1
    return at
