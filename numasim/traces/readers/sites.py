"""Numbers for code addresses: a trace's column `site`."""

import numpy as np
import numpy.typing as npt

LIMIT = 65535  # the column is uint16; the last number is "other"


class Sites:
    """Numbers code addresses as they are first seen; the first 65,535 get one of their own, all others share one."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}

    def of(self, code: npt.NDArray[np.int64]) -> npt.NDArray[np.uint16]:
        """The numbers of these addresses, of any shape, in order."""
        found, first, inverse = np.unique(code, return_index=True, return_inverse=True)
        number = np.zeros(len(found), np.uint16)
        for at in np.argsort(first).tolist():
            number[at] = self._number(int(found[at]))
        return number[inverse]

    def _number(self, address: int) -> int:
        number = self.numbers.get(address)
        if number is None:
            number = len(self.numbers)
            if number >= LIMIT:
                return LIMIT
            self.numbers[address] = number
        return number

    def names(self) -> list[str]:
        """By number, hexadecimal; "other" last if there were more."""
        return [f"{address & (1 << 64) - 1:#x}" for address in self.numbers] + ["other"] * (len(self.numbers) >= LIMIT)
