"""Allocator models: where the objects of a program lie. One file a model; this one picks it and checks the request.

| kind | models |
|---|---|
| bump | an arena: objects in a row |
| size_class | Go's runtime on a fresh heap |
| malloc | glibc on a fresh heap |
| fragmented | a heap after churn: objects in the holes |
| onnode | numa_alloc_onnode: each object on pages of its own |

A new model is a function of `request.Allocator`'s contract, added to `ALLOCATORS`.
"""

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.memory.bump import bump, onnode
from numasim.memory.capacity import size_text
from numasim.memory.fragmented import fragmented
from numasim.memory.malloc import malloc
from numasim.memory.pages import IntArray
from numasim.memory.request import Allocator, Layout, Request
from numasim.memory.size_class import size_class
from numasim.memory.space import MAX_BYTES

ALLOCATORS: dict[str, Allocator] = {
    "bump": bump,
    "size_class": size_class,
    "malloc": malloc,
    "fragmented": fragmented,
    "onnode": onnode,
}
MAX_OBJECTS = 10**8
_TAKES_ALIGN = ("bump", "onnode")


def check_count(count: float, what: str = "objects", limit: int = MAX_OBJECTS) -> int:
    """`count` as an int. Raises UserError unless it is 1 to `limit`: call it before making an array of that length."""
    if not 1 <= count <= limit or count != int(count):
        raise UserError(f"{count:.12g} {what}", what, f"1 to {limit}")
    return int(count)


def allocate(
    kind: str,
    sizes: int | npt.ArrayLike,
    seed: int = 0,
    *,
    count: int | None = None,
    align: int = 0,
    noscan: bool | npt.ArrayLike = False,
    occupied: float = 0.5,
) -> Layout:
    """(offsets int64[n], total bytes) of objects of the given sizes, in program order.

    kind: a key of `ALLOCATORS`. sizes: bytes of each, or one number with `count`. seed: of `fragmented`.
    align: of `bump` and `onnode`, a power of two (8 and 4096 unless given). noscan: which objects have no pointers (one
    for all, or one each; read by `size_class` and `fragmented`). occupied: of `fragmented`, the share of slots that
    older objects hold, 0 to 0.95. Raises UserError.
    """
    where = f"allocator {kind}"
    if kind not in ALLOCATORS:
        raise UserError(f"unknown allocator {kind!r}", "allocator", " ".join(ALLOCATORS))
    if align < 0 or align & (align - 1) or (align and kind not in _TAKES_ALIGN) or align > 1 << 30:
        raise UserError(f"alignment {align}", where, "a power of two up to 1 GiB, with bump and onnode only")
    if not 0 <= occupied <= 0.95:
        raise UserError(f"occupied={occupied:g}", where, "0 to 0.95")
    each = _sizes(sizes, count, where)
    without = np.atleast_1d(np.asarray(noscan, np.bool_))
    if without.shape not in ((1,), each.shape):
        raise UserError(f"{len(without)} noscan flags for {len(each)} objects", where, "one for all or one each")
    need = float(each.sum(dtype=np.float64)) + float(align or 4096 * (kind == "onnode")) * len(each)
    if need > MAX_BYTES:
        raise UserError(f"objects of {size_text(need)}", where, f"at most {size_text(MAX_BYTES)}")
    return ALLOCATORS[kind](Request(each, align, without, occupied, seed))


def _sizes(sizes: int | npt.ArrayLike, count: int | None, where: str) -> IntArray:
    """One int64 size an object, checked."""
    given = np.asarray(sizes)
    check_count(given.size if count is None else count, "objects", MAX_OBJECTS)
    if given.dtype.kind not in "iu" or given.min() < 1 or given.max() > MAX_BYTES:
        raise UserError(f"object of {given.min()} bytes", where, f"whole bytes, 1 to {size_text(MAX_BYTES)}")
    if count is None:
        return np.atleast_1d(given.astype(np.int64))
    return np.full(count, given, np.int64)
