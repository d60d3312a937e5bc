"""Arrays and numbers of the state: aligned, sparse, in whole picoseconds."""

import contextlib
import mmap
import sys
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np

from numasim.engine import state as st
from numasim.errors import UserError

HUGE, LARGE, LINE = 2 << 20, 1 << 20, 64  # bytes


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


def tags(n: int) -> st.Tags:
    """uint32 zeros. Large ones lie in the host's huge pages as a whole: they are looked up at random, and which part of
    an array the host puts into huge pages by itself depends on where it happens to begin."""
    return _huge(n * 4).view(np.uint32)[:n] if n * 4 >= LARGE else np.zeros(n, np.uint32)


def _huge(size: int) -> Any:
    """Zeroed bytes in the host's huge pages where it has them."""
    size = -(-size // 64) * 64
    if not hasattr(mmap.mmap, "madvise") or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.zeros(size, np.uint8)
    room = mmap.mmap(-1, size + 2 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without them
        room.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(room, np.uint8)
    return whole[-whole.ctypes.data % HUGE :][:size]


def _arrays(m: Any) -> Iterator[Any]:
    """All arrays of a nested tuple."""
    for value in m:
        if isinstance(value, tuple):
            yield from _arrays(value)
        elif isinstance(value, np.ndarray):
            yield value


def together(m: st.Machine) -> st.Machine:
    """The same state with its arrays, but for the largest, moved into one: the smallest side by side, so that what
    every event writes lies in few host cache lines, wherever the host's allocator had put them."""
    spans: list[list[int]] = []  # [begin, end) of what arrays that are views of one another cover
    for begin, size in sorted((a.ctypes.data, a.nbytes) for a in _arrays(m)):
        if spans and begin < spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], begin + size)
        else:
            spans.append([begin, begin + size])
    spans = sorted((s for s in spans if s[1] - s[0] < LARGE), key=lambda s: (s[1] - s[0] > LINE, s))
    room, moved, at = _huge(sum(end - begin + LINE for begin, end in spans)), {}, 0
    for begin, end in spans:
        at = -(-at // (LINE if end - begin > LINE else 8)) * (LINE if end - begin > LINE else 8)
        moved[begin] = at
        at += end - begin
    spans.sort()

    def move(a: Any) -> Any:
        begin, end = spans[bisect_right(spans, [a.ctypes.data, 1 << 64]) - 1] if spans else (0, 0)
        if not begin <= a.ctypes.data < end:
            return a  # large
        offset = moved[begin] + a.ctypes.data - begin
        there = room[offset : offset + a.nbytes].view(a.dtype)
        there[:] = a
        return there

    return st.mapped(m, move)


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
