"""One access watched: the run goes on compiled until shortly before it, and from there in plain Python, event by event.

Both work on the same memory, so nothing is handed over: in Python the very functions that are compiled run on views of
the state's arrays, whose elements are Python's integers. While they do, those that an observer names are its own.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from numasim.engine import compiled
from numasim.engine import state as st
from numasim.engine.packed import ADDRESS, KIND, KIND_MASK
from numasim.engine.simulate import SLICE, Run
from numasim.errors import UserError
from numasim.traces.records import ATOMIC, COUNT_ON, LOAD, LOCK, MARK, STORE, UNLOCK

BEFORE = 32  # records before the access from which on is watched, so that it is known who else is on the way
IS_COUNTED = np.isin(np.arange(16), (LOAD, STORE, ATOMIC, LOCK, UNLOCK))
Wrapper = Callable[..., Any]  # (the function, its arguments) -> what it returns


class Watched(Run):
    """A run of which one access is watched: that of thread `thread` whose record has the number `record`, or (record
    below 0) the `access`-th of its accesses that count, from 0. Both numbers are known once it has been found."""

    def __init__(self, *args: Any, thread: int, record: int = -1, access: int = -1) -> None:
        self.thread, self.record, self.access = thread, record, access
        self._on, self._seen = False, 0
        super().__init__(*args)

    def _store(self, m: Any, t: int, end: int, word0: Any, word1: Any) -> None:
        if t == self.thread:
            self._look_for(end, word0)
        super()._store(m, t, end, word0, word1)

    def _look_for(self, first: int, word0: Any) -> None:
        """Count the accesses of the thread's next records, which begin with number `first`."""
        kind = word0 >> KIND & KIND_MASK
        counts = IS_COUNTED[kind]
        if not self._on:
            on = np.flatnonzero((kind == MARK) & (word0 & ADDRESS == COUNT_ON))
            self._on = len(on) > 0
            counts[: on[0] if self._on else None] = False
        n = int(counts.sum())
        if self.record < 0 and self.access < self._seen + n:
            self.record = first + int(np.flatnonzero(counts)[self.access - self._seen])
        elif self.access < 0 and 0 <= self.record < first + len(counts):
            self.access = self._seen + int(counts[: self.record - first].sum())
        self._seen += n

    def watch(self, observer: Any) -> None:
        """Run to the access and through it. observer: has `wrappers()` (by function of the engine, a Wrapper that is
        called in its place), `begin(machine, record)` with the state to look at, and `done`. Raises UserError if the
        run has fewer accesses."""
        tree = compiled.agenda(self.m)
        compiled.warm_up(self.m)
        self._approach(tree)
        views, agenda = st.mapped(self.m, memoryview), memoryview(tree)  # type: ignore[arg-type]
        observer.begin(views, self.record)
        with replaced(observer.wrappers()):
            while not observer.done and tree[1] != compiled.NEVER and self.m.control[st.K_RUNNING] > 0:
                compiled.loop(views, agenda, len(tree) >> 1, 1)
                self._feed_on()

    def _approach(self, tree: Any) -> None:
        run, f = compiled.runner(self.m, tree), self.m.front
        while self.record < 0 or f.pos[self.thread] < self.record - BEFORE:
            if tree[1] == compiled.NEVER or self.m.control[st.K_RUNNING] == 0:
                raise UserError(
                    f"access {self.access:,} of thread {self.thread}", "--access", f"below {self._seen:,}, or slowest"
                )
            # an event takes one record at most
            left = self.record - BEFORE - int(f.pos[self.thread]) if self.record >= 0 else SLICE
            run(min(left, SLICE))
            self._feed_on()

    def _feed_on(self) -> None:
        self._check(self.m)
        if self.m.control[st.K_STARVED]:
            self.feed_starved(self.m)


@contextlib.contextmanager
def replaced(wrappers: Mapping[Any, Wrapper]) -> Iterator[None]:
    """While the block runs, modules of the engine find wrapped functions in place of those named."""
    before = []
    for name, module in list(sys.modules.items()):
        if name.startswith("numasim.engine."):
            for attribute, value in list(vars(module).items()):
                if callable(value) and not isinstance(value, type) and value in wrappers:
                    before.append((module, attribute, value))
    try:
        for module, attribute, value in before:
            setattr(module, attribute, _wrapped(value, wrappers[value]))
        yield
    finally:
        for module, attribute, value in before:
            setattr(module, attribute, value)


def _wrapped(function: Any, wrapper: Wrapper) -> Any:
    return lambda *args: wrapper(function, *args)
