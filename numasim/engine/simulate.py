"""Run threads on a machine: state built, traces fed, a scheduler driven, what was counted handed back."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.engine import state as st
from numasim.engine.build import Seat, build, slot_bits
from numasim.engine.counted import raw_result
from numasim.engine.feed import Classes, Feed, Length, Numbers
from numasim.engine.output import RawResult
from numasim.engine.running import Progress, Pulse
from numasim.errors import UserError

SLICE = 1 << 21  # events between looks at the clock, so that Ctrl-C and progress get their turn
RING_WORDS = 1 << 22  # of all trace rings together


class Thread(NamedTuple):
    """A thread of a run. program: a workloads.ThreadProgram. arrivals_ps: generator of gaps between operations, if they
    arrive by themselves."""

    cpu: int
    group: int
    program: Any
    length: Length
    barriers: int = 0  # added to the numbers of its barriers
    arrivals_ps: Callable[[int], np.ndarray[Any, Any]] | None = None
    tokens: int = 0  # added to the numbers of its tokens


def ring_size(threads: int) -> int:
    """Records a thread's trace ring holds: a power of two, smaller where there are many threads."""
    return int(max(2048, min(1 << 17, 1 << (RING_WORDS // threads).bit_length() - 1)))


class Run:
    """A simulation under way.

    machine: machine.Machine. pagemap: memory.PageMap. threads: what runs where. groups: names of the groups.
    timeline: keep when operations began and ended (output.Timeline).
    Raises UserError for machines and programs the engine cannot hold.
    """

    def __init__(
        self, machine: Any, pagemap: Any, threads: Sequence[Thread], groups: list[str], timeline: bool = False
    ) -> None:
        self.machine, self.pagemap, self.threads, self.groups = machine, pagemap, list(threads), groups
        self.ring = ring_size(len(threads))
        seats = [Seat(t.cpu, t.group, t.program.endless, _operations(t)) for t in threads]
        tokens = max((t.tokens + getattr(t.program, "tokens", 0) for t in self.threads), default=0)
        self.m = build(machine, pagemap, seats, len(groups), self.ring, tokens, timeline)
        self.classes = Classes(np.asarray(pagemap.block), self.m.control)
        p, slot = self.m.p, self.m.front.slot
        self.feeds = [
            Feed(
                t.program, t.group, t.length, self.classes, (int(slot[k]), p.cycle, p.l1), Numbers(t.barriers, t.tokens)
            )
            for k, t in enumerate(threads)
        ]
        self._set_parties()
        for k in range(len(threads)):
            self.feed(k, self.m)

    def _set_parties(self) -> None:
        for t in self.threads:
            for number in getattr(t.program, "barriers", ()):
                self.m.sync.parties[number + t.barriers + 1] += 1

    def feed(self, t: int, m: st.Machine) -> None:
        """Give thread t the next records of its trace, as many as its ring has room for."""
        f, feed = m.front, self.feeds[t]
        pos, end = int(f.pos[t]), int(f.end[t])
        keep = st.RING  # those in the window may still be looked at
        while not feed.done and end - pos < self.ring // 2:
            word0, word1 = feed.read(self.ring - keep - (end - pos))
            self._store(m, t, end, word0, word1)
            end += len(word0)
        f.end[t] = end
        f.last[t] = int(feed.done)
        if f.ops[t] == 3:
            self._arrive(t, m)

    def _store(self, m: Any, t: int, end: int, word0: Any, word1: Any) -> None:
        """Write records into the ring, in two parts where it turns over."""
        base, size, at = t * self.ring, self.ring, end & self.ring - 1
        first = min(len(word0), size - at)
        for ring, words in ((m.word0, word0), (m.word1, word1)):
            if isinstance(ring, list):  # the reference scheduler counts in Python's own integers
                words = words.tolist()
            ring[base + at : base + at + first] = words[:first]
            ring[base : base + len(words) - first] = words[first:]

    def _arrive(self, t: int, m: st.Machine) -> None:
        """Tell when the next operations arrive: as many as there are places for, beyond those that are done."""
        known, done = int(m.ops.known[t]), int(m.front.op[t]) if m.control[st.K_COUNTING] else 0
        room = st.ARRIVALS - 1 - (known - done)
        gaps_of = self.threads[t].arrivals_ps
        if room <= 0 or gaps_of is None:
            return
        last = m.ops.arrivals[t * st.ARRIVALS + (known - 1) % st.ARRIVALS] if known else 0
        times = int(last) + np.cumsum(gaps_of(room))
        for k, when in enumerate(times.tolist()):
            m.ops.arrivals[t * st.ARRIVALS + (known + k) % st.ARRIVALS] = when
        m.ops.known[t] = known + room

    def feed_starved(self, m: st.Machine) -> None:
        """Feed all threads whose ring is half empty."""
        m.control[st.K_STARVED] = 0
        for t in range(m.threads):
            if not self.feeds[t].done and m.front.end[t] - m.front.pos[t] < self.ring // 4:
                self.feed(t, m)
            elif m.front.ops[t] == 3:
                self._arrive(t, m)

    def compiled(self, progress: Progress | None = None) -> bool:
        """Run to the end with the compiled scheduler. False if Ctrl-C ended it early."""
        from numasim.engine.compiled import END, NEVER, agenda, runner, warm_up

        m, tree = self.m, agenda(self.m)
        warm_up(m)
        run, pulse = runner(m, tree), Pulse(self, progress)
        try:
            while tree[1] != NEVER and m.control[st.K_RUNNING] > 0:
                run(SLICE)
                self._check(m)
                if (tree > NEVER).any():
                    what = f"more than {END // 10**12} s of simulated time"
                    raise UserError(what, "workload", "a shorter run or faster arrivals")
                if m.control[st.K_STARVED]:
                    self.feed_starved(m)
                pulse(m)
        except KeyboardInterrupt:
            return False
        self._check_end(m)
        return True

    def reference(self, progress: Progress | None = None) -> bool:
        """The same with the reference scheduler, on Python lists."""
        from numasim.engine.reference import Reference

        rows = self.m.out.rows  # too large for a list, and only ever added to
        lists = st.mapped(self.m, lambda a: a if a is rows else a.tolist())
        try:
            Reference(lists, self.feed_starved, Pulse(self, progress)).run()
        except KeyboardInterrupt:
            self.m = st.mapped(lists, np.asarray)
            return False
        self._check(lists)
        self._check_end(lists)
        self.m = _arrays(lists, self.m)
        return True

    def _check(self, m: st.Machine) -> None:
        if m.control[st.K_PROBLEM]:
            what = f"more than {st.ARRIVALS - 512} operations wait at thread {m.control[st.K_PROBLEM] - 1}"
            raise UserError(what, "arrivals", "a rate that the thread can serve")

    def _check_end(self, m: st.Machine) -> None:
        if m.control[st.K_RUNNING] > 0:
            stuck = [t for t in range(m.threads) if m.front.wait[t] != st.DONE and not m.front.endless[t]]
            raise UserError(
                f"threads {stuck} wait for each other for ever",
                "workload",
                "locks freed, barriers met by all, tokens posted",
            )

    def result(self, cpu_s: float, partial: bool = False) -> RawResult:
        """Everything counted, as plain arrays."""
        return raw_result(self, cpu_s, partial)


def loop_of(machine: Any) -> str:
    """Name of the compiled loop that runs a machine: one for cores with few slots, one for those with many."""
    return "_run_table" if slot_bits(machine.core) == st.FEW_BITS else "_run_table_of_many"


def _operations(t: Thread) -> int:
    """How the engine keeps operations: 0 not at all, 1 one after the other, 3 as they arrive."""
    if t.arrivals_ps is not None:
        return 3
    return int(t.program.operations)


def _arrays(lists: Any, like: Any) -> Any:
    """Lists back into arrays of the types they were."""
    parts = []
    for a, b in zip(lists, like, strict=True):
        parts.append(
            _arrays(a, b) if isinstance(b, tuple) else np.asarray(a, b.dtype) if isinstance(b, np.ndarray) else a
        )
    return type(like)(*parts)


def simulate(
    machine: Any,
    pagemap: Any,
    threads: Sequence[Thread],
    groups: list[str],
    scheduler: str = "compiled",
    progress: Progress | None = None,
    timeline: bool = False,
) -> RawResult:
    """Simulate and hand back what was counted. scheduler: "compiled" or "simpy"; both give the same result.

    progress: called now and then with how far it is. timeline: see Run. Raises UserError.
    """
    began = time.process_time()
    run = Run(machine, pagemap, threads, groups, timeline)
    if scheduler == "compiled":
        from numasim.engine.compiled import warm_up

        before = time.process_time()
        warm_up(run.m)  # compiling is no part of simulating
        began += time.process_time() - before
        whole = run.compiled(progress)
    elif scheduler == "simpy":
        whole = run.reference(progress)
    else:
        raise UserError(f"unknown scheduler {scheduler!r}", "scheduler", "compiled or simpy")
    return run.result(time.process_time() - began, not whole)
