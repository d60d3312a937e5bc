"""Branch predictors: two-bit counters by address (bimodal), by address and history (gshare), a choice of both, TAGE.

Source: McFarling, "Combining branch predictors", DEC WRL technical note TN-36, 1993; of TAGE see tage.py.
"""

from typing import Any

import numpy as np

from numasim.engine.arrays import zeros
from numasim.engine.counters import train
from numasim.engine.jit import rare
from numasim.engine.state import Array
from numasim.engine.tage import ENTRIES, WORDS, tage_mispredicted

PERFECT, BIMODAL, GSHARE, TOURNAMENT, TAGE = range(5)
PREDICTORS = {"perfect": PERFECT, "bimodal": BIMODAL, "gshare": GSHARE, "tournament": TOURNAMENT, "tage": TAGE}


def untaught(kind: int, bits: int, cores: int) -> tuple[Array, Array]:
    """Tables and histories of the predictors of so many cores: all counters weakly not taken, no tagged entries."""
    if kind != TAGE:
        return np.ones(cores * 3 << bits, np.int64), zeros(cores)
    table = np.zeros((cores, (1 << bits) + ENTRIES), np.int64)
    table[:, : 1 << bits] = 1
    return table.ravel(), zeros(cores * WORDS)


@rare
def mispredicted(table: Any, history: Any, core: int, kind: int, bits: int, address: int, taken: int) -> bool:
    """Is the branch at this address guessed wrong? The predictor learns its outcome."""
    if kind == PERFECT:
        return False
    size = 1 << bits
    if kind == TAGE:
        first = core * (size + ENTRIES)
        return tage_mispredicted(table, first, bits, history, core * WORDS, address, taken)
    first = core * 3 * size
    by_address = first + (address >> 1 & size - 1)
    by_history = first + size + ((address >> 1 ^ history[core]) & size - 1)
    outcome = taken == 1
    guess = outcome
    if kind == BIMODAL:
        guess = train(table, by_address, taken)
    elif kind == GSHARE:
        guess = train(table, by_history, taken)
    else:
        a, b = train(table, by_address, taken), train(table, by_history, taken)
        choice = first + 2 * size + (address >> 1 & size - 1)
        guess = b if table[choice] > 1 else a
        if a != b:
            train(table, choice, 1 if b == outcome else 0)
    history[core] = (history[core] << 1 | taken) & size - 1
    return guess != outcome
