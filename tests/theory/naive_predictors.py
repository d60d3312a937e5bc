"""Branch predictors written the obvious way, from their papers: what the engine's packed forms must agree with."""

from collections import Counter
from collections.abc import Iterable

Branches = Iterable[tuple[int, int]]  # address, taken


def gshare(branches: Branches, bits: int) -> list[bool]:
    """Which are guessed wrong. Two-bit counters indexed by address exclusive-or history (McFarling, TN-36, section 5),
    all weakly not taken."""
    counters: Counter[int] = Counter()
    history, wrong = 0, []
    for address, taken in branches:
        at = ((address >> 1) ^ history) % 2**bits
        state = counters[at] + 1  # kept less one, so that a Counter's 0 is the first state, 1
        wrong.append((state > 1) != bool(taken))
        counters[at] = (min(state + 1, 3) if taken else max(state - 1, 0)) - 1
        history = (2 * history + taken) % 2**bits
    return wrong


class Entry:
    """Of a tagged table: a counter from -4 to 3 whose sign guesses, and how useful it has been, 0 to 3."""

    def __init__(self, tag: int, taken: bool) -> None:
        self.tag, self.counter, self.useful = tag, 0 if taken else -1, 0

    @property
    def guess(self) -> bool:
        return self.counter >= 0

    @property
    def weak(self) -> bool:
        return self.counter in (-1, 0)


class Tage:
    """Seznec and Michaud, JILP 8, 2006, section 3. Histories are lists, folded anew for every branch. Of the tables
    that can take a branch up, draw n picks the one whose number is that of the zeros n ends in, in binary: as in the
    paper, each half as often as the one before."""

    LENGTHS = (4, 8, 16, 32, 64, 128, 256)
    TAG = 11  # bits

    def __init__(self, bits: int, index: int = 9, aging: int = 2**18) -> None:
        self.bits, self.index, self.aging = bits, index, aging
        self.base: dict[int, int] = {}
        self.tables: list[dict[int, Entry]] = [{} for _ in self.LENGTHS]
        self.history: list[int] = []  # youngest first
        self.seen = self.use_alternate = self.draws = self.full = 0

    def folded(self, length: int, width: int) -> int:
        """The outcome of age k counts in bit k mod width."""
        value = 0
        for age, outcome in enumerate(self.history[:length]):
            value ^= outcome << age % width
        return value

    def places(self, pc: int) -> list[tuple[int, int]]:
        """Index and tag in each table."""
        return [
            (
                (pc ^ (pc >> (self.index - i)) ^ self.folded(length, self.index)) % 2**self.index,
                (pc ^ self.folded(length, self.TAG) ^ (self.folded(length, self.TAG - 1) << 1)) % 2**self.TAG,
            )
            for i, length in enumerate(self.LENGTHS)
        ]

    def wrong(self, address: int, taken: bool) -> bool:
        """Is this branch guessed wrong? It is learnt."""
        pc = address >> 1
        places, counter = self.places(pc), self.base.get(pc % 2**self.bits, 1)
        hits = [i for i, (index, tag) in enumerate(places) if (e := self.tables[i].get(index)) and e.tag == tag]
        guesses = [counter > 1, *(self.tables[i][places[i][0]].guess for i in hits)]
        final = guesses[-1]
        if not hits:
            self.base[pc % 2**self.bits] = min(counter + 1, 3) if taken else max(counter - 1, 0)
            allocates = final != taken
        else:
            provider, alternate = self.tables[hits[-1]][places[hits[-1]][0]], guesses[-2]
            new = provider.weak
            if new and self.use_alternate >= 0:
                final = alternate
            allocates = final != taken and not (new and provider.guess == taken)
            self.learn(provider, alternate, taken)
        if allocates:
            self.allocate(places, hits[-1] if hits else -1, taken)
        self.remember(taken)
        return final != taken

    def learn(self, provider: Entry, alternate: bool, taken: bool) -> None:
        if provider.guess != alternate:
            if provider.weak:
                self.use_alternate += 1 if alternate == taken else -1
                self.use_alternate = max(-8, min(7, self.use_alternate))
            provider.useful = max(0, min(3, provider.useful + (1 if provider.guess == taken else -1)))
        provider.counter = max(-4, min(3, provider.counter + (1 if taken else -1)))

    def allocate(self, places: list[tuple[int, int]], provider: int, taken: bool) -> None:
        longer = range(provider + 1, len(places))
        there = {i: self.tables[i].get(places[i][0]) for i in longer}
        free = [i for i, entry in there.items() if entry is None or entry.useful == 0]
        self.draws += len(there) > 0
        if free:
            zeros = len(bin(self.draws)) - len(bin(self.draws).rstrip("0"))
            taker = free[min(zeros, len(free) - 1)]
            self.tables[taker][places[taker][0]] = Entry(places[taker][1], taken)
            return
        self.full += len(there) > 0
        for entry in there.values():
            assert entry
            entry.useful -= 1

    def remember(self, taken: bool) -> None:
        self.history = [int(taken), *self.history[: self.LENGTHS[-1] - 1]]
        self.seen += 1
        if self.seen % self.aging == 0:  # the high bits, then the low ones
            keep = 0b01 if self.seen // self.aging % 2 else 0b10
            for table in self.tables:
                for entry in table.values():
                    entry.useful &= keep


def tage(branches: Branches, bits: int) -> list[bool]:
    """Which are guessed wrong."""
    predictor = Tage(bits)
    return [predictor.wrong(address, bool(taken)) for address, taken in branches]
