"""What all workloads that look things up share: keys, laps, operations."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from numasim.traces.records import CHUNK, LOAD, MARK, OP_END, STORE, Records
from numasim.workloads.base import Context, Program, ThreadProgram, Workload
from numasim.workloads.flow import Bytes, Code, Flow, Ints, Step
from numasim.workloads.keys import Distribution, Keys, distribution
from numasim.workloads.scripts import Script
from numasim.workloads.settings import ALLOCATORS, choice, count, fraction, key, yes_no

BATCH = 2048  # look-ups written down at a time
_KEY_INSNS = 11  # xorshift64 and a multiplication that brings it into range, gcc -O2, all in registers

Look = Callable[[Script, Ints, int, int], Ints]


class Table(NamedTuple):
    """A structure that is laid out.

    code: made by `look_up_code`; the value's step reads the registers the value's address is made from.
    look: Contract: look(script, items, place, begun) writes the steps of looking these items up in the structure of the
        thread at `place`, up to the value's, and returns the values' addresses; `begun` look-ups of the lap are done.
    ends: the last steps of every look-up before the value's, if a register they load is read in the next look-up.
    """

    code: Code
    look: Look
    ends: tuple[str, ...] = ()


def look_up_code(steps: dict[str, Step], value: Step, dependent: bool) -> Code:
    """The code of a look-up: `steps`, then `value`, the load of the answer; `store` writes it back.

    dependent: the register `key`, which steps may read, is the answer of the look-up before. Else it is known in
    advance: made by instructions that are added to the first step.
    """
    first = next(iter(steps))
    if not dependent:
        steps = {**steps, first: steps[first]._replace(insns=steps[first].insns + _KEY_INSNS)}
    ends = {
        "value": value._replace(cell=True, writes=("answer", *(["key"] if dependent else []))),
        "store": Step(f"{value.site} (store)", STORE, 2, {**value.reads, "answer": 1}, cell=True),
        "end": Step(value.site, MARK, 2),
    }
    return Code({**steps, **ends})


@dataclass(frozen=True)
class LookUps(Workload):
    """Base of workloads that look up one item after the other. Each look-up is an operation."""

    length: int = key(count(), "100000", "items of a structure")
    value: int = key(count(8, 4096, "bytes"), "8", "size of a value; its first 8 bytes are read")
    dependent: bool = key(yes_no(), "no", "the next key is made from the answer; no: keys are known in advance")
    dist: Distribution = key(distribution(), "uniform", "which items are asked for")
    writes: Fraction = key(fraction(), "0", "share of look-ups that change the value they found")
    lookups: int = key(count(0, 1 << 40), "0", "look-ups a lap; 0: one an item, but 1,000 to 100,000")
    allocator: str = key(choice(*ALLOCATORS), "auto", "where nodes lie; auto: the runtime's own")
    shared: bool = key(yes_no(), "no", "all threads use one structure")

    def least_bytes(self, machine: Any, threads: int) -> int:
        """The keys and values."""
        return self.length * (8 + self.value) * (1 if self.shared else threads)

    @abstractmethod
    def lay_out(self, ctx: Context) -> Table:
        """Puts the structure into regions of `ctx`."""

    def lap_length(self) -> int:
        """Look-ups a lap has unless `lookups` says it."""
        return min(max(self.length, 1000), 100_000)

    def build(self, ctx: Context) -> Program:
        """Every thread draws its own keys, anew in each lap."""
        structure = self.lay_out(ctx)
        keys = Keys(self.length, self.dist)
        in_lap = self.lookups or self.lap_length()

        def thread(place: int) -> ThreadProgram:
            def lap(number: int) -> Iterator[Records]:
                return self._lap(ctx, structure, keys, place, number, in_lap)

            sample = min(in_lap, BATCH)
            kind = structure.code.kind[
                self._batch(structure, keys, ctx.random(2, place, 0), place, 0, sample, False)[0]
            ]
            accesses = np.count_nonzero((kind == LOAD) | (kind == STORE)) * in_lap / sample
            return ThreadProgram(lap, round(accesses), False, operations=True)

        return Program([thread(place) for place in range(len(ctx.threads))], structure.code.sites)

    def _lap(
        self, ctx: Context, structure: Table, keys: Keys, place: int, number: int, look_ups: int
    ) -> Iterator[Records]:
        rng, before = ctx.random(2, place, number), self._changes_last(ctx, place, number - 1)
        flow = Flow(structure.code, (*structure.ends, "value", *(["store"] if before else []), "end") if number else ())
        last = self._changes_last(ctx, place, number)
        for done in range(0, look_ups, BATCH):
            step, address, taken = self._batch(structure, keys, rng, place, done, min(BATCH, look_ups - done), last)
            for begin in range(0, len(step), CHUNK):
                part = slice(begin, begin + CHUNK)
                yield flow.records(step[part], address[part], taken[part])

    def _batch(
        self, structure: Table, keys: Keys, rng: np.random.Generator, place: int, begun: int, look_ups: int, last: bool
    ) -> tuple[Bytes, Ints, Bytes]:
        """Steps, addresses and outcomes of some look-ups, of which the last changes its value if `last`."""
        script = Script(structure.code, look_ups)
        address = structure.look(script, keys.draw(rng, look_ups), place, begun)
        script.do("value", address)
        if self.writes:
            change = rng.random(look_ups) < float(self.writes)
            change[-1] = last
            script.do("store", address, change)
        script.do("end", OP_END)
        return script.finish()

    def _changes_last(self, ctx: Context, place: int, number: int) -> bool:
        """Does the last look-up of a lap change its value? The next lap must know how far back its answer is."""
        return bool(ctx.random(3, place, max(number, 0)).random() < float(self.writes))
