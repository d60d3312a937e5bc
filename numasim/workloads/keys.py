"""Which item a look-up asks for: uniform, or Zipf's law, drawn chunk by chunk in constant memory."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.workloads.settings import Kind

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

MAX_SKEW = 5.0


class Distribution(NamedTuple):
    """skew 0: uniform. Else Zipf: the item of rank k (1, 2, ...) is asked for in proportion to k**-skew."""

    skew: float = 0.0

    def __str__(self) -> str:
        return f"zipf:{self.skew:g}" if self.skew else "uniform"


def distribution() -> Kind:
    """The key kind `uniform` or `zipf:0.99`."""

    def read(text: str, where: str) -> Distribution:
        expected = f"uniform, or zipf:S with S up to {MAX_SKEW:g}, such as zipf:0.99"
        word, _, skew = text.partition(":")
        if word == "uniform" and not skew:
            return Distribution()
        try:
            value = float(skew) if word == "zipf" else math.nan
        except ValueError:
            value = math.nan
        if not 0 < value <= MAX_SKEW:
            raise UserError(f"{text!r} is no key distribution", where, expected)
        return Distribution(value)

    return Kind("uniform|zipf:S", "", read)


class Keys:
    """Draws item numbers 0 .. count-1.

    Under Zipf's law the item of rank k is `item(k)`: ranks are spread over the items by a fixed one-to-one map, so that
    items asked for often are not neighbours in a sorted structure.
    """

    def __init__(self, count: int, wanted: Distribution) -> None:
        self.count, self.skew = count, wanted.skew
        self._factor = _coprime(count)
        # rejection-inversion: bounds of the area under the hat, and the half-open part accepted without a test
        self._low = self._area(1.5) - 1.0
        self._high = self._area(count + 0.5)
        self._sure = 2.0 - float(self._inverse(self._area(2.5) - 2.0**-self.skew))

    def item(self, rank: Ints) -> Ints:
        """The item with popularity rank `rank` (0: most asked for)."""
        return (rank * self._factor + self.count // 3) % self.count

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """`count` item numbers, independent of each other."""
        if not self.skew:
            return rng.integers(0, self.count, count)
        return self.item(self._ranks(rng, count))

    def _area(self, x: float | Floats) -> Floats:
        """Integral of x**-skew, up to a constant."""
        if self.skew == 1.0:
            return np.asarray(np.log(x))
        return np.asarray(np.expm1((1.0 - self.skew) * np.log(x)) / (1.0 - self.skew))

    def _inverse(self, area: float | Floats) -> Floats:
        """The x with this `_area`."""
        if self.skew == 1.0:
            return np.asarray(np.exp(area))
        return np.asarray(np.exp(np.log1p(np.multiply(area, 1.0 - self.skew)) / (1.0 - self.skew)))

    def _ranks(self, rng: np.random.Generator, count: int) -> Ints:
        """Zipf ranks from 0 by rejection-inversion (Hörmann and Derflinger, TOMACS 6, 1996): no table of weights."""
        parts: list[Ints] = []
        missing = count
        while missing > 0:
            area = self._high + rng.random(missing + missing // 8 + 16) * (self._low - self._high)
            x = self._inverse(area)
            rank = np.clip(np.floor(x + 0.5), 1.0, self.count)
            good = (rank - x <= self._sure) | (area >= self._area(rank + 0.5) - rank**-self.skew)
            parts.append(rank[good][:missing].astype(np.int64) - 1)
            missing -= len(parts[-1])
        return np.concatenate(parts)


def _coprime(count: int) -> int:
    """A factor near the golden section of `count` without a common divisor: multiples of it visit every item once."""
    factor = max(1, int(count * 0.6180339887))
    while math.gcd(factor, count) != 1:
        factor += 1
    return factor
