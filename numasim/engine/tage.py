"""The TAGE branch predictor: a table of two-bit counters by address, and tagged tables by address and longer and longer
stretches of history. The longest that knows the branch guesses.

Source: Seznec and Michaud, "A case for (partially) tagged geometric history length branch prediction", Journal of
Instruction-Level Parallelism 8, 2006. Two things are simpler here: the index has no history of the path, and a
count stands for the paper's draw of the table that takes a branch up.

An entry of a tagged table: tag + 1 << 5 | useful << 3 | counter, 0 while empty. Counters have three bits: taken from 4
up, 3 and 4 are weak. Usefulness has two.
"""

from typing import Any

from numasim.engine.counters import train
from numasim.engine.jit import kernel, rare

TABLES, TABLE_BITS, TAG_BITS = 7, 9, 11
SHORTEST = 4  # outcomes the first table looks back; each looks back twice as far as the one before, the last 256
ENTRIES = TABLES << TABLE_BITS  # in all tagged tables of a core
AGING = 1 << 18  # branches from one ageing of the useful bits to the next

TAG, USEFUL, USE = 5, 3, 1 << 3
COUNTER = USE - 1

# words of a core's history: three folded histories a table, the last 256 outcomes, the number of branches, whether new
# entries or their alternates guess better (-8 .. 7), and how often a table was drawn
FOLDS, RING, BRANCHES, ALTERNATE, DRAWS, WORDS = 0, 24, 32, 33, 34, 40


@kernel
def fold(folded: Any, taken: int, gone: int, length: int, width: int) -> Any:
    """A history of `length` outcomes, exclusive-or of pieces of `width` bits, when one comes and the oldest goes."""
    longer = folded << 1 ^ taken ^ gone << length % width
    return (longer ^ longer >> width) & (1 << width) - 1


@kernel
def remember(history: Any, at: int, taken: int) -> None:
    """An outcome becomes the youngest of the history that begins at word `at`."""
    n = history[at + BRANCHES]
    for i in range(TABLES):
        length, own = SHORTEST << i, at + FOLDS + 3 * i
        oldest = n - length
        gone = history[at + RING + (oldest >> 5 & 7)] >> (oldest & 31) & 1
        history[own] = fold(history[own], taken, gone, length, TABLE_BITS)
        history[own + 1] = fold(history[own + 1], taken, gone, length, TAG_BITS)
        history[own + 2] = fold(history[own + 2], taken, gone, length, TAG_BITS - 1)
    word, bit = at + RING + (n >> 5 & 7), n & 31
    history[word] = history[word] & ~(1 << bit) | taken << bit
    history[at + BRANCHES] = n + 1


@kernel
def place(history: Any, at: int, i: int, address: int) -> tuple[int, int]:
    """Where table i would have the branch, counted from the first entry of the first table; its tag + 1."""
    pc, own = address >> 1, at + FOLDS + 3 * i
    index = (pc ^ pc >> TABLE_BITS - i ^ history[own]) & (1 << TABLE_BITS) - 1
    tag = (pc ^ history[own + 1] ^ history[own + 2] << 1) & (1 << TAG_BITS) - 1
    return (i << TABLE_BITS) + index, tag + 1


@kernel
def teach(table: Any, at: int, outcome: bool, other: bool) -> None:
    """The entry that guessed learns the outcome, and whether it was of use: `other` is what its alternate said."""
    entry = table[at]
    counter, useful = entry & COUNTER, entry >> USEFUL & 3
    said = counter > 3
    if said != other and said == outcome and useful < 3:
        entry += USE
    if said != other and said != outcome and useful > 0:
        entry -= USE
    if outcome and counter < 7:
        entry += 1
    if not outcome and counter > 0:
        entry -= 1
    table[at] = entry


@rare
def allocate(table: Any, tagged: int, history: Any, at: int, shorter: int, address: int, outcome: bool) -> None:
    """One of the tables behind table `shorter` takes the branch up, weakly: of those with a useless entry there the
    first every other time, else the second every other time, and so on. (The first every time, and branches would push
    one another out of it before they can prove useful.) If there is none, all entries there become less useful."""
    draws = history[at + DRAWS] + 1
    history[at + DRAWS] = draws
    taker, entry = -1, 0
    for i in range(shorter + 1, TABLES):
        where, tag = place(history, at, i, address)
        if table[tagged + where] >> USEFUL & 3 == 0:
            taker, entry = where, tag << TAG | (4 if outcome else 3)
            if draws & 1:
                break
            draws >>= 1
    if taker >= 0:
        table[tagged + taker] = entry
        return
    for i in range(shorter + 1, TABLES):
        where, tag = place(history, at, i, address)
        table[tagged + where] -= USE


@rare
def age(table: Any, tagged: int, high: int) -> None:
    """All entries forget one of their useful bits."""
    for k in range(tagged, tagged + ENTRIES):
        table[k] &= ~(USE << high)


@rare
def tage_mispredicted(table: Any, first: int, bits: int, history: Any, at: int, address: int, taken: int) -> bool:
    """Is this branch guessed wrong? table: 1 << bits counters from `first`, then the tagged tables."""
    base, tagged = first + (address >> 1 & (1 << bits) - 1), first + (1 << bits)
    owner, guesses, alternate = -1, -1, -1
    i = TABLES - 1
    while i >= 0 and alternate < 0:
        where, tag = place(history, at, i, address)
        if table[tagged + where] >> TAG == tag:
            if owner < 0:
                owner, guesses = i, tagged + where
            else:
                alternate = tagged + where
        i -= 1
    outcome = taken == 1
    if owner < 0:
        wrong = train(table, base, taken) != outcome
        missed = wrong
    else:
        other = table[alternate] & COUNTER > 3 if alternate >= 0 else table[base] > 1
        counter = table[guesses] & COUNTER
        said, weak = counter > 3, counter == 3 or counter == 4
        better = history[at + ALTERNATE]
        wrong = (other if weak and better >= 0 else said) != outcome
        missed = wrong and not (weak and said == outcome)
        if weak and said != other:
            history[at + ALTERNATE] = min(better + 1, 7) if other == outcome else max(better - 1, -8)
        teach(table, guesses, outcome, other)
    if missed and owner < TABLES - 1:
        allocate(table, tagged, history, at, owner, address, outcome)
    remember(history, at, taken)
    if history[at + BRANCHES] % AGING == 0:
        age(table, tagged, history[at + BRANCHES] // AGING & 1)
    return wrong
