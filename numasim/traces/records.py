"""What a trace is made of: records, in chunks of columns."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LOAD, STORE, ATOMIC, PREFETCH, BRANCH, MARK, LOCK, UNLOCK, BARRIER, WAIT, POST, AWAIT, COMPUTE = range(13)
KINDS = (
    "load", "store", "atomic", "prefetch", "branch", "mark", "lock", "unlock", "barrier", "wait", "post", "await",
    "compute",
)  # fmt: skip

# what a MARK's address says
OP_END, COUNT_ON, COUNT_OFF, OP_BEGIN = 1, 2, 3, 4

MAX_BACK = 255  # records a dependence can reach back
MAX_LAG = 127  # cycles
MAX_INSNS = 255
CHUNK = 65536  # records a chunk holds at most


class Records(NamedTuple):
    """A stretch of one thread's trace in program order. Every field but `address` may be 0-d: the same for all.

    address: byte address in the compact space (load, store, atomic, prefetch, lock, unlock), code address (branch),
        code of the mark, number of the barrier, cycles of the wait, token (post, await: the thread that awaits a token
        goes on once another has posted it; each is posted once a lap). Nothing for compute: instructions whose result
        is there a cycle after all that they need, for chains through registers that no load is part of.
    kind: one of KINDS by number.          size: bytes accessed.
    insns: instructions since the last record, this one included (1 to 255).    site: call site (0 to 254).
    dep0, dep1, dep2: how many records back the loads (or compute) are whose values this record needs (0: none).
    lag0, lag1, lag2: cycles of the instructions between those and this record.
    fwd: how many records back the store is whose data this load reads (0: none).     taken: a branch's outcome.
    """

    address: npt.NDArray[np.int64]
    kind: npt.ArrayLike = LOAD
    size: npt.ArrayLike = 8
    insns: npt.ArrayLike = 1
    site: npt.ArrayLike = 0
    dep0: npt.ArrayLike = 0
    dep1: npt.ArrayLike = 0
    dep2: npt.ArrayLike = 0
    lag0: npt.ArrayLike = 0
    lag1: npt.ArrayLike = 0
    lag2: npt.ArrayLike = 0
    fwd: npt.ArrayLike = 0
    taken: npt.ArrayLike = 0
