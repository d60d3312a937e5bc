"""How a machine's branch predictor does on the branches of a trace: what a run would count, without the run."""

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from numasim.engine.jit import entry
from numasim.engine.predictor import PREDICTORS, mispredicted, untaught
from numasim.machine import Machine
from numasim.traces.parquet import Reader
from numasim.traces.records import BRANCH


class Branches(NamedTuple):
    """branches: records of branches.  mispredicted: of them, those guessed wrong."""

    branches: int
    mispredicted: int


def branches(reader: Reader, machine: Machine) -> Branches:
    """Guess all branches of a trace, each thread with a predictor of its own that starts cold.

    Raises UserError if the trace is damaged.
    """
    core = machine.core
    kind, bits = PREDICTORS[core.branch_predictor], core.predictor_bits
    states: dict[int, tuple[Any, Any]] = {}
    seen = wrong = 0
    for chunk in reader.chunks(("address", "thread", "kind", "taken")):
        of_kind, thread, taken = (cast(npt.NDArray[Any], c) for c in (chunk.kind, chunk.thread, chunk.taken))
        for number in np.unique(thread).tolist():
            mine = (of_kind == BRANCH) & (thread == number)
            if number not in states:
                states[number] = untaught(kind, bits, 1)
            table, history = states[number]
            wrong += _guess(table, history, kind, bits, chunk.address[mine], taken[mine].astype(np.int64))
            seen += int(mine.sum())
    return Branches(seen, wrong)


@entry
def _guess(table: Any, history: Any, kind: int, bits: int, address: Any, taken: Any) -> int:
    """How many of these branches, in order, are guessed wrong."""
    wrong = 0
    for i in range(len(address)):
        if mispredicted(table, history, 0, kind, bits, address[i], taken[i]):
            wrong += 1
    return wrong
