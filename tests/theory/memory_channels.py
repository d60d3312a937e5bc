"""Memory channels alone, without a machine around them: requests at given times, and when the data of each is there.

Times are in nanoseconds, kept by the engine as picoseconds.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from numasim.engine import channel, dram
from numasim.engine import state as st
from numasim.engine import writes as posted
from numasim.engine.build_memory import dram as build_dram
from numasim.machine import Machine
from theory.small_runs import teaching

SLOTS = 1024


class Served(NamedTuple):
    """A read: when it came, when its bank was ready for the bus, when its data started, when all of it was there."""

    line: int
    came: float
    ready: float
    start: float
    end: float
    stack: dict[str, float]

    @property
    def latency(self) -> float:
        return round(self.end - self.came, 3)


class Channels:
    """The memory of a machine, and an agenda of what happens to it next."""

    def __init__(self, machine: Machine, node: int = 0) -> None:
        built = build_dram(machine, 1)
        self.d: Any = st.mapped(built, lambda a: a.tolist())
        words: Any = ([0] * (SLOTS << st.SLOT_SHIFT) for _ in st.Slot._fields)
        self.s: Any = st.Slot(*words)
        self.node = node
        self.m = _Around(self.d, self.s)
        self.agenda: list[tuple[int, int, int, str, int]] = []
        self.serial = itertools.count()
        self.free = list(range(SLOTS))
        self.order: list[int] = []  # lines in the order in which they took the bus
        self.most = 0  # places of the first channel's queue that were taken at once

    def place(self, line: int) -> tuple[int, int, int]:
        """Channel, bank and row of a line."""
        channel, bank, row = dram.place(self.d, self.node, line)
        return int(channel), int(bank), int(row)

    def run(self, requests: Iterable[tuple[float, int]], writes: Iterable[tuple[float, int]] = ()) -> list[Served]:
        """Reads, each (when it comes, its line), and posted writes: what became of the reads, in the order given."""
        names = {}
        for number, (when, line) in enumerate(requests):
            a = self.free.pop()
            names[a] = number
            self.s.line[a << st.SLOT_SHIFT] = line
            self._at(round(when * 1000), "arrive", a)
        for when, line in writes:
            self._at(round(when * 1000), "write", line)
        done: dict[int, Served] = {}
        while self.agenda:
            now, _, _, what, a = heapq.heappop(self.agenda)
            self.most = max(self.most, self.d.chan[dram.QUEUED])
            for slot, served in getattr(self, f"_{what}")(now, a):
                done[names[slot]] = served
                self.order.append(served.line)
                self.free.append(slot)
            self._wake()
        return [done[k] for k in range(len(names))]

    def _at(self, now: int, what: str, a: int) -> None:
        """Of simultaneous events, a channel's come last (state.py)."""
        heapq.heappush(self.agenda, (now, what == "channel", next(self.serial), what, a))

    def _wake(self) -> None:
        """Whoever was told to act gets an event."""
        m = self.m
        for k in range(1, m.woken[0] + 1):
            actor = m.woken[k]
            self._at(m.when[k], *(("channel", actor - SLOTS) if actor >= SLOTS else ("ready", actor)))
        m.woken[0] = 0

    def _arrive(self, now: int, a: int) -> list[tuple[int, Served]]:
        i = a << st.SLOT_SHIFT
        for k in range(16):
            self.s.stack[i + k] = 0
        self.s.t0[i] = now
        ready = dram.arrive(self.d, self.s, a, self.node, self.s.line[i], now)
        if ready >= 0:
            self._at(ready, "ready", a)
        return []

    def _write(self, now: int, line: int) -> list[tuple[int, Served]]:
        ch = posted.write(self.d, self.node, line, now)
        if ch >= 0:
            self._at(max(now, self.d.chan[(ch << dram.CHAN) + dram.BUS]), "channel", ch)
        return []

    def _ready(self, now: int, a: int) -> list[tuple[int, Served]]:
        start, look = dram.at_bus(self.d, self.s, a, now)
        if look >= 0:
            self._at(look, "channel", self.s.source[a << st.SLOT_SHIFT])
        return [self._take(now, a, start)] if start >= 0 else []

    def _channel(self, now: int, ch: int) -> list[tuple[int, Served]]:
        a, start, again = channel.choose(self.m, ch, now)
        taken = [self._take(now, a, start)] if a >= 0 else []
        if a >= 0:
            again = channel.look_again(self.m, ch)
        if again >= 0:
            self._at(again, "channel", ch)
        return taken

    def _take(self, now: int, a: int, start: int) -> tuple[int, Served]:
        """The bus is slot a's."""
        s, i = self.s, a << st.SLOT_SHIFT
        end = channel.take_bus(self.m, a, now, start)
        stack = {cause: s.stack[i + k] / 1000 for k, cause in enumerate(st.CAUSES) if s.stack[i + k]}
        ns = [x / 1000 for x in (s.t0[i], s.at[i], start, end)]
        return a, Served(s.line[i], ns[0], ns[1], ns[2], ns[3], stack)


class _Around:
    """What of a machine its channels need: no links, no mesh, and counting is off."""

    def __init__(self, d: Any, s: Any) -> None:
        self.dram, self.slot, self.channels = d, s, SLOTS
        self.control, self.woken, self.when = [0] * 8, [0] * 256, [0] * 256
        self.core, self.p = SimpleNamespace(vertex=[0] * SLOTS, slot_bits=5), SimpleNamespace(mesh=0)
        resources = 2 * d.all_channels
        self.links = SimpleNamespace(series=[0] * (resources * st.SERIES), resources=resources, edges=0)


def one_channel(**changes: object) -> Channels:
    """Node 0 of the teaching machine with one channel: reads take 20 tCL + 10 burst from an open row, 20 tRCD more
    from a closed one, and 20 tRP (and what tRAS still asks) more after another row."""
    return Channels(teaching(memory__dram__channels=1, **{f"memory__dram__{k}": v for k, v in changes.items()}))


def line_at(channels: Channels, bank: int, row: int, column: int = 0) -> int:
    """The column-th line of a row of a bank (both numbered within the node's first channel)."""
    first = channels.d.chan[(channels.d.first[channels.node] << dram.CHAN) + dram.FIRST_BANK]
    found = (x for x in range(1 << 20) if channels.place(x) == (channels.d.first[channels.node], first + bank, row))
    return next(itertools.islice(found, column, None))


def lines(*rows: tuple[int, int], **changes: object) -> list[int]:
    """Lines of (bank, row), each the next column of its row."""
    channels, seen, out = one_channel(**changes), Counter[tuple[int, int]](), []
    for bank, row in rows:
        out.append(line_at(channels, bank, row, seen[bank, row]))
        seen[bank, row] += 1
    return out
