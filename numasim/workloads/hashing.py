"""Hashes of items, as good as random."""

import numpy as np
import numpy.typing as npt

from numasim.workloads.flow import Ints

Hashes = npt.NDArray[np.uint64]


def hashed(items: Ints, seed: int) -> Hashes:
    """A 64-bit hash of each item: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), begun at `seed`."""
    with np.errstate(over="ignore"):
        x = (items.astype(np.uint64) + np.uint64(seed % (1 << 64))) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def ranks(group: Ints) -> Ints:
    """How many earlier ones have the same group number, for each: 0, 1, 2 ..."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    out = np.empty_like(group)
    out[order] = np.arange(len(group)) - np.repeat(starts, np.diff(np.concatenate([starts, [len(group)]])))
    return out
