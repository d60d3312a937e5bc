"""Where the objects of a structure lie, and in which order they hang together."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.memory.allocators import allocate

Ints = npt.NDArray[np.int64]

ORDERS = ("sequential", "shuffled", "churned")
EMERGENCY_POOL_BYTES = 72_704  # what libstdc++ sets aside for exceptions before main() (eh_alloc.cc): it lies first
_RUNTIMES = {"go": "size_class", "go-classic": "size_class", "go-swiss": "size_class"}


class Objects(NamedTuple):
    """offsets: of each object in its region, in the order they were allocated. total: bytes of the region."""

    offsets: Ints
    total: int


def objects(allocator: str, layout: str, size: int, count: int, seed: int, noscan: bool = False) -> Objects:
    """`count` objects of `size` bytes. allocator "auto": the layout's own. noscan: without pointers (Go)."""
    kind = _RUNTIMES.get(layout, "malloc") if allocator == "auto" else allocator
    if kind != "malloc":
        offsets, total = allocate(kind, size, seed, count=count, noscan=noscan)
        return Objects(offsets, int(total))
    offsets, total = allocate(kind, np.concatenate([[EMERGENCY_POOL_BYTES], np.full(count, size)]), seed)
    return Objects(offsets[1:], int(total))


def linked(order: str, count: int, churn: float, rng: np.random.Generator) -> Ints:
    """Allocation numbers in the order a walk meets them.

    sequential: as allocated. shuffled: any order. churned: `churn * count` times a random element was deleted and a new
    one, which takes its memory, appended: survivors (a share of exp(-churn)) still lie in sequence, newcomers anywhere.
    """
    if order == "sequential":
        return np.arange(count)
    if order == "shuffled":
        return rng.permutation(count)
    last_new = np.full(count, -1, np.int64)
    deleted = rng.integers(0, count, int(churn * count))
    last_new[deleted] = np.arange(len(deleted))  # of several, the last stays
    return np.argsort(last_new, kind="stable")
