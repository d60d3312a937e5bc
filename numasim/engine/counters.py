"""The two-bit counter of branch predictors."""

from typing import Any

from numasim.engine.jit import kernel


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
