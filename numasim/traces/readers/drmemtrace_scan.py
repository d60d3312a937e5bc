"""The inner loop of the drmemtrace reader: lines of the view tool in, lines of lackey out.

Compiled where numba is there, plain Python otherwise. It stops at whatever is rare (another thread, code not seen yet,
a line that is no instruction and no access) and leaves that to drmemtrace.py. No names from other files: the cached
code depends on this one.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.traces.compiled import compiled, inlined

Ints = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]

# why scan() stopped
END, OTHER, SWITCH, CODE = range(4)

# what lies where in Scan.now
WRITTEN = 0  # bytes of `out` filled
LINES, KERNEL = 1, 2  # lines read; of them, of kernel code and its data
TID, NEXT_TID = 3, 4  # hashes: of the thread that runs, of the one a SWITCH goes to
READ_ADDRESS, READ_SIZE = 5, 6  # a read that may be half of a read and write; size 0: none
CODE_ADDRESS, CODE_HASH = 7, 8  # of the instruction a CODE stop is for
NOW = 9

SLOTS = 1 << 20
LONGEST_OUT = 64  # bytes one line may give
COLUMN = 23  # characters of an encoding looked at: eight bytes

_HEX = np.full(256, 255, np.int64)
for _i, _c in enumerate(b"0123456789abcdef"):
    _HEX[_c] = _i


class Scan(NamedTuple):
    """Where a scan stands. now [NOW]: the numbers named above.  known, encoding [SLOTS]: addresses of instructions, by
    open addressing (-1 is empty), and hashes of their encodings."""

    now: Ints
    known: Ints
    encoding: Ints


def start() -> Scan:
    """Nothing is known."""
    now = np.zeros(NOW, np.int64)
    now[TID] = -1
    return Scan(now, np.full(SLOTS, -1, np.int64), np.zeros(SLOTS, np.int64))


@inlined
def place_of(s: Scan, address: int) -> int:
    """The slot of an instruction, or the empty one it would get."""
    at = (address * 0x9E3779B1 >> 11) & (SLOTS - 1)
    while s.known[at] != -1 and s.known[at] != address:
        at = (at + 1) & (SLOTS - 1)
    return at


@inlined
def emit(s: Scan, out: Octets, letter: int, address: int, size: int) -> None:
    """A line of lackey: "I  address,size" or " L address,size"."""
    n = int(s.now[WRITTEN])
    instruction = letter == 73
    out[n] = letter if instruction else 32
    out[n + 1] = 32 if instruction else letter
    out[n + 2] = 32
    n += 3
    digits = 1
    while address >> (4 * digits) > 0:
        digits += 1
    for k in range(digits - 1, -1, -1):
        digit = address >> (4 * k) & 15
        out[n] = digit + 48 if digit < 10 else digit + 87
        n += 1
    out[n] = 44
    n += 1
    scale = 1
    while size // scale >= 10:
        scale *= 10
    while scale > 0:
        out[n] = 48 + size // scale % 10
        n += 1
        scale //= 10
    out[n] = 10
    s.now[WRITTEN] = n + 1


@inlined
def let_go(s: Scan, out: Octets) -> None:
    """The read that was kept is a load of its own."""
    if s.now[READ_SIZE] > 0:
        emit(s, out, 76, int(s.now[READ_ADDRESS]), int(s.now[READ_SIZE]))
        s.now[READ_SIZE] = 0


@inlined
def prefix(text: Octets, at: int, s: Scan) -> int:
    """Where the details begin, after "record# instr#: tid " or "record#: Ttid "; the hash of the tid goes to NEXT_TID.
    0: the line has no such prefix."""
    numbers = 0
    while text[at] == 32 or 48 <= text[at] <= 57:
        numbers += text[at] != 32 and text[at + 1] in (32, 58)
        at += 1
    if numbers not in (1, 2) or text[at] != 58 or text[at + 1] != 32:
        return 0
    at += 1
    while text[at] == 32:
        at += 1
    tid = 0
    while text[at] > 32:
        tid = (tid * 131 + int(text[at])) & 0xFFFFFFFFFFFF
        at += 1
    s.now[NEXT_TID] = tid
    return at + 1 if text[at] == 32 else 0


@inlined
def kind_of(text: Octets, at: int) -> int:
    """The lackey letter of "ifetch", "read" or "write"; 0: another line."""
    a, b, c, d = text[at], text[at + 1], text[at + 2], text[at + 3]
    if a == 105 and b == 102 and c == 101:
        return 73
    if a == 114 and b == 101 and c == 97 and d == 100:
        return 76
    if a == 119 and b == 114 and c == 105:
        return 83
    return 0


@compiled
def scan(text: Octets, at: int, end: int, s: Scan, out: Octets) -> tuple[int, int]:
    """Translate whole lines of text[at:end] (64 bytes follow that may be read). Returns why it stopped, and where: at
    the start of the line that stopped it."""
    while at < end:
        cursor = prefix(text, at, s)
        letter = kind_of(text, cursor) if cursor > 0 else 0
        if letter == 0:
            let_go(s, out)
            return OTHER, at
        if s.now[NEXT_TID] != s.now[TID]:
            let_go(s, out)
            return SWITCH, at
        while text[cursor] > 32:
            cursor += 1
        while text[cursor] == 32:
            cursor += 1
        size = 0
        while 48 <= text[cursor] <= 57 and size < 10000:
            size = size * 10 + int(text[cursor]) - 48
            cursor += 1
        if size == 0 or text[cursor] != 32 or text[cursor + 9] != 64 or text[cursor + 12] != 120:  # " byte(s) @ 0x"
            let_go(s, out)
            return OTHER, at
        start = cursor = cursor + 13
        address = 0
        kernel = _HEX[text[cursor]] >= 8 and cursor + 16 <= end and _HEX[text[cursor + 15]] < 16
        while _HEX[text[cursor]] < 16:
            address = address << 4 | _HEX[text[cursor]]
            cursor += 1
        if not 0 < cursor - start <= 16 or text[cursor] not in (32, 10):
            let_go(s, out)
            return OTHER, at
        if letter == 73 and not kernel:
            code = size
            for k in range(cursor + 1, cursor + 1 + min(3 * size, COLUMN)):
                if text[k] < 32:
                    break
                code = (code * 131 + int(text[k])) & 0xFFFFFFFFFFFF
            slot = place_of(s, address)
            if s.known[slot] == -1 or s.encoding[slot] != code:
                s.now[CODE_ADDRESS], s.now[CODE_HASH] = address, code
                return CODE, at
        if kernel:
            s.now[KERNEL] += 1
        elif letter == 83 and s.now[READ_SIZE] == size and s.now[READ_ADDRESS] == address:
            s.now[READ_SIZE] = 0
            emit(s, out, 77, address, size)
        else:
            let_go(s, out)
            if letter == 76:
                s.now[READ_ADDRESS], s.now[READ_SIZE] = address, size
            else:
                emit(s, out, letter, address, size)
        while text[cursor] != 10:
            cursor += 1
        at = cursor + 1
        s.now[LINES] += 1
    return END, at
