"""Branch predictors: two-bit counters by address (bimodal), by address and history (gshare), or a choice of both.

Source: McFarling, "Combining branch predictors", DEC WRL technical note TN-36, 1993.
"""

from typing import Any

from numasim.engine.jit import kernel, rare

PERFECT, BIMODAL, GSHARE, TOURNAMENT = range(4)
PREDICTORS = {"perfect": PERFECT, "bimodal": BIMODAL, "gshare": GSHARE, "tournament": TOURNAMENT}


@kernel
def train(table: Any, i: int, taken: int) -> bool:
    """What the two-bit counter said, before it learns the outcome."""
    counter = table[i]
    said = counter > 1
    if taken and counter < 3:
        table[i] = counter + 1
    elif not taken and counter > 0:
        table[i] = counter - 1
    return said


@rare
def mispredicted(table: Any, history: Any, core: int, kind: int, bits: int, address: int, taken: int) -> bool:
    """Is the branch at this address guessed wrong? The predictor learns its outcome."""
    if kind == PERFECT:
        return False
    size = 1 << bits
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
