"""Run threads on a machine: state built, traces fed, a scheduler driven, what was counted handed back."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from numasim.engine import state as st
from numasim.engine.build import Seat, build
from numasim.engine.feed import Classes, Feed, Length, Numbers
from numasim.engine.output import ACCESS_CAUSES, ChannelUse, LinkUse, RawResult
from numasim.errors import UserError

SLICE = 1 << 21  # events between looks at the clock, so that Ctrl-C and progress get their turn
RING_WORDS = 1 << 22  # of all trace rings together
Progress = Callable[[int], None]


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
    Raises UserError for machines and programs the engine cannot hold.
    """

    def __init__(self, machine: Any, pagemap: Any, threads: Sequence[Thread], groups: list[str]) -> None:
        self.machine, self.pagemap, self.threads, self.groups = machine, pagemap, list(threads), groups
        self.ring = ring_size(len(threads))
        seats = [Seat(t.cpu, t.group, t.program.endless, _operations(t)) for t in threads]
        tokens = max((t.tokens + getattr(t.program, "tokens", 0) for t in self.threads), default=0)
        self.m = build(machine, pagemap, seats, len(groups), self.ring, tokens)
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
        from numasim.engine.compiled import NEVER, agenda, runner, warm_up

        m, tree = self.m, agenda(self.m)
        warm_up(m)
        run = runner(m, tree)
        try:
            while tree[1] != NEVER and m.control[st.K_RUNNING] > 0:
                run(SLICE)
                self._check(m)
                if (tree > NEVER).any():
                    raise UserError("more than 281 s of simulated time", "workload", "a shorter run or faster arrivals")
                if m.control[st.K_STARVED]:
                    self.feed_starved(m)
                if progress:
                    progress(int(m.front.pos.sum()))
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
            Reference(lists, self.feed_starved, progress).run()
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

    # ---- what was counted ----------------------------------------------------------------------------------------

    def result(self, cpu_s: float, partial: bool = False) -> RawResult:
        """Everything counted, as plain arrays."""
        m = self.m
        n = max(len(self.classes.keys), 1)
        rows, low, high, events = _folded(m, n)
        f = m.front
        origin = int(m.control[st.K_ORIGIN])
        ended = [int(f.ended[t]) if f.wait[t] == st.DONE else int(f.latest[t]) for t in range(m.threads)]
        finite = [e for e, t in zip(ended, self.threads, strict=True) if not t.program.endless] or [origin]
        stop = max(finite)
        group_time = [0] * len(self.groups)
        for g in range(len(self.groups)):
            mine = [min(e, stop) - origin for e, t in zip(ended, self.threads, strict=True) if t.group == g]
            group_time[g] = sum(mine) // max(len(mine), 1)
        traffic = np.asarray(m.dram.traffic).reshape(len(self.groups), -1, 2) * 64
        warm = sum(feed.warm for feed in self.feeds)
        return RawResult(
            groups=self.groups,
            classes=self.classes.keys or [(0, 0, -1)],
            bucket_edges_ps=bucket_edges(),
            access_rows=rows,
            access_min_ps=low,
            access_max_ps=high,
            op_rows=np.asarray(m.out.op_rows).reshape(len(self.groups), st.BUCKETS, st.OP_WORDS),
            op_min_ps=np.asarray(m.out.op_low),
            op_max_ps=np.asarray(m.out.op_high),
            event_names=st.EVENTS,
            counters=events,
            links=self._links(),
            link_series=np.asarray(m.links.series).reshape(-1, st.SERIES)[: m.links.edges],
            channels=self._channels(),
            channel_series=np.asarray(m.links.series).reshape(-1, st.SERIES)[m.links.edges :],
            series_bin_ps=1 << int(m.control[st.K_BIN]),
            node_read_bytes=traffic[:, :, 0],
            node_write_bytes=traffic[:, :, 1],
            group_read_bytes=traffic[:, :, 0].sum(axis=1),
            group_write_bytes=traffic[:, :, 1].sum(axis=1),
            group_time_ps=np.array(group_time, np.int64),
            simulated_ps=max(stop - origin, 0),
            accesses_simulated=int(rows[:, :, st.COUNT].sum()) + warm,
            cpu_s=cpu_s,
            partial=partial,
        )

    def _links(self) -> list[LinkUse]:
        net, topology = self.m.links, self.machine.topology
        out = []
        for k, edge in enumerate(topology.edges):
            requests, lines = int(net.messages[2 * k]), int(net.messages[2 * k + 1])
            sent = requests * edge.request_bytes + lines * edge.data_bytes
            ends = topology.vertices[edge.source], topology.vertices[edge.target]
            out.append(LinkUse(*ends, edge.link, sent, int(net.busy[k]), edge.bandwidth_gbps * edge.count))
        return out

    def _channels(self) -> list[ChannelUse]:
        d, out = self.m.dram, []
        for node in range(d.nodes):
            burst = int(d.par[node * 32 + 4])
            for k in range(int(d.channels[node])):
                ch = int(d.first[node]) + k
                read, write = (int(d.busy[2 * ch + w]) for w in (0, 1))
                out.append(ChannelUse(node, k, read // burst * 64, write // burst * 64, read + write))
        return out


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


def _folded(m: st.Machine, n: int) -> tuple[Any, Any, Any, Any]:
    """Rows, extremes and events of the n classes in use, the loads that were only counted as L1 hits among them."""
    rows = np.asarray(m.out.rows).reshape(-1, st.BUCKETS, 16)[:n].copy()
    low, high = np.asarray(m.out.low)[:n].copy(), np.asarray(m.out.high)[:n].copy()
    events = np.asarray(m.out.events).reshape(-1, st.EVENT_WORDS)[:n, : len(st.EVENTS)].copy()
    hits, l1 = np.asarray(m.out.l1)[:n], m.p.l1
    bucket = int(np.searchsorted(bucket_edges(), l1, "right")) - 1
    rows[:, bucket, ACCESS_CAUSES.index("l1")] += hits * l1
    rows[:, bucket, st.COUNT] += hits
    low[hits > 0] = np.minimum(low[hits > 0], l1)
    high[hits > 0] = np.maximum(high[hits > 0], l1)
    events[:, st.E_LOAD] += hits
    return rows, low, high, events


def bucket_edges() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Picoseconds at which the histogram's buckets begin, and the end of the last: (BUCKETS + 1,)."""
    b = np.arange(st.BUCKETS + 1)
    edges = 2.0 ** (10 + b // st.PER) * (1 + b % st.PER / st.PER)
    edges[0] = 0
    return np.asarray(edges)


def simulate(
    machine: Any,
    pagemap: Any,
    threads: Sequence[Thread],
    groups: list[str],
    scheduler: str = "compiled",
    progress: Progress | None = None,
) -> RawResult:
    """Simulate and hand back what was counted. scheduler: "compiled" or "simpy"; both give the same result.

    progress: called now and then with the records taken so far. Raises UserError.
    """
    began = time.process_time()
    run = Run(machine, pagemap, threads, groups)
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
