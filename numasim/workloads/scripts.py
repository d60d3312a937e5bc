"""Two ways to write down what a thread does: a loop that does the same for each thing, and look-ups that differ."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from numasim.traces.records import BRANCH, CHUNK, OP_END, Records
from numasim.workloads.flow import Bytes, Code, Flow, Ints

Which = npt.NDArray[np.bool_]
AddressesOf = Callable[[int, int], Ints]

END = ("end", OP_END)  # the step that ends an operation, in a code that calls it so


def loop(
    code: Code,
    body: Sequence[str],
    count: int,
    addresses: AddressesOf,
    head: Sequence[tuple[str, int]] = (),
    tail: Sequence[tuple[str, int]] = (),
) -> Iterator[Records]:
    """Records of `head`, of `body` for each of `count` things, then of `tail`. All branches but the last are taken.

    addresses(first, stop): of the body's steps for the things first to stop-1, an array (stop - first, len(body)).
    head, tail: steps with their addresses.
    """
    flow = Flow(code)
    per = (CHUNK - len(head) - len(tail)) // len(body)
    branch = (code.kind[code.steps(*body)] == BRANCH).astype(np.uint8)
    for first in range(0, count, per):
        stop = min(first + per, count)
        before, after = head if first == 0 else (), tail if stop == count else ()
        steps = code.pattern(tuple(body), stop - first, tuple(s for s, _ in before), tuple(s for s, _ in after))
        address = addresses(first, stop).reshape(-1)
        if before or after:
            address = np.concatenate([[at for _, at in before], address, [at for _, at in after]]).astype(np.int64)
        taken: npt.ArrayLike = np.uint8(0)
        if branch.any():
            outcome = np.zeros(len(steps), np.uint8)
            outcome[len(before) : len(steps) - len(after)] = np.tile(branch, stop - first)
            if stop == count:
                outcome[-len(body) - len(after) :] = 0
            taken = outcome
        yield flow.records(steps, address, taken, keep=True)


class Script:
    """What a batch of look-ups does, step by step, where not every look-up does every step. `count`: of look-ups."""

    def __init__(self, code: Code, count: int) -> None:
        self.code, self.count = code, count
        self._steps: list[Bytes | np.uint8] = []
        self._addresses: list[Ints | int] = []
        self._taken: list[Which | bool] = []
        self._when: list[Which | bool] = []

    def do(
        self, step: str | Bytes, address: Ints | int, when: Which | bool = True, taken: Which | bool = False
    ) -> None:
        """The next step of those look-ups for which `when` holds; every argument is one for all, or one for each."""
        self._steps.append(np.uint8(self.code.number[step]) if isinstance(step, str) else step)
        self._addresses.append(address)
        self._taken.append(taken)
        self._when.append(when)

    def finish(self) -> tuple[Bytes, Ints, Bytes]:
        """Steps, addresses and branch outcomes of one look-up after the other."""
        shape = len(self._steps), self.count
        step, taken = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
        address, when = np.empty(shape, np.int64), np.empty(shape, np.bool_)
        for row in range(shape[0]):
            step[row], address[row] = self._steps[row], self._addresses[row]
            taken[row], when[row] = self._taken[row], self._when[row]
        does = when.T
        return step.T[does], address.T[does], taken.T[does]


def table(first: int, stop: int, *parts: tuple[Ints | None, int]) -> Ints:
    """Addresses for `loop`: a column for each (offsets, base), which is base + offsets[first:stop], or base alone.

    Offsets are a ring: behind the last the first follows.
    """
    out = np.empty((stop - first, len(parts)), np.int64)
    for column, (offsets, base) in enumerate(parts):
        out[:, column] = base
        if offsets is not None:
            start = first % len(offsets)
            some = offsets[start : start + stop - first]
            out[: len(some), column] += some
            out[len(some) :, column] += offsets[: stop - first - len(some)]
    return out
