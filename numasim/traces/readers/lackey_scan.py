"""The inner loop of the lackey reader: bytes in, columns out. Compiled where numba is there, plain Python otherwise.

It stops at whatever is rare (a message of valgrind, a marker, a bad line, no more room) and leaves that to lackey.py.
All numbers are int64.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.compiled import compiled, inlined

Ints = npt.NDArray[np.int64]

# why scan() stopped
END, FULL, MESSAGE, MARKER, BAD = range(5)

# what lies where in Scan.now
ON = 0  # 1: records are made; 0: outside the region of interest
THREAD = 1  # valgrind's number of the thread that runs
ROWS = 2  # rows filled
SITES = 3  # sites known
LINES = 4  # lines read, of every sort
TRACED = 5  # lines read that are of the trace (I, L, S, M)
OFFSET = 6  # of the marker that stopped the scan
INSTRUCTIONS, LOADS, STORES = 7, 8, 9  # rows of these while on; M makes both
NOW = 10

THREADS = 4096  # valgrind's --max-threads is 500 unless raised
SITE_LIMIT = 65535  # the column is uint16; the last number is "other"
SLOTS = 1 << 18
NO_CODE = -1  # an access before the first instruction line
SPARE = 2 * (4096 // 64)  # rows one line may need: 4096 bytes in lines of 64, loaded and stored
PAGE = 0x0A0000000000  # of the markers

_HEX = np.full(256, 255, np.int64)
for _i, _c in enumerate(b"0123456789abcdef"):
    _HEX[_c] = _i


class Rows(NamedTuple):
    """The columns being filled, all of one length: see the columns of the trace file."""

    thread: npt.NDArray[np.uint16]
    site: npt.NDArray[np.uint16]
    kind: npt.NDArray[np.uint8]
    address: Ints
    size: npt.NDArray[np.uint8]
    insns: npt.NDArray[np.uint8]
    dep0: npt.NDArray[np.uint8]
    lag0: npt.NDArray[np.uint8]
    dep1: npt.NDArray[np.uint8]
    lag1: npt.NDArray[np.uint8]
    dep2: npt.NDArray[np.uint8]
    lag2: npt.NDArray[np.uint8]
    fwd: npt.NDArray[np.uint8]
    taken: npt.NDArray[np.uint8]


class Scan(NamedTuple):
    """Where a scan stands.

    now [NOW]: the numbers named above.  pending [THREADS]: instructions since a thread's last record, not yet given to
    one.  code [THREADS]: address of a thread's last instruction.  slot [SLOTS]: site of a code address, by open
    addressing; -1 is empty.  site_code [SITE_LIMIT]: code address of a site.  accesses, executed [THREADS]: L, S and M
    lines, and instructions, that were kept of each thread.
    """

    now: Ints
    pending: Ints
    code: Ints
    slot: npt.NDArray[np.int32]
    site_code: Ints
    accesses: Ints
    executed: Ints


def start_scan() -> Scan:
    """A scan that has seen nothing; it begins inside the region of interest, as thread 1."""
    now = np.zeros(NOW, np.int64)
    now[ON] = now[THREAD] = 1
    return Scan(
        now,
        np.zeros(THREADS, np.int64),
        np.full(THREADS, NO_CODE, np.int64),
        np.full(SLOTS, -1, np.int32),
        np.zeros(SITE_LIMIT, np.int64),
        np.zeros(THREADS, np.int64),
        np.zeros(THREADS, np.int64),
    )


def empty_rows(room: int) -> Rows:
    """Columns to fill with at most `room` rows."""
    wide, small = np.zeros((2, room), np.uint16), np.zeros((11, room), np.uint8)
    return Rows(wide[0], wide[1], small[0], np.zeros(room, np.int64), *small[1:])


@inlined
def site_of(s: Scan, code: int) -> int:
    """Number of the site of this code address, a new one if need be; SITE_LIMIT when there are no more."""
    at = ((code * 0x9E3779B1) >> 13) & (SLOTS - 1)
    while s.slot[at] >= 0:
        if s.site_code[s.slot[at]] == code:
            return int(s.slot[at])
        at = (at + 1) & (SLOTS - 1)
    site = int(s.now[SITES])
    if site < SITE_LIMIT:
        s.slot[at] = site
        s.site_code[site] = code
        s.now[SITES] = site + 1
    return site


@inlined
def put(s: Scan, rows: Rows, kind: int, address: int, size: int, insns: int, site: int, back: int) -> int:
    """Rows for one load (0) or store (1), cut where 64 bytes end, so that no record is longer. Returns how many."""
    row = first = int(s.now[ROWS])
    while size > 0:
        rows.thread[row] = s.now[THREAD]
        rows.site[row] = site
        rows.kind[row] = kind
        rows.address[row] = address
        rows.size[row] = min(size, 64)
        rows.insns[row] = insns
        rows.dep0[row] = back
        rows.lag0[row] = min(back, 1)  # M: one cycle to make the new value
        row += 1
        address, size, insns = address + 64, size - 64, 0
    s.now[ROWS] = row
    return row - first


def put_mark(s: Scan, rows: Rows, kind: int, code: int) -> None:
    """A row for a mark made by the thread that runs; it takes the instructions that wait for a record."""
    row, thread = int(s.now[ROWS]), int(s.now[THREAD])
    insns = min(int(s.pending[thread]), 255)
    s.pending[thread] -= insns
    for column in rows:
        column[row] = 0
    rows.thread[row], rows.kind[row], rows.address[row], rows.insns[row] = thread, kind, code, insns
    s.now[ROWS] = row + 1


@inlined
def access(s: Scan, rows: Rows, loads: bool, stores: bool, address: int, size: int) -> None:
    """Records of one L, S or M line. The store of an M needs what its load brought."""
    thread = int(s.now[THREAD])
    insns = min(int(s.pending[thread]), 255)
    s.pending[thread] -= insns
    site = site_of(s, int(s.code[thread]))
    s.accesses[thread] += 1
    pieces = 0
    if loads:
        pieces = put(s, rows, 0, address, size, insns, site, 0)
        insns = 0
        s.now[LOADS] += pieces
    if stores:
        s.now[STORES] += put(s, rows, 1, address, size, insns, site, pieces)


@inlined
def parse(text: npt.NDArray[np.uint8], at: int) -> tuple[int, int, int]:
    """Address, size and end of the line that starts at `at`, after its letter; size 0 if it is malformed."""
    cursor, address = at + 3, 0
    digit = _HEX[text[cursor]]
    while digit < 16:
        address = address << 4 | digit
        cursor += 1
        digit = _HEX[text[cursor]]
    good = 0 < cursor - at - 3 < 16 and text[cursor] == 44  # a comma; 15 digits are 60 bits
    cursor, size = cursor + 1, 0
    while good and 48 <= text[cursor] <= 57 and size <= 4096:
        size = size * 10 + int(text[cursor]) - 48
        cursor += 1
    if not good or text[cursor] != 10 or size > 4096:
        size = 0
    return address, size, cursor


@compiled
def scan(text: npt.NDArray[np.uint8], at: int, end: int, s: Scan, rows: Rows) -> tuple[int, int]:
    """Read whole lines of text[at:end] (it ends with a newline; three bytes follow that may be read).

    Returns why it stopped and where: after the line that stopped it, or, for MESSAGE, BAD and FULL, at its start.
    """
    room = len(rows.address) - SPARE
    while at < end:
        if s.now[ROWS] > room:
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
        at = cursor + 1
        s.now[LINES] += 1
        s.now[TRACED] += 1
        if head == 73:
            if s.now[ON]:
                s.pending[s.now[THREAD]] += 1
                s.executed[s.now[THREAD]] += 1
                s.code[s.now[THREAD]] = address
                s.now[INSTRUCTIONS] += 1
        elif address >> 12 == PAGE >> 12:
            if stores and size == 8:
                s.now[OFFSET] = address & 4095
                return MARKER, at
        elif s.now[ON]:
            access(s, rows, loads, stores, address, size)
    return END, at
