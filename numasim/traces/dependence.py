"""Which load needs which, where the trace does not say: a rule chosen by the user.

chain       each load needs the load before it: a walk of a list, and the slowest the program can have been
none        no load needs another: the fastest
window:N    load i needs load i-N: N chains side by side
exact       as recorded
"""

import numpy as np
import numpy.typing as npt

from numasim.errors import UserError
from numasim.traces.records import ATOMIC, LOAD, MAX_BACK

EXPECTED = "chain, none, window:N (N from 1 to 255), or exact where the trace has it"


def choose(rule: str | None, recorded: str, path: str) -> str:
    """The rule to use, in its normal form ("chain", "none", "window:4", "exact").

    None: exact if recorded, else chain. Raises UserError for an unknown rule, and for exact where it was not recorded.
    """
    if rule is None:
        return "exact" if recorded == "exact" else "chain"
    word, _, number = rule.partition(":")
    if word == "exact" and not number:
        if recorded != "exact":
            raise UserError("the trace does not say which load needs which", path, "dependence=chain, none or window:N")
        return rule
    if rule in ("chain", "none"):
        return rule
    if word == "window" and number.isascii() and number.isdigit() and 1 <= int(number) <= MAX_BACK:
        return f"window:{int(number)}"
    raise UserError(f"no such rule: {rule}", "dependence", EXPECTED)


class Rule:
    """Applies chain, none or window:N to a thread's records, chunk after chunk."""

    def __init__(self, rule: str) -> None:
        self.window = {"chain": 1, "none": 0}.get(rule) if not rule.startswith("window:") else int(rule[7:])
        self.seen = 0
        self.last = np.zeros(0, np.int64)  # numbers of the last loads' records, at most `window` of them

    def needs(self, kind: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
        """Where the next chunk's loads are (atomics are loads too), and how many records back the load that each needs.

        0: none, also where it is more than 255 records back: by then it has long ended.
        """
        loads = np.flatnonzero((kind == LOAD) | (kind == ATOMIC))
        back = np.zeros(len(loads), np.uint8)
        if self.window:
            number = np.concatenate([self.last, loads + self.seen])
            distance = number[self.window :] - number[: -self.window]
            if len(distance):
                back[-len(distance) :] = np.where(distance > MAX_BACK, 0, distance)
            self.last = number[-self.window :]
        self.seen += len(kind)
        return loads, back
