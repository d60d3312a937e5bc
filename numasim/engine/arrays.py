"""Arrays and numbers of the state: aligned, sparse, in whole picoseconds."""

import mmap
import sys

import numpy as np

from numasim.engine import state as st
from numasim.errors import UserError


def ps(ns: float) -> int:
    """Nanoseconds as whole picoseconds."""
    return round(ns * 1000)


def zeros(n: int, value: int = 0) -> st.Array:
    """int64 array that begins at a host cache line, so that records of 8 words lie in one."""
    room = np.zeros(n + 8, np.int64)
    array = room[-(room.ctypes.data >> 3) % 8 :][:n]
    if value:
        array[:] = value
    return array


def sparse(n: int) -> st.Array:
    """int64 zeros of which memory is taken only where they are written: for what is large and hardly used."""
    if n < 1 << 20 or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.zeros(n, np.int64)
    lazy = getattr(mmap, "MAP_NORESERVE", 0x4000) if sys.platform == "linux" else 0
    try:
        room = mmap.mmap(-1, n * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | lazy)
    except OSError:
        raise UserError(f"{n >> 24} GiB of directory", "machine", "fewer threads or a smaller workload") from None
    return np.frombuffer(room, np.int64)


def log2(n: int, what: str, expected: str = "a power of two") -> int:
    """Exact logarithm. Raises UserError."""
    if n <= 0 or n & n - 1:
        raise UserError(f"{what} is {n}", "machine", expected)
    return n.bit_length() - 1
