"""The five cases that are timed: a dependent chain in a random cycle over so many bytes, on one core or on all."""

from typing import NamedTuple

import numpy as np

LINE_BYTES = 64
KIB, MIB = 1 << 10, 1 << 20


class Case(NamedTuple):
    """`size_bytes` is what one core walks through; with many cores each has its own, on its own node."""

    name: str
    size_bytes: int
    pages: str = "4k"
    cores: int = 1

    @property
    def lines(self) -> int:
        """Lines of one core's cycle."""
        return self.size_bytes // LINE_BYTES


L1 = Case("16 KiB", 16 * KIB)
L3 = Case("8 MiB", 8 * MIB)
DRAM = Case("512 MiB, 2m pages", 512 * MIB, "2m")
WALKS = Case("512 MiB, 4k pages", 512 * MIB, "4k")
# 36 x 16 MiB are ten times a socket's L3; a lap of 72 x 512 MiB would take minutes and say the same
CORES = Case("72 cores, DRAM, 2m", 16 * MIB, "2m", 72)
CASES = (L1, L3, DRAM, WALKS, CORES)


def addresses(case: Case, count: int, seed: int = 1) -> list[int]:
    """Byte addresses of `count` accesses, lap after lap round the cycle, as plain ints."""
    cycle = np.random.default_rng(seed).permutation(case.lines)[:count] * LINE_BYTES
    lap: list[int] = cycle.tolist()
    return (lap * (count // len(lap) + 1))[:count]
