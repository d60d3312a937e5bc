"""Replacement policies written the obvious way, a set at a time: what the engine's packed forms must agree with."""

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable


class NaiveSet(ABC):
    """One set. use(line) is True for a hit; a miss takes the first empty way, else the policy's victim."""

    def __init__(self, ways: int) -> None:
        self.lines: list[int | None] = [None] * ways

    def use(self, line: int) -> bool:
        hit = line in self.lines
        if hit:
            way = self.lines.index(line)
        else:
            way = self.lines.index(None) if None in self.lines else self.victim()
            self.lines[way] = line
        self.touched(way, hit)
        return hit

    def hit_rate(self, trace: Iterable[int]) -> float:
        hits = [self.use(line) for line in trace]
        return sum(hits) / len(hits)

    @abstractmethod
    def victim(self) -> int:
        """The way to be replaced when all are taken."""

    @abstractmethod
    def touched(self, way: int, hit: bool) -> None:
        """That way was just used, or filled."""


class Lru(NaiveSet):
    """The way not used for the longest time."""

    def __init__(self, ways: int) -> None:
        super().__init__(ways)
        self.order: list[int] = []  # least recently used first

    def victim(self) -> int:
        return self.order[0]

    def touched(self, way: int, hit: bool) -> None:
        if way in self.order:
            self.order.remove(way)
        self.order.append(way)


class Random(NaiveSet):
    """Any way, each with the same chance."""

    def __init__(self, ways: int, seed: int = 1) -> None:
        super().__init__(ways)
        self.random = random.Random(seed)

    def victim(self) -> int:
        return self.random.randrange(len(self.lines))

    def touched(self, way: int, hit: bool) -> None:
        pass


class TreePlru(NaiveSet):
    """A binary tree whose inner nodes point to the half used less recently; each is named by the span of ways below it.

    For ways that are no power of two the left half is the smaller one, [low, (low + high) // 2).
    """

    def __init__(self, ways: int) -> None:
        super().__init__(ways)
        self.to_right: dict[tuple[int, int], bool] = {}

    def victim(self) -> int:
        low, high = 0, len(self.lines)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.to_right.get((low, high), False) else (low, middle)
        return low

    def touched(self, way: int, hit: bool) -> None:
        low, high = 0, len(self.lines)
        while high - low > 1:
            middle = (low + high) // 2
            self.to_right[low, high] = way < middle
            low, high = (low, middle) if way < middle else (middle, high)


class Srrip(NaiveSet):
    """Static re-reference interval prediction with hit priority, two bits (Jaleel and others, ISCA 2010, section 4).

    A new line is predicted `largest` - 1, a line that hit 0; the victim is the first way predicted `largest`, all ways
    being raised by one until there is such a way.
    """

    def __init__(self, ways: int, largest: int = 3) -> None:
        super().__init__(ways)
        self.largest = largest
        self.predicted = [largest] * ways

    def victim(self) -> int:
        while self.largest not in self.predicted:
            self.predicted = [value + 1 for value in self.predicted]
        return self.predicted.index(self.largest)

    def touched(self, way: int, hit: bool) -> None:
        self.predicted[way] = 0 if hit else self.largest - 1
