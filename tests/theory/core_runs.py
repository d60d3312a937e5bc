"""Records by hand on one core of the teaching machine, and when each of them began and ended."""

from typing import Any

from theory.small_runs import MIB, Done, Row, laid, ld, program, simulated, teaching

FAR = 2 * MIB  # begin of the page that lies on the other node
WARM = [ld(0), ld(FAR)]
HOT = 0  # a line in L1


def cold(n: int, base: int = 0) -> int:
    """Lines of which no two share a bank, so that nothing of them waits in memory; n < 14."""
    return base + 64 * (17 + n * 3)


def run(rows: list[Row], warm: list[Row] = WARM, scheduler: str = "compiled", **changes: Any) -> Done:
    machine = teaching(**changes)
    return simulated(machine, laid(machine, 2 * MIB, 2 * MIB, nodes=(0, 1)), program(warm, rows), scheduler=scheduler)


def times(rows: list[Row], **keys: Any) -> list[tuple[float, float]]:
    """(address known, value there) of each record, in ns since counting began."""
    done = run(rows, **keys)
    return [(done.known(back), done.ended(back)) for back in range(len(rows), 0, -1)]
